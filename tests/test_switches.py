"""Whatever JAX's switches are, a run computes the same, or says why it cannot."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
import toy
from conftest import OPTIMIZATION

import neuroevo
from neuroevo.run import switches


def results(path):
    """Train half of a run, resume it, and evaluate what is on the disk."""
    env = {"env": toy.walk(), "devices": 1}
    options = toy.CARTPOLE | env | {"seed": 1, "run_dir": path}
    options["checkpoint"] = {"every_generations": 1}
    neuroevo.evolve(**options | {"generations": 1})
    run = neuroevo.evolve(**options, resume=True)
    rows = [{k: v for k, v in row.items() if "seconds" not in k} for row in run.metrics]
    found = neuroevo.load(path, **env).evaluate(2, 1, seed=1)
    weights = jax.tree.leaves(run.decode(3))
    return [rows, found["return_per_policy"], float(abs(weights[0]).sum())]


SWITCHES = {
    "JAX_ENABLE_X64": "1",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_DEBUG_NANS": "1",
    "JAX_DEBUG_INFS": "1",
    "JAX_DISABLE_JIT": "1",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
}


# As in this process, see conftest.py: it may change the last digits.
FLAGS = {"XLA_FLAGS": OPTIMIZATION}


@pytest.mark.slow
def test_results_depend_on_none_of_them(environment, tmp_path):
    """All are set at once, for a process takes half a minute to compile these runs."""
    script = (
        "import json, sys, test_switches; "
        "print(json.dumps(test_switches.results(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", script, tmp_path / "run"],
        env=environment | SWITCHES | FLAGS,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == results(tmp_path / "other")
    facts = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert {*facts["overridden_switches"]} == {name.lower() for name in SWITCHES}
    facts = json.loads((tmp_path / "other" / "environment.json").read_text())
    assert facts["overridden_switches"] == {}


@pytest.mark.parametrize("platforms", ["cuda", "nonsense"])
def test_devices_that_are_not_there_are_one_line(platforms, environment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "neuroevo", "train", "--generations", "1"],
        env=environment | {"JAX_PLATFORMS": platforms},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert f"JAX_PLATFORMS={platforms}" in line and "expected cpu" in line
    assert not list(tmp_path.iterdir())


def test_the_users_own_switches_are_back_afterwards():
    with jax.numpy_dtype_promotion("strict"), jax.debug_infs(True):
        with switches.pinned() as others:
            assert (jnp.arange(2) + jnp.ones(2)).dtype == jnp.float32
            with switches.pinned() as again:
                assert not again
        assert len(others) == 2
        with pytest.raises(Exception, match="promotion"):
            jnp.arange(2) + jnp.ones(2)
    assert not jax.config.jax_debug_infs
    assert jax.config.jax_default_matmul_precision is None
