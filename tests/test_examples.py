"""Every example runs, in a setting so short that it learns nothing."""

import importlib.util
import math
from pathlib import Path

import jax
import pytest

import neuroevo
from neuroevo.environments.gymnax import suite

EXAMPLES = Path(__file__).parents[1] / "examples"


# What compiles faster: one device (more are for other tests), and no evaluation at the
# end, which is a program of its own.
SHORT = {"population": 4, "devices": 1, "final_policies": 0}


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_example_is_tested():
    source = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'load("{path.stem}")' in source, f"{path.name} has no test"


@pytest.mark.slow
def test_cartpole_two_pairs(tmp_path, capsys):
    example = load("cartpole_two_pairs")
    file = tmp_path / "pairs.npz"
    result, transferred = example.main(generations=2, policies=2, file=file, **SHORT)
    assert file.exists()
    for outcome in (result, transferred):
        assert 1 <= outcome["return_mean"] <= 500
        assert len(outcome["return_per_policy"]) == 2
    out = capsys.readouterr().out
    assert "-> left" in out and "-> right" in out


@pytest.mark.slow
def test_hopper(tmp_path):
    """On two devices: where the compiler crashed, see `neuroevo.devices.distribute`."""
    run = load("hopper").main(
        generations=1,
        run_dir=tmp_path / "run",
        steps=2,
        hidden=(8,),
        episode_length=20,
        episodes=1,
        **SHORT | {"devices": 2},
    )
    assert run.genome["states"].shape == (4, 11)
    assert run.genome["actions"].shape == (4, 3)
    assert math.isfinite(run.metrics[-1]["center_return"])
    assert (run.path / "best.npz").exists()


@pytest.mark.slow
def test_custom_encoding():
    result = load("custom_encoding").main(size=3, generations=2, **SHORT)
    assert 1 <= result["return_mean"] <= 500


@pytest.mark.slow
def test_custom_environment(capsys):
    result = load("custom_environment").main(generations=2, max_steps=5, **SHORT)
    assert 0 < result["return_mean"] <= 5
    assert result["episode_length_mean"] <= 5
    assert "->" in capsys.readouterr().out


def test_digits(capsys):
    """In the default suite, so that labeled data are tried as a user does."""
    run = load("digits").main(generations=2, widths=[4], batch_size=32, **SHORT)
    assert run.genome["states"].shape == (10, 8, 8, 1)
    assert capsys.readouterr().out.count("% of the test images") == 1


@pytest.mark.slow
def test_resume():
    assert load("resume").main(half=2, encoding="direct", **SHORT) == (True, True)


def test_distillation():
    tiny = SHORT | {"generations": 1, "policy": {"name": "mlp", "hidden": [4]}}
    strategy = {"steps": 1, "networks": 1, "batch": 8, "relabel_every": 0}
    weights, pairs = load("distillation").main(
        "CartPole-v1",
        tiny | {"final_policies": 1, "final_episodes": 1},
        tiny | {"strategy": strategy, "policies": 1, "demonstrations": 1},
    )
    assert weights.config.names["encoding"] == "direct"
    assert pairs.genome["states"].shape == (2, 4)


@pytest.mark.slow
def test_teacher_ppo(tmp_path):
    strategy = {"steps": 1, "networks": 1, "batch": 8}
    run = load("teacher_ppo").main(
        "hopper",
        200,
        tmp_path / "ppo",
        {"num_envs": 4, "batch_size": 4, "num_minibatches": 1, "num_evals": 1},
        SHORT | {"strategy": strategy, "generations": 1, "demonstrations": 1},
    )
    assert math.isfinite(run.metrics[-1]["loss"])


@pytest.mark.slow
def test_teacher_minatar(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    strategy = {"steps": 1, "networks": 1, "batch": 8}
    file = tmp_path / "teacher.npz"
    run = load("teacher_minatar").main(
        steps=3 * 64 * 128,
        file=file,
        **SHORT | {"strategy": strategy, "generations": 1, "demonstrations": 1},
    )
    assert math.isfinite(run.metrics[-1]["loss"])
    assert neuroevo.load(file).genome["output"]["kernel"].shape == (400, 3)


@pytest.mark.slow
def test_ppo_finds_a_policy(tmp_path):
    """Kernels are saved under the names under which neuroevo looks for them."""
    ppo = load("ppo")
    environment = suite.config("CartPole-v1")().build()
    train = ppo.trainer(environment, ppo.ActorCritic(2, (8,)), steps=40_000)
    params, rewards = train(jax.random.key(0))
    assert rewards.shape == (40_000 // (16 * 128),)
    layers = {"hidden_0": params["Dense_0"], "output": params["Dense_1"]}
    file = tmp_path / "policy.npz"
    ppo.save(layers, "CartPole-v1", {"name": "mlp", "hidden": [8]}, file)
    found = neuroevo.load(file).evaluate(policies=1, episodes=16, seed=0)
    assert found["return_mean"] > 60  # 9 without training


@pytest.mark.slow
def test_policies_per_second(monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXAMPLES)
    assert load("policies_per_second").main(steps=4 * 16 * 128, policies=8) > 0
    assert "policies a second" in capsys.readouterr().out


@pytest.mark.slow
def test_screening(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    found = load("screening").main(
        steps=2 * 16 * 128, seeds=1, widths=(4, 8), depths=(1,)
    )
    assert -1 <= found <= 1


@pytest.mark.slow
def test_two_bodies(tmp_path):
    strategy = {"steps": 1, "networks": 1, "batch": 8, "relabel_every": 0}
    run, results = load("two_bodies").main(
        2,
        measured={"policies": 1, "episodes": 1},
        **SHORT | {"population": 1, "policies": 1, "generations": 1},
        strategy=strategy,
        demonstrations=1,
        center_every=2,
    )
    assert run.genome["states"].shape == (2, 28)
    assert set(results) == {"hopper", "halfcheetah"}
