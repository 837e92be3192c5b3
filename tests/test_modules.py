"""A genome file names the parts that decode it, but does not make them run code."""

import sys

import numpy as np
import pytest

import neuroevo
from neuroevo import loading
from neuroevo.config.layers import Layer
from neuroevo.errors import UserError
from neuroevo.store import genome_file
from neuroevo.studies.lessons import opened

pytest.importorskip("gymnasium")

ENV = "gym:trap:Trap-v0"
TRAP = """
import gymnasium
gymnasium.register("Trap-v0", "gymnasium.envs.classic_control:CartPoleEnv")
"""


@pytest.fixture
def genome(tmp_path, monkeypatch):
    """Return a genome file whose environment is in a module that nothing imported."""
    (tmp_path / "trap.py").write_text(TRAP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "trap", raising=False)
    path = tmp_path / "sent.npz"
    arrays = {"states": np.zeros((2, 4)), "labels": np.arange(2)}
    parts = {"encoding": "dataset", "policy": "mlp", "normalization": "none"}
    genome_file.save(path, arrays, {"env": {"name": ENV}} | parts)
    yield path
    sys.modules.pop("trap", None)


@pytest.mark.parametrize(
    "command",
    [
        "evaluate sent.npz",
        "inspect sent.npz --picture pairs.png",
        "render sent.npz --out film.gif",
        "transfer sent.npz",
        "collect sent.npz --out rows.npz",
        "merge sent.npz sent.npz --out both.npz",
        "train-policy sent.npz --out policy.npz",
        "distill sent.npz",
        "distill zoo:cartpole-d2 --start sent.npz",
        "train --start sent.npz",
    ],
)
def test_a_genome_file_imports_nothing(genome, run_cli, command):
    said = run_cli(command)
    assert "trap" not in sys.modules
    assert said.code == 2 and "Traceback" not in said.err
    assert "--env gym:trap:Trap-v0" in said.err


def test_pairs_are_shown_without_the_module(genome, run_cli):
    said = run_cli("inspect sent.npz")
    assert said.code == 0 and "trap" not in sys.modules
    assert "showing the genome without names" in said.err


@pytest.mark.parametrize(
    "use",
    [
        lambda path, **env: neuroevo.load(path, **env),
        lambda path, **env: neuroevo.evolve(start=path, **env),
    ],
)
def test_functions_import_nothing(genome, use):
    with pytest.raises(UserError, match="would import trap"):
        use(genome)
    assert "trap" not in sys.modules


def test_a_module_that_the_user_names_is_imported(genome):
    file = loading.read_source(genome)
    named, _ = loading.configure(file, [Layer("test", {"env": ENV})])
    assert named.names["env"] == ENV and "trap" in sys.modules
    with opened(genome) as lessons:
        assert lessons.env == {"name": ENV}
    assert loading.configure(file)[0].names["env"] == ENV  # from then on it is known
