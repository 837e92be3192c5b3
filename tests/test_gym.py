"""Environments of Gymnasium: processes, seeds, failures, and runs in them."""

import functools
import os
import re
import signal
import subprocess
import sys
import time

import gymnasium
import jax
import numpy as np
import psutil
import pytest
import toy
from gymnasium.vector import AutoresetMode

import neuroevo
from neuroevo.environments.gym import suite
from neuroevo.errors import EnvironmentFailure, UserError
from neuroevo.registry import envs
from neuroevo.spaces import Box, MultiDiscrete, Spec, outputs
from neuroevo.tasks.task import random_act
from neuroevo.views import recording
from neuroevo.views.video import draw_frames

RUN = {**toy.CARTPOLE, "env": "gym:CartPole-v1", "episodes": 2, "display": False}


def workers() -> list[psutil.Process]:
    """Return the processes of environments that this process has started."""
    children = psutil.Process().children()
    return [p for p in children if "gym import worker" in " ".join(p.cmdline())]


@pytest.fixture(autouse=True)
def _end_workers():
    """Ends the processes that a failed test left open: others count them."""
    yield
    for process in workers():
        process.kill()


def test_instances_are_those_of_gymnasium():
    """The same seeds and actions give the same episode as in this process."""
    environment = envs.get("gym:CartPole-v1")(workers=2).build()
    plain = gymnasium.make("CartPole-v1")
    seeds = np.array([5, 6, 7])
    instances, rows = environment.instances, np.arange(3)
    instances.require(3)
    seen, legal = instances.reset(rows, seeds)
    assert legal is None
    for row, seed in zip(rows, seeds, strict=True):
        np.testing.assert_array_equal(seen[row], plain.reset(seed=int(seed))[0])
    for action in (1, 0, 1, 1):
        expected, reward, ended, _, _ = plain.step(action)
        actions = environment.convert(np.array([action], np.int32))
        seen, rewards, ends = instances.step(rows[2:], actions)
        np.testing.assert_array_equal(seen.observations[0], expected)
        assert (rewards[0], ends[0]) == (reward, ended)
    assert len(workers()) == 2
    instances.close()
    assert not workers()


def test_an_unknown_id_has_a_nearest_one():
    with pytest.raises(
        UserError, match=r"LunarLande.*did you mean 'gym:LunarLander-v3'"
    ):
        envs.get("gym:LunarLande-v3")
    with pytest.raises(UserError, match="there is also gym:LunarLander-v3"):
        envs.get("LunarLander-v3")


def test_an_id_may_name_its_module(tmp_path, monkeypatch):
    text = """import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
gymnasium.register("Mine-v0", entry_point="mine:CartPoleEnv", max_episode_steps=7)
"""
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    environment = envs.get("gym:mine:Mine-v0")().build()
    assert environment.max_steps == 7
    environment.instances.close()
    with pytest.raises(UserError, match="its module nowhere cannot be imported"):
        envs.get("gym:nowhere:Mine-v0")


def test_options_are_scalar_arguments_of_the_constructor():
    fields = suite.config("CartPole-v1").__dataclass_fields__
    assert fields["sutton_barto_reward"].default is False
    assert {"max_steps", "workers", "timeout"} <= fields.keys()
    options = suite.config("CartPole-v1")(sutton_barto_reward=True, workers=1)
    environment = options.build()
    environment.instances.reset(np.array([0]), np.array([0]))
    _, rewards, _ = environment.instances.step(np.array([0]), np.array([0]))
    assert rewards[0] == 0  # and -1 at the end
    environment.instances.close()


def test_our_cart_pole_is_theirs():
    """A genome that solves gymnax's CartPole solves Gymnasium's."""
    solution = neuroevo.load("zoo:cartpole-d2", env="gym:CartPole-v1")
    assert solution.evaluate(1, 4, seed=0)["return_mean"] > 480
    solution.parts.task.host.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("gym") / "run"
    return neuroevo.evolve(**RUN | {"generations": 4}, run_dir=path)


def test_workers_are_gone_after_a_run(run):
    assert run.generation == 4
    assert not workers()


def test_resuming_equals_never_stopping(run, tmp_path):
    neuroevo.evolve(**RUN, run_dir=tmp_path / "a")
    again = neuroevo.evolve(
        **RUN | {"generations": 4}, run_dir=tmp_path / "a", resume=True
    )
    jax.tree.map(np.testing.assert_array_equal, again.genome, run.genome)
    returns = [[row["fitness_mean"] for row in each.metrics] for each in (again, run)]
    assert returns[0] == returns[1]


def diverging(policy, spec):
    params = jax.eval_shape(policy.init, jax.random.key(0))
    broken = jax.tree.map(lambda x: jax.numpy.full(x.shape, np.nan), params)
    return neuroevo.Encoding(
        lambda key: jax.numpy.zeros(1), lambda genome, start: broken
    )


def test_networks_that_all_diverge_from_the_first_on_are_told():
    with pytest.raises(UserError, match="nothing was learned"):
        neuroevo.evolve(**RUN | {"encoding": diverging})


def test_neither_chunk_nor_workers_matter(run):
    options = {"chunk": 1, "env": {"name": "gym:CartPole-v1", "workers": 1}}
    other = neuroevo.evolve(**RUN | {"generations": 4} | options)
    assert [r["fitness_mean"] for r in other.metrics] == [
        r["fitness_mean"] for r in run.metrics
    ]


def test_an_archive_is_filled_by_what_episodes_show_last():
    """A cart whose episode is over is out of bounds, after the last step only."""
    names = ["0:-9:9", "2:-9:9"]
    run = neuroevo.evolve(
        **RUN
        | {
            "env": {"name": "gym:CartPole-v1", "descriptor": names},
            "strategy": {"name": "MAPElites", "cells": [64]},
            "population": 8,
            "episodes": 1,
        }
    )
    position, angle = np.abs(run.archive.descriptors).T
    assert len(position) > 1
    assert ((position > 2.4) | (angle > 0.2095)).all()


def test_an_episode_is_recorded_as_it_is_evaluated(run):
    (trajectory,) = run.best.record(seed=3)
    (shown,) = run.best.record(seed=3, pictures=True)
    np.testing.assert_array_equal(trajectory.observations, shown.observations)
    assert trajectory.states == ()
    assert len(trajectory.rewards) == len(trajectory.observations)
    run.parts.task.host.close()
    assert not workers()


class Fragile(gymnasium.Env):
    """An environment that fails in some way after a number of steps."""

    observation_space = gymnasium.spaces.Dict(
        {"at": gymnasium.spaces.Box(-9, 9, (2,)), "kind": gymnasium.spaces.Discrete(3)}
    )
    action_space = gymnasium.spaces.Box(-2, 2, (2,))

    def __init__(self, how: str, marker: str) -> None:
        self.how, self.marker, self.steps = how, marker, 0

    def _show(self):
        return {"at": np.zeros(2, np.float32), "kind": self.steps % 3}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._show(), {}

    def step(self, action):
        self.steps += 1
        if self.steps == 5 and not os.path.exists(self.marker):
            if self.how == "raises":
                raise ValueError("out of\nfuel")
            if self.how == "dies":
                os.kill(os.getpid(), signal.SIGSEGV)
            if self.how == "hangs":
                time.sleep(60)
        return self._show(), float(action[0]), self.steps >= 8, False, {}


def fragile(how, marker, **options):
    def make():
        return Fragile(how, str(marker))

    make.__name__ = "Fragile"
    return suite.from_function(make, workers=1, **options)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("dies", "Fragile: its process has ended in step, by SIGSEGV"),
        ("hangs", "Fragile: no answer to step in 1 s; expected"),
    ],
)
def test_a_process_that_is_lost_is_reported(how, expected, tmp_path):
    environment = fragile(how, tmp_path / "mended", timeout=1).build()
    assert environment.spec == Spec((5,), Box((2,)))
    names = ("at[0]", "at[1]", "kind=0", "kind=1", "kind=2")
    assert fragile(how, "").features == names
    instances, row = environment.instances, np.array([0])
    instances.reset(row, row)
    with pytest.raises(EnvironmentFailure, match=expected):
        for _ in range(5):
            instances.step(row, environment.convert(np.zeros((1, 2))))
    assert not workers()


def test_a_failure_ends_the_run_in_one_line_and_it_resumes(tmp_path):
    options = RUN | {"env": fragile("raises", tmp_path / "mended")}
    failure = r"Fragile: step raised ValueError: out of fuel \(.*test_gym.py:\d+\)"
    with pytest.raises(EnvironmentFailure, match=failure):
        neuroevo.evolve(**options, run_dir=tmp_path / "run")
    assert not workers()
    (tmp_path / "mended").touch()
    run = neuroevo.evolve(**options, run_dir=tmp_path / "run", resume=True)
    assert run.generation == 2


def test_a_function_that_makes_an_environment_will_do(tmp_path):
    def make(render_mode=None):
        return gymnasium.make(
            "CartPole-v1", max_episode_steps=9, render_mode="rgb_array"
        )

    run = neuroevo.evolve(**RUN | {"env": make, "generations": 1})
    assert run.config.names["env"] == "make"
    assert run.parts.environment.max_steps == 9
    (trajectory,) = run.best.record(pictures=True)
    assert trajectory.states.pixels.shape == (len(trajectory.rewards), 400, 600, 3)
    video = recording.record(run.best, policies=1)
    assert next(iter(draw_frames(video))).shape == (320, 480, 3)
    run.parts.task.host.close()


def make_vector(mode=AutoresetMode.DISABLED):
    makers = [lambda: gymnasium.make("CartPole-v1", max_episode_steps=30)] * 3
    return gymnasium.vector.SyncVectorEnv(makers, autoreset_mode=mode)


@pytest.mark.slow
def test_a_vector_environment_gives_the_same_episodes():
    def single():
        return gymnasium.make("CartPole-v1", max_episode_steps=30)

    options = RUN | {"episodes": 4, "population": 2, "generations": 1}
    runs = [
        neuroevo.evolve(**options | {"env": make, "strategy": "SNES"})
        for make in (single, make_vector)
    ]
    first, second = ([row["fitness_mean"] for row in run.metrics] for run in runs)
    assert first == second


def test_a_vector_environment_must_not_reset_by_itself():
    make = functools.partial(make_vector, AutoresetMode.NEXT_STEP)
    with pytest.raises(UserError, match=r"autoreset_mode is .*NEXT_STEP; expected"):
        suite.from_function(make).build()


def test_several_choices_at_once(tmp_path):
    space = gymnasium.spaces.MultiDiscrete([2, 3], start=[1, 5])
    kind = type("Choices", (Fragile,), {"action_space": space})
    make = functools.partial(kind, "never", str(tmp_path))
    environment = suite.from_function(make).build()
    assert environment.spec.action == MultiDiscrete((2, 3))
    assert environment.convert(np.array([[1, 2]])).tolist() == [[2, 7]]
    environment.instances.close()


WRONG = {
    "observation": (
        {"observation_space": gymnasium.spaces.Box(-1, 1, (3,))},
        r"an observation has shape .*, but the observation space has shape \(3,\)",
    ),
    "sequence": (
        {"observation_space": gymnasium.spaces.Sequence(gymnasium.spaces.Discrete(2))},
        "its observation space is a Sequence, whose observations have no fixed size",
    ),
    "unbounded": (
        {"action_space": gymnasium.spaces.Box(-np.inf, np.inf, (2,))},
        "the low bound of action 0 is -inf, unbounded; expected a finite bound",
    ),
    "text": (
        {"action_space": gymnasium.spaces.Text(3)},
        "its action space is a Text; expected Discrete, Box",
    ),
    "reward": (
        {"step": lambda self, action: (self._show(), np.ones(2), False, False, {})},
        r"step: expected a scalar as reward; got array",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_environment_is_one_line(what, tmp_path):
    changes, expected = WRONG[what]
    kind = type("Wrong", (Fragile,), changes)
    make = functools.partial(kind, "never", str(tmp_path))
    with pytest.raises(UserError, match=expected):
        suite.from_function(make).build()
    assert not workers()


ALONE = """
import signal
import time
import psutil
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
from neuroevo.registry import envs
environment = envs.get("gym:CartPole-v1")(workers=1).build()
print(*(child.pid for child in psutil.Process().children()), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_one_that_started_them(number):
    with subprocess.Popen(
        [sys.executable, "-c", ALONE],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        (worker,) = (
            psutil.Process(int(pid)) for pid in process.stdout.readline().split()
        )
        process.send_signal(number)
        process.wait(20)
        _, alive = psutil.wait_procs([worker], timeout=20)
    assert all(each.status() == psutil.STATUS_ZOMBIE for each in alive)


@pytest.mark.slow
@pytest.mark.parametrize("name", suite.names())
def test_every_environment_takes_a_step(name):
    """Or says in one line what it needs."""
    try:
        environment = suite.config(name)(workers=1).build()
    except UserError as error:
        needs = "make raised (DependencyNotInstalled|ImportError)"
        assert re.search(needs, str(error)) and "\n" not in str(error)
        pytest.skip(str(error))
    instances, row = environment.instances, np.arange(2)
    instances.require(2)
    seen, legal = instances.reset(row, row)
    actor = random_act(environment.spec)
    if legal is not None:
        assert legal.shape == (2, *outputs(environment.spec))
        legal = legal[0]
    action, _ = actor.act((), (), seen[0], legal, jax.random.key(0))
    actions = environment.convert(np.stack([action, action]))
    (after, _), rewards, ended = instances.step(row, actions)
    instances.close()
    assert seen.shape == after.shape == (2, *environment.spec.observation)
    assert np.isfinite(after).all() and np.isfinite(rewards).all()
    assert ended.dtype == bool
