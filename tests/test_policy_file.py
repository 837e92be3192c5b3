"""Policies written for other programs act there as they do here."""

import json

import jax
import numpy as np
import pytest
from safetensors import safe_open

import neuroevo
from neuroevo.errors import UserError
from neuroevo.store import policy_file


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    """Two pairs that hardly evolved, in a file."""
    path = tmp_path_factory.mktemp("export") / "genome.npz"
    run = neuroevo.evolve(
        encoding={"name": "dataset", "size": 2, "init_scale": 1.0, "steps": 8},
        env={"name": "CartPole-v1", "max_steps_in_episode": 20},
        strategy="SNES",
        devices=1,
        generations=1,
        population=4,
        policies=1,
        episodes=1,
        final_policies=0,
        normalization={"name": "constant", "warmup_episodes": 2},
    )
    run.center.save(path)
    return path


def logits_in_numpy(p, observation):
    """What the documentation tells others to write."""
    x = (observation - p["obs_mean"]) / np.sqrt(p["obs_var"])
    for i in range(2):
        x = np.tanh(x @ p[f"hidden_{i}/kernel"] + p[f"hidden_{i}/bias"])
    return x @ p["output/kernel"] + p["output/bias"]


@pytest.mark.parametrize(
    "suffix", [".npz", pytest.param(".safetensors", marks=pytest.mark.slow)]
)
def test_a_policy_acts_outside_as_it_does_inside(genome, tmp_path, suffix):
    solution = neuroevo.load(genome)
    path = tmp_path / f"policy{suffix}"
    neuroevo.save_policy(solution, path, seed=3)
    if suffix == ".npz":
        with np.load(path) as file:
            arrays = {k: file[k] for k in file.files if k != "meta"}
            meta = json.loads(str(file["meta"]))
    else:
        with safe_open(path, "np") as file:
            arrays = {k: file.get_tensor(k) for k in file.keys()}
            meta = json.loads(file.metadata()["neuroevo"])
    assert meta["policy"]["hidden"] == [64, 64] and meta["action"] == {"discrete": 2}
    assert meta["observation"] == [4] and meta["trained_from"]["seed"] == 3
    observation = np.array([0.02, -0.3, 0.05, 0.4], np.float32)
    normalized = (observation - arrays["obs_mean"]) / np.sqrt(arrays["obs_var"])
    wanted = solution.parts.policy.apply(solution.decode(3), normalized)
    found = logits_in_numpy(arrays, observation)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert np.abs(wanted).max() > 1e-3


def test_an_exported_policy_is_a_genome_that_evaluates_alike(genome, tmp_path):
    solution = neuroevo.load(genome)
    neuroevo.save_policy(solution, tmp_path / "policy.npz", seed=5)
    policy = neuroevo.load(tmp_path / "policy.npz")
    jax.tree.map(np.testing.assert_array_equal, policy.genome, solution.decode(5))
    again = tmp_path / "again.npz"
    neuroevo.save_policy(policy, again)  # of a direct genome, the genome itself
    jax.tree.map(
        np.testing.assert_array_equal, neuroevo.load(again).genome, policy.genome
    )
    assert policy.evaluate(2, 2)["return_mean"] > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("policy.npy", "policy.npy: expected a name that ends in .npz or .safetensors"),
        ("none/policy.npz", "expected an existing directory"),
        ("taken.npz", "taken.npz: already exists; expected a new file"),
    ],
)
def test_nothing_is_overwritten(genome, tmp_path, name, message):
    (tmp_path / "taken.npz").write_text("mine")
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        policy_file.check(tmp_path / name)
    assert (tmp_path / "taken.npz").read_text() == "mine"


def test_an_ensemble_is_a_policy_file_like_any_other(genome, tmp_path, run_cli):
    """Of three networks, whose mean output acts; and none of a genome that is one."""
    path = tmp_path / "ensemble.npz"
    run_cli(f"train-policy {genome} --ensemble 3 --policy mlp --seed 4 --out {path}")
    solution = neuroevo.load(genome, policy={"ensemble": 3})
    policy = neuroevo.load(path)
    assert policy.genome["hidden_0"]["kernel"].shape == (3, 4, 64)
    jax.tree.map(np.testing.assert_array_equal, policy.genome, solution.decode(4))
    measured = policy.evaluate(2, 2, seed=0)
    assert measured["ensemble"] == 3 and measured["return_mean"] > 0
    said = run_cli(f"evaluate {genome} --ensemble 3 --policies 1 --episodes 2 --json")
    assert json.loads(said.out)["ensemble"] == 3
    with pytest.raises(UserError, match=r"of shape \(2, 64\), not \(3, 64\)"):
        neuroevo.load(path, policy={"ensemble": 2})
