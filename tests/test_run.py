"""What a run reports at its end, and how it ends."""

import json
import os
import signal
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stored import assert_same_run, without_times

import neuroevo
from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.core.pace import Pace
from neuroevo.progress import Allowance
from neuroevo.run import loop, tuning
from neuroevo.run.run import Times
from neuroevo.spaces import Box, Spec
from neuroevo.store import directory as store
from neuroevo.store.metrics import METRICS, read_metrics
from neuroevo.types import Encoding, Policy, Strategy


def step(key, t, action):
    """Reward what the policy is: its one number, less some noise."""
    return t + 1, jnp.ones(1), action[0] - 0.1 * jax.random.uniform(key), t >= 2


def drift(by):
    """A strategy whose center moves by so much in each generation."""
    return lambda population: Strategy(
        init=lambda key, genome: jnp.zeros(1),
        ask=lambda key, state: (state + 1e-3 * jnp.arange(population)[:, None], state),
        tell=lambda key, genomes, fitness, state: state + by,
        center=lambda state: state,
    )


TINY = {
    "env": neuroevo.Environment(
        Spec((1,), Box((1,))), lambda key: (jnp.int32(0), jnp.ones(1)), step, 10
    ),
    "encoding": lambda policy, spec: Encoding(
        lambda key: jnp.zeros(1), lambda genome, start: genome
    ),
    "policy": Policy(
        init=lambda key: jnp.zeros(1),
        apply=lambda params, observation: params,
        act=lambda output, key: output,
        losses={},
    ),
    "strategy": drift(0.1),
    "population": 2,
    "generations": 4,
    "center_every": 3,
    "center_policies": 1,
    "final_policies": 2,
    "final_episodes": 2,
    "episodes": 1,
    "devices": 1,
    "chunk": 1,
    "seed": 3,
}


def leaves_equal(a, b):
    return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return neuroevo.evolve(**TINY, run_dir=path)


def test_every_generation_says_whether_the_center_was_evaluated(finished):
    measured = [row["center_return"] is not None for row in finished.metrics]
    assert measured == [True, False, False, True]
    lines = (finished.path / METRICS).read_text().splitlines()
    assert ["center_return" in json.loads(line) for line in lines] == measured


@pytest.mark.parametrize("by", [0.1, 0.0, -0.1])
def test_the_last_center_takes_part_in_the_choice_of_the_best(by, finished, tmp_path):
    run = finished
    if by != 0.1:
        run = neuroevo.evolve(**TINY | {"strategy": drift(by)}, run_dir=tmp_path / "r")
    last = by >= 0  # among equals the later one
    assert run.best_is_final == run.summary["best_is_final"] == last
    assert run.best_generation == run.summary["best_generation"] == (4 if last else 1)
    assert leaves_equal(run.genome, run.center.genome) == last
    best, final = (run.summary[f"{name}_return_mean"] for name in ("best", "final"))
    assert best == final if last else best > final
    files = [neuroevo.load(run.path / f, **parts()) for f in (store.BEST, store.CENTER)]
    assert leaves_equal(files[0].genome, run.genome)
    assert leaves_equal(files[1].genome, run.center.genome)


def parts():
    return {name: TINY[name] for name in ("env", "encoding", "policy", "devices")}


def test_the_seed_of_the_run_repeats_its_final_evaluation(finished):
    shape = {"policies": 2, "episodes": 2, "seed": TINY["seed"]}
    for found in (
        finished.evaluate(**shape),
        neuroevo.load(finished.path, **parts()).evaluate(**shape),
    ):
        for name, value in found.items():
            if name.startswith("return"):
                assert finished.summary[f"best_{name}"] == value
    fresh = [finished.evaluate(2, 2) for _ in range(2)]
    assert fresh[0]["seed"] != fresh[1]["seed"]
    assert fresh[0]["return_per_policy"] != fresh[1]["return_per_policy"]


@pytest.mark.parametrize(
    "limit",
    [{"generations": 2}, {}, {"max_env_steps": 3}, {"max_seconds": 1e-3}],
    ids=["fewer generations", "the same", "steps", "seconds"],
)
def test_a_run_that_has_reached_its_limit_is_left_alone(limit, finished):
    def content():
        files = sorted(file for file in finished.path.rglob("*") if file.is_file())
        return {file: file.read_bytes() for file in files}

    before = content()
    options = TINY | limit
    run = neuroevo.evolve(**options, run_dir=finished.path, resume=True)
    assert content() == before
    assert run.ended_before and run.summary == finished.summary
    assert leaves_equal(run.genome, finished.genome)
    assert leaves_equal(run.center.genome, finished.center.genome)
    assert run.metrics == finished.metrics


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, 5),  # 64 candidates of 4 policies, 8 policies of the center
        ({"population": 2048, "policies": 2}, 5),
        ({"population": 16, "policies": 2}, 5),
        ({"population": 16, "policies": 1}, 10),
        ({"population": 6, "policies": 1, "center_policies": 2}, 7),
        ({"population": 2, "center_every": 3}, 3),
    ],
)
def test_by_default_the_center_adds_a_twentieth_at_most(options, expected):
    run = neuroevo.Run(resolve.resolve([Layer("test", options | {"devices": 1})]))
    settings = run.config.settings  # as in config.yaml
    assert settings.center_every == expected
    if "center_every" not in options:
        policies = settings.population * settings.policies * expected
        assert settings.center_policies / policies <= 1 / 20


# -------------------------------------------------------------------- nothing to learn


def broken(key, t, action):
    """Reward nothing that is finite, at least in the first half of the candidates."""
    state, observation, reward, done = step(key, t, action)
    return state, observation, jnp.where(action[0] < 0.15, jnp.nan, reward), done


def test_a_run_that_learned_nothing_is_an_error(tmp_path):
    options = TINY | {"strategy": drift(0.0), "generations": 3}
    options["env"] = TINY["env"]._replace(step=broken)
    for resume in (False, True):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pytest.raises(neuroevo.UserError) as error:
                neuroevo.evolve(**options, run_dir=tmp_path / "run", resume=resume)
        for words in ("nothing was learned", "in 3 of 3 generations", "--debug-nans"):
            assert words in str(error.value)
        shown = [w for w in warned if "none of the 2 candidates" in str(w.message)]
        assert len(shown) == (not resume)  # once, and then there is only the error
        assert len(read_metrics(tmp_path / "run")) == 3
        assert not (tmp_path / "run" / store.SUMMARY).exists()


def test_generations_that_failed_are_counted():
    options = TINY | {"env": TINY["env"]._replace(step=broken)}
    with pytest.warns(UserWarning, match="none of the 2 candidates") as warned:
        run = neuroevo.evolve(**options)
    assert run.watch.failed == run.summary["failed_generations"] == 2
    assert len(warned) == 1
    assert run.best_is_final and np.isfinite(run.summary["best_return_mean"])


# ------------------------------------------------------------------------ interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_loop_of_runs_after_a_checkpoint(number, tmp_path, finished):
    def interrupt(row):
        os.kill(os.getpid(), number)

    handler = signal.getsignal(number)
    options = TINY | {"checkpoint": {"every_generations": 1}}
    with pytest.raises(KeyboardInterrupt, match="resume=True") as error:
        for k in range(3):
            neuroevo.evolve(**options, run_dir=tmp_path / f"{k}", callback=interrupt)
    assert signal.getsignal(number) is handler
    assert error.value.run.generation >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert (tmp_path / "0" / store.CENTER).exists()
    run = neuroevo.evolve(**options, run_dir=tmp_path / "0", resume=True)
    assert leaves_equal(run.genome, finished.genome)
    assert run.summary["best_return_mean"] == finished.summary["best_return_mean"]


@pytest.fixture
def stepping(monkeypatch):
    """Let every generation take many calls, and hold: count them, and act in one."""
    monkeypatch.setattr(tuning, "is_lengthy", lambda *parts: True)
    step = np.float32([1.0, 1.0, 0.01])  # seconds in a call, for a step, for an entry
    monkeypatch.setattr(Pace, "allowance", lambda self: Allowance(*step))

    def watch(act):
        shares, play = [], loop.LongGeneration.step

        def counted(self):
            share, told = play(self)
            shares.append(share)
            act(len(shares))
            return share, told

        monkeypatch.setattr(loop.LongGeneration, "step", counted)
        return shares

    return watch


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_long_generation_at_once(number, tmp_path, finished, stepping):
    """What it has begun is dropped; a later session begins the generation again."""
    path = tmp_path / "run"

    def interrupt(calls):
        if calls == 13:
            os.kill(os.getpid(), number)
            time.sleep(0.3)  # another thread sees the signal

    shares = stepping(interrupt)
    with pytest.raises(KeyboardInterrupt, match="resume=True") as error:
        neuroevo.evolve(**TINY, run_dir=path)
    assert len(shares) == 13
    generation = error.value.run.generation
    assert generation == shares.count(1.0) < TINY["generations"]
    assert shares[-1] < 1, "the generation had begun, and had not ended"
    assert len(read_metrics(path)) == generation
    run = neuroevo.evolve(**TINY, run_dir=path, resume=True)
    assert_same_run(finished.path, path)
    assert leaves_equal(run.state.strategy, finished.state.strategy)
    assert run.summary["best_return_mean"] == finished.summary["best_return_mean"]


def test_time_ends_a_long_generation_at_once(finished, tmp_path, stepping, monkeypatch):
    clock = []
    shares = stepping(clock.append)
    monkeypatch.setattr(
        loop._Session, "elapsed", lambda self: Times(float(len(clock)), 0.0)
    )
    run = neuroevo.evolve(**TINY, max_seconds=13, run_dir=tmp_path / "run")
    assert run.summary["stopped_by"] == "time" and len(shares) == 13
    assert shares[-1] < 1 and run.generation == shares.count(1.0) > 0
    options = TINY | {"max_seconds": 999}
    neuroevo.evolve(**options, run_dir=tmp_path / "run", resume=True)
    assert_same_run(finished.path, tmp_path / "run")


def test_a_run_goes_over_to_steps_if_its_generations_are_slow(finished, monkeypatch):
    steps, play = [], loop.LongGeneration.step
    monkeypatch.setattr(loop, "_SLOW", 1e-9)
    monkeypatch.setattr(
        loop.LongGeneration, "step", lambda self: steps.append(1) or play(self)
    )
    run = neuroevo.evolve(**TINY)
    assert len(steps) >= TINY["generations"] - 1
    assert without_times(run.metrics) == without_times(finished.metrics)


def test_runs_leave_no_file_open():
    def open_files():
        return len(os.listdir("/proc/self/fd"))

    neuroevo.evolve(**TINY)
    before = open_files()
    for _ in range(3):
        neuroevo.evolve(**TINY)
    assert open_files() == before
