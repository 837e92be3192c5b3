"""What the documentation tells users to write of their own works as it stands there."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import neuroevo
from neuroevo.policies.networks import MLP
from neuroevo.spaces import Discrete, Spec

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def blocks(text):
    """Return the blocks of Python in a page."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


SHORT = {"generations": 1, "population": 4, "final_policies": 0, "devices": 1}
EXAMPLES = {
    f"{path.name}-{number}": block
    for path in (
        DOCS / f"{name}.md"
        for name in ("extending", "environments", "logging", "quality-diversity")
    )
    for number, block in enumerate(blocks(path.read_text()))
    if "neuroevo.evolve(" in block
}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(example, tmp_path, monkeypatch):
    evolve, runs = neuroevo.evolve, []

    def shortly(**options):
        runs.append(evolve(**options | SHORT))
        return runs[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(neuroevo, "evolve", shortly)
    code = EXAMPLES[example]
    for suite in re.findall(r"^import (pgx|xminigrid)$", code, re.MULTILINE):
        pytest.importorskip(suite)
    exec(code, {})
    assert runs and all(run.summary["generations"] == 1 for run in runs)


def test_the_contributed_encoding_decodes():
    """What CONTRIBUTING.md calls a complete encoding is one."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    code = next(b for b in blocks(text) if "class Gains" in b)
    module: dict[str, object] = {"__name__": "gains"}
    exec(code, module)
    spec = Spec((3,), Discrete(2))
    policy = MLP(hidden=(4,)).build(spec)
    encoding = module["Gains"](2).build(policy, spec)
    genome = encoding.init(jax.random.key(0))
    params = encoding.decode(genome, encoding.start(jax.random.key(1)))
    expected = jax.eval_shape(policy.init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(lambda x: x.shape, expected)


def test_every_promise_names_a_test_that_exists():
    """Reliability is promised test by test."""
    text = (DOCS / "reliability.md").read_text()
    promised = {name for name in re.findall(r"`(\w+)`", text) if name.count("_") >= 2}
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    defined = set(re.findall(r"def test_(\w+)\(", tests))
    known = promised - {"best_return_mean", "final_return_mean"}
    assert known and known <= defined, known - defined
