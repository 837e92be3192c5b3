"""The environments of gymnax: names, options, and what they become."""

import dataclasses
import functools
import importlib
import inspect
import sys
from typing import get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from suites import KEYS, LIMIT, defaults_of

from neuroevo import registry
from neuroevo.environments.gymnax import suite as gymnax
from neuroevo.environments.gymnax import tables
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.tasks.normalization import NoNormalization, Running
from neuroevo.tasks.task import evaluate, make_task, random_act

EVALUATED = ("CartPole-v1", "Pendulum-v1")


def test_gymnax_names_are_those_of_gymnax():
    import gymnax as library

    assert set(library.registered_envs) >= set(tables.PARAMS)
    missing = set(library.registered_envs) - set(tables.PARAMS)
    assert missing == {"MNISTBandit-bsuite"}
    assert set(gymnax.names()) <= set(registry.envs.names())
    assert registry.envs.get("gymnax:CartPole-v1") is gymnax.config("CartPole-v1")


@pytest.mark.parametrize("name", tables.PARAMS)
def test_gymnax_options_are_those_of_gymnax(name):
    import gymnax as library

    env, params = library.make(name)
    found = {
        parameter.name: parameter.default
        for parameter in inspect.signature(type(env)).parameters.values()
    } | {
        field.name: getattr(params, field.name) for field in dataclasses.fields(params)
    }
    found = {
        option: value
        for option, value in found.items()
        if isinstance(value, bool | int | float | str)
        and option not in tables.DERIVED.get(name, ())
    }
    ours = defaults_of(gymnax.config(name))
    if ours["max_steps_in_episode"] is None:
        del ours["max_steps_in_episode"], found["max_steps_in_episode"]
    assert ours == found


@pytest.mark.parametrize("name", tables.PARAMS)
def test_gymnax_environment_traces(name):
    """Every environment's spec, and a rollout's types, without compiling it."""
    options = gymnax.config(name)
    assert options is gymnax.config(name)  # cached
    environment = options().build()
    limit = environment.max_steps
    assert (
        limit
        == {
            "DeepSea-bsuite": 8,
            "FrozenLake-misc": 100,
        }.get(name)
        or limit == options().max_steps_in_episode
    )
    assert all(isinstance(n, int) for n in environment.spec.observation)
    task = make_task(environment, Running().build(environment.spec.observation))
    act = random_act(environment.spec)
    state = jax.eval_shape(task.init, KEYS[0])
    end = jax.eval_shape(functools.partial(evaluate, task, act, ()), state, KEYS)
    assert end.returns.shape == end.lengths.shape == (16,)
    assert end.returns.dtype == jnp.float32
    assert end.stats.total.shape == environment.spec.observation


@pytest.mark.parametrize(
    "name",
    [
        name if name in EVALUATED else pytest.param(name, marks=pytest.mark.slow)
        for name in tables.PARAMS
    ],
)
def test_gymnax_environment_runs(name):
    environment = gymnax.config(name)(max_steps_in_episode=LIMIT).build()
    task = make_task(environment, NoNormalization().build(None))
    act = random_act(environment.spec)

    end = jax.jit(functools.partial(evaluate, task, act, ()))((), KEYS)
    steps = task.record(act, (), (), KEYS[0])
    assert np.isfinite(end.returns).all()
    assert (end.lengths >= 1).all() and (end.lengths <= LIMIT).all()
    np.testing.assert_allclose(steps.rewards.sum(), end.returns[0], rtol=1e-5)
    seen = steps.observations
    assert len(seen) == end.lengths[0]
    assert seen.shape[1:] == environment.spec.observation and np.isfinite(seen).all()


@pytest.mark.parametrize(
    "name, observation, action",
    [
        ("CartPole-v1", (4,), Discrete(2)),
        ("Pendulum-v1", (3,), Box((1,))),
        ("Asterix-MinAtar", (10, 10, 4), Discrete(5)),
        ("Freeway-MinAtar", (10, 10, 7), Discrete(3)),
        ("FrozenLake-misc", (16,), Discrete(4)),  # one-hot
        ("FourRooms-misc", (4,), Discrete(4)),  # integers as floats
    ],
)
def test_gymnax_specs(name, observation, action):
    assert gymnax.config(name)().build().spec == Spec(observation, action)


def test_gymnax_freeway_lasts_2500_steps():
    assert gymnax.config("Freeway-MinAtar")().build().max_steps == 2500


def test_gymnax_options_are_typed_and_take_effect():
    options = gymnax.config("CartPole-v1")
    hints = get_type_hints(options)
    assert hints["gravity"] is float and hints["max_steps_in_episode"] is int
    assert options().gravity == 9.8
    assert "total_mass" not in hints  # follows from the two masses

    def fall(**changes):
        environment = options(**changes).build()
        state, _ = environment.reset(KEYS[0])
        return environment.step(KEYS[1], state, 1)[1]

    assert not np.allclose(fall(), fall(masspole=1.0))
    assert not np.allclose(fall(), fall(gravity=20.0))

    assert gymnax.config("DeepSea-bsuite")(size=5).build().spec.observation == (5, 5)
    lake = gymnax.config("FrozenLake-misc")
    assert lake(map_name="8x8").build().spec.observation == (64,)
    assert lake(map_name="8x8").build().max_steps == 200
    assert lake(max_steps_in_episode=7).build().max_steps == 7


def test_gymnax_derived_parameters_match_the_defaults():
    import gymnax as library

    for name, derived in tables.DERIVED.items():
        _, params = library.make(name)
        for field, derive in derived.items():
            assert derive(params) == pytest.approx(getattr(params, field), abs=0)


@pytest.mark.parametrize(
    "name, bound", [("Pendulum-v1", 2.0), ("PointRobot-misc", 0.1)]
)
def test_gymnax_box_actions_are_rescaled(name, bound):
    environment = gymnax.config(name)().build()
    import gymnax as library

    env, params = library.make(name)
    state, _ = environment.reset(KEYS[0])
    for action in (-1.0, -0.5, 0.0, 1.0):
        ours = jnp.full(environment.spec.action.shape, action)
        _, expected, *_ = env.step_env(KEYS[1], state, bound * ours, params)
        after, *_ = environment.step(KEYS[1], state, ours)
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-6), after, expected
        )


def test_what_ends_a_game_can_be_described_by_where_things_are():
    names = ("paddle-x", "ball-x", "ball-y", "brick-share")
    made = registry.envs.get("Breakout-MinAtar")(descriptor=names).build()
    assert made.descriptor.low == (0, 0, 0, 0)
    assert made.descriptor.high == (9, 9, 9, 1)
    state, observation = made.reset(KEYS[0])
    for _ in range(5):
        state, observation, *_ = made.step(KEYS[0], state, 1)  # to the left
    found = made.descriptor.of(state, observation)
    share = state.brick_map.mean()
    np.testing.assert_allclose(found, [state.pos, state.ball_x, state.ball_y, share])


def test_gymnax_user_errors():
    with pytest.raises(UserError, match="map_name must be"):
        gymnax.config("FrozenLake-misc")(map_name="9x9").build()
    with pytest.raises(UserError, match="did you mean 'CartPole-v1'"):
        registry.envs.get("CartPol-v1")


# --- environments that a user registers with gymnax -----------------------------------


@struct.dataclass
class MineParams:
    pull: float = 0.5
    max_steps_in_episode: int = 7


@struct.dataclass
class MineState:
    x: jax.Array
    time: int


class Mine:
    """An environment as gymnax registers it; it inherits nothing from gymnax."""

    def __init__(self, params=None, action_space=None):
        self.default_params = MineParams() if params is None else params
        self._space = action_space or spaces.Box(-2.0, 2.0, (1,))

    def reset(self, key, params):
        raise NotImplementedError

    step = reset

    def reset_env(self, key, params):
        state = MineState(jax.random.uniform(key), 0)
        return state.x[None], state

    def step_env(self, key, state, action, params):
        x = state.x - jnp.sum(action) * getattr(params, "pull", 1.0)
        return x[None], MineState(x, state.time + 1), -x, jnp.abs(x) > 9, {}

    def action_space(self, params):
        return self._space

    def observation_space(self, params):
        return spaces.Box(-np.inf, np.inf, (1,))


@pytest.fixture
def register(monkeypatch):
    """Register environments with gymnax, for the time of a test."""
    import gymnax as library
    from gymnax import registration

    monkeypatch.setattr(registration, "_registry", dict(registration._registry))
    known = list(library.registered_envs)
    yield library.register
    library.registered_envs[:] = known
    gymnax.config.cache_clear()


MADE = {
    "class": Mine,
    "lambda": lambda: Mine(),
    "partial": functools.partial(Mine, params=MineParams(pull=0.5)),
}


@pytest.mark.parametrize("factory", MADE.values(), ids=MADE)
def test_an_environment_registered_at_run_time(register, factory):
    register("Mine-v0", factory)
    assert "Mine-v0" in registry.envs.names()
    assert ("Mine-v0", "Mine-v0, registered with gymnax.") in registry.envs.summaries()
    options = registry.envs.get("Mine-v0")
    defaults = defaults_of(options)
    assert defaults == {"max_steps_in_episode": 7, "pull": 0.5}
    environment = options(pull=0.25, max_steps_in_episode=3).build()
    assert environment.spec == Spec((1,), Box((1,))) and environment.max_steps == 3
    state, observation = environment.reset(KEYS[0])
    _, after, _, _ = environment.step(KEYS[1], state, jnp.ones(1))
    np.testing.assert_allclose(after, observation - 0.25 * 2, rtol=1e-6)


def test_one_without_a_time_limit_gets_one(register):
    register("Mine-v0", functools.partial(Mine, params=object()))
    options = registry.envs.get("Mine-v0")
    assert [*defaults_of(options)] == ["max_steps_in_episode"]
    assert options().build().max_steps == 1000
    assert options(max_steps_in_episode=5).build().max_steps == 5
    with pytest.raises(UserError, match="parameters have no max_steps_in_episode"):
        gymnax.wrap(Mine(), object())


def test_the_end_is_told_by_the_environment_or_by_is_truncated():
    class Truncating(Mine):
        def is_truncated(self, state, params):
            return state.time >= 2

    for made, ends in ((Mine(), [False] * 3), (Truncating(), [False, True, True])):
        environment = gymnax.wrap(made, made.default_params)
        state, _ = environment.reset(KEYS[0])
        for expected in ends:
            state, _, _, done = environment.step(KEYS[0], state, jnp.zeros(1))
            assert bool(done) is expected


def fail():
    raise RuntimeError("no\nluck")


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (fail, "environment Mine-v0 could not be made: RuntimeError: no luck"),
        (lambda size: Mine(), "could not be made: TypeError"),
        (lambda: 3, "Environment factory must return a Gymnax Environment"),
    ],
)
def test_one_that_cannot_be_made(register, factory, expected):
    register("Mine-v0", factory)
    with pytest.raises(UserError, match=expected) as error:
        registry.envs.get("Mine-v0")
    assert expected in dict(registry.envs.summaries())["Mine-v0"]
    assert "\n" not in str(error.value)


def without(name):
    return type("Lacking", (Mine,), {name: None})()


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (without("step_env"), "environment Lacking: it has no step_env; expected"),
        (Mine(action_space=spaces.Tuple([])), "its action space is empty; expected"),
        (Mine(action_space=spaces.Space()), "its action space is a Space; expected"),
        (
            Mine(action_space=spaces.Box(-np.inf, np.inf, (1,))),
            "low bound of action 0 is",
        ),
        (
            type("Seeing", (Mine,), {"reset_env": lambda *_: ({"a": "x"}, 0)})(),
            "environment Seeing: its observation has a str at a; expected arrays of",
        ),
    ],
)
def test_one_that_policies_cannot_act_in(env, expected):
    with pytest.raises(UserError, match=expected):
        gymnax.wrap(env, env.default_params)


class Seeing(Mine):
    """It shows an integer, a direction and a flag, each by itself."""

    def _see(self, state):
        return {"at": (jnp.uint8(3), state.time % 4), "lit": state.x > 0}

    def reset_env(self, key, params):
        _, state = super().reset_env(key, params)
        return self._see(state), state

    def step_env(self, key, state, action, params):
        _, state, *rest = super().step_env(key, state, action, params)
        return self._see(state), state, *rest

    def observation_space(self, params):
        at = spaces.Tuple([spaces.Box(0, 9, (), jnp.uint8), spaces.Discrete(4)])
        return spaces.Dict({"lit": spaces.Box(0, 1, (), jnp.bool_), "at": at})


def test_dicts_and_tuples_become_one_array_with_names(register):
    register("Seeing-v0", Seeing)
    options = registry.envs.get("Seeing-v0")()
    environment = options.build()
    assert environment.spec.observation == (6,)
    state, observation = environment.reset(KEYS[0])
    assert observation.dtype == jnp.float32
    assert observation.tolist() == [3, 1, 0, 0, 0, 1]
    _, observation, _, _ = environment.step(KEYS[0], state, jnp.ones(1))
    assert observation.tolist() == [3, 0, 1, 0, 0, 0]
    names = ("at.0", "at.1=0", "at.1=1", "at.1=2", "at.1=3", "lit")
    assert options.features == names
    assert registry.envs.get("CartPole-v1")().features == tables.FEATURES["CartPole-v1"]


class Driving(Mine):
    """It takes a dict of a gear, and of what the feet do."""

    def step_env(self, key, state, action, params):
        gear, (pedal, brake) = action["gear"], action["feet"]
        x = 100.0 * gear + pedal.sum() - brake
        return x[None], MineState(x, state.time + 1), x, False, {}

    def action_space(self, params):
        feet = spaces.Tuple([spaces.Box(0.0, 1.0, (1,)), spaces.Box(0.0, 9.0, ())])
        return spaces.Dict({"gear": spaces.Discrete(3), "feet": feet})


def test_an_action_may_be_a_dict():
    environment = gymnax.wrap(Driving(), MineParams())
    assert environment.spec.action == Box((5,))
    state, _ = environment.reset(KEYS[0])
    action = jnp.array([0.0, 0.2, 0.1, 1.0, -1.0])
    _, observation, reward, _ = environment.step(KEYS[0], state, action)
    assert observation.tolist() == [101]
    assert reward == 101


def test_an_observation_that_is_not_as_declared():
    class Lying(Seeing):
        def observation_space(self, params):
            return spaces.Dict({"lit": spaces.Box(0, 1, ())})

    expected = "environment Lying: its observation has at.0, at.1, lit; its declared "
    with pytest.raises(UserError, match=f"{expected}space has lit"):
        gymnax.wrap(Lying(), MineParams())


def test_what_only_pictures_need_is_imported_on_first_use(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with gymnax._on_first_use("colorsys"):
        import colorsys as stand_in
    assert "colorsys" not in sys.modules
    assert stand_in.rgb_to_hls is importlib.import_module("colorsys").rgb_to_hls
