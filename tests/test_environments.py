"""The environments of gymnax and brax: names, options, and what they become."""

import dataclasses
import functools
import importlib
import inspect
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from typing import Annotated, get_args, get_origin, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from typing_extensions import Doc

from neuroevo import registry
from neuroevo.config import ranges
from neuroevo.environments.actions import scale_to
from neuroevo.environments.brax import registered
from neuroevo.environments.brax import suite as brax
from neuroevo.environments.brax import tables as brax_tables
from neuroevo.environments.gymnax import suite as gymnax
from neuroevo.environments.gymnax import tables
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.tasks.normalization import NoNormalization, Running
from neuroevo.tasks.task import make_task, random_act

LIMIT = 9
KEYS = jax.random.split(jax.random.key(1), 16)


def defaults_of(options: type) -> dict[str, object]:
    return {field.name: field.default for field in dataclasses.fields(options)}


# --- options, of every suite ----------------------------------------------------------


@pytest.mark.parametrize("name", registry.envs.names())
def test_every_option_has_a_text_of_its_own(name):
    options = registry.envs.get(name)
    for field in dataclasses.fields(options):
        assert get_origin(field.type) is Annotated
        (text,) = [n.documentation for n in get_args(field.type) if isinstance(n, Doc)]
        assert len(text.split()) >= 3 and not text.startswith("see "), field.name
        assert name not in text  # no "option of CartPole-v1"


def test_every_environment_says_what_it_asks_for():
    summaries = dict(registry.envs.summaries())
    assert tables.ABOUT.keys() == tables.PARAMS.keys()
    assert brax_tables.ABOUT.keys() == brax_tables.OPTIONS.keys()
    assert len(set(summaries.values())) >= len(summaries) - 1  # two mountain cars
    assert all(len(text) <= 70 for text in summaries.values())


@pytest.mark.parametrize("family", ["gymnax", "brax"])
@pytest.mark.parametrize(
    "option", ["max_steps_in_episode", "episode_length", "action_repeat"]
)
def test_time_limits_and_repetitions_are_at_least_one(family, option):
    name = {"gymnax": "CartPole-v1", "brax": "hopper"}[family]
    options = registry.envs.get(name)
    if option in {field.name for field in dataclasses.fields(options)}:
        with pytest.raises(UserError, match=f"env.{option}: expected an integer"):
            ranges.check(options(**{option: 0}), "env")


def test_an_entry_point_that_is_broken_hides_no_other(monkeypatch):
    points = [
        EntryPoint("broken", "no_such_module:family", "neuroevo.envs"),
        *registry.entry_points(group="neuroevo.envs"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    envs = registry.Registry("environment", "neuroevo.envs")
    assert "CartPole-v1" in envs.names() and "broken" not in envs.names()
    assert envs.get("hopper") is brax.config("hopper")
    reason = "environment broken cannot be loaded: ModuleNotFoundError: No module named"
    assert dict(envs.summaries())["broken"].startswith(reason)
    for name in ("broken", "broken:maze"):
        with pytest.raises(UserError, match=reason):
            envs.get(name)
    with pytest.raises(UserError, match=f"unknown environment 'maze'.*{reason}"):
        envs.get("maze")


# --- actions --------------------------------------------------------------------------

INF = float("inf")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-INF, INF, "the low bound of action 0 is -inf, unbounded"),
        (0.0, INF, "the high bound of action 0 is inf, unbounded"),
        (-3.4e38, 3.4e38, "the low bound of action 0 is -3.4e+38, unbounded"),
        (np.nan, 1.0, "the low bound of action 0 is not a number"),
        ([-1.0, -1.0], [1.0, np.nan], "the high bound of action 1 is not a number"),
        (
            [-1.0, 2.0],
            1.0,
            "the bounds of action 1 are 2 and 1; expected the lower one",
        ),
    ],
)
def test_bounds_that_actions_cannot_be_scaled_to(low, high, expected):
    with pytest.raises(UserError, match="environment Mine: .*expected") as error:
        scale_to(low, high, (2,), np.float32, "Mine")
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_each_integer_of_a_box_has_an_equal_share():
    scale = scale_to(-1, [2, 0], (2,), np.int32, "Mine")
    actions = jnp.linspace(-1, 1, 1001)
    scaled = np.asarray(jax.vmap(scale)(jnp.stack([actions, actions], 1)))
    assert scaled.dtype == np.int32
    for column, values in enumerate([(-1, 0, 1, 2), (-1, 0)]):
        found, counts = np.unique(scaled[:, column], return_counts=True)
        assert tuple(found) == values
        assert np.ptp(counts) <= 2


# --- gymnax ---------------------------------------------------------------------------

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
    end = jax.eval_shape(functools.partial(task.evaluate, act), state, KEYS)
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

    end = jax.jit(functools.partial(task.evaluate, act))((), KEYS)
    steps = task.record(lambda _, *args: act(*args), (), (), KEYS[0])
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


def test_gymnax_user_errors():
    with pytest.raises(UserError, match="map_name must be"):
        gymnax.config("FrozenLake-misc")(map_name="9x9").build()
    with pytest.raises(UserError, match="did you mean 'CartPole-v1'"):
        registry.envs.get("CartPol-v1")


def test_options_start_no_backend():
    """The number of CPU devices is set after the options have been read."""
    run(
        """
        import jax
        from neuroevo.environments.brax import suite as brax
        from neuroevo.environments.gymnax import suite as gymnax

        for family, name in (gymnax, "FrozenLake-misc"), (brax, "fast"):
            family.names()
            family.config(name)
            assert not {"gymnax", "brax"} & set(sys.modules)
        jax.config.update("jax_num_cpu_devices", 2)
        assert len(jax.devices("cpu")) == 2
        """
    )


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
        return spaces.Box(-INF, INF, (1,))


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
    assert [field.name for field in dataclasses.fields(options)] == [
        "max_steps_in_episode"
    ]
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
        (Mine(action_space=spaces.Tuple([])), "its action space is a Tuple; expected"),
        (Mine(action_space=spaces.Box(-INF, 1.0, (1,))), "low bound of action 0 is"),
        (
            type("Seeing", (Mine,), {"reset_env": lambda *_: ({"a": 1.0}, 0)})(),
            "environment Seeing: its observation is a dict; expected one array",
        ),
    ],
)
def test_one_that_policies_cannot_act_in(env, expected):
    with pytest.raises(UserError, match=expected):
        gymnax.wrap(env, env.default_params)


# --- brax -----------------------------------------------------------------------------

BRAX_SPECS = {  # observation and action sizes of gym's MuJoCo environments
    "ant": (27, 8),
    "fast": (2, 1),
    "halfcheetah": (17, 6),
    "hopper": (11, 3),
    "humanoid": (244, 17),
    "humanoidstandup": (244, 17),
    "inverted_pendulum": (4, 1),
    "inverted_double_pendulum": (8, 1),
    "pusher": (23, 7),
    "reacher": (11, 2),
    "walker2d": (17, 6),
}


def test_brax_names_are_those_of_brax():
    assert set(brax_tables.OPTIONS) == set(BRAX_SPECS)
    importlib.import_module("brax.envs")
    assert set(registered.constructors()) - set(brax_tables.OPTIONS) == {"swimmer"}
    assert "swimmer" not in brax.names()
    assert registry.envs.get("brax:hopper") is brax.config("hopper")


@pytest.mark.parametrize("name", brax_tables.OPTIONS)
def test_brax_options_are_those_of_brax(name):
    importlib.import_module("brax.envs")
    constructor = registered.constructors()[name]
    found = {
        parameter.name: parameter.default
        for parameter in inspect.signature(constructor).parameters.values()
        if parameter.name not in ("backend", "kwargs", "obs_mode")
    }
    ours = defaults_of(brax.config(name))
    common = brax_tables.common_options(name)
    assert ours == {key: option.default for key, option in common.items()} | found


@pytest.mark.parametrize("name", brax_tables.OPTIONS)
def test_brax_spec(name):
    options = brax.config(name)
    environment = options().build()
    observation, action = BRAX_SPECS[name]
    assert environment.spec == Spec((observation,), Box((action,)))
    assert environment.max_steps == 1000
    assert options.suggests == {"normalization": "running"}
    if choices := brax_tables.backends(name):
        assert get_args(get_type_hints(options)["backend"]) == choices
        assert options().backend == choices[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, backend",
    [
        (name, backend)
        for name in brax_tables.OPTIONS
        for backend in brax_tables.backends(name)
    ],
)
def test_brax_backend_traces(name, backend):
    environment = brax.config(name)(backend=backend).build()
    task = make_task(environment, NoNormalization().build(None))
    act = random_act(environment.spec)
    end = jax.eval_shape(functools.partial(task.evaluate, act), (), KEYS)
    assert end.returns.shape == (16,)


def test_brax_options_are_typed():
    options = brax.config("hopper")
    hints = get_type_hints(options)
    assert hints["healthy_z_range"] == tuple[float, float]
    assert hints["episode_length"] is int
    assert options().healthy_z_range == (0.7, float("inf"))
    assert options().backend == "positional"


def test_an_environment_that_a_user_registers_with_brax(monkeypatch):
    envs = importlib.import_module("brax.envs")
    fast = type(envs.get_environment("fast"))

    class Faster(fast):
        def __init__(self, boost=2.0, label=None, backend=None):
            super().__init__()
            self.boost = boost

    monkeypatch.setattr(envs, "_envs", dict(envs._envs))
    envs.register_environment("faster", Faster)
    assert ("faster", "faster, registered with brax.") in registry.envs.summaries()
    options = registry.envs.get("faster")
    assert defaults_of(options) == {
        "backend": "positional",
        "episode_length": 1000,
        "action_repeat": 1,
        "boost": 2.0,
    }
    assert not registry.is_bundled(options())  # it is checked like parts made in Python
    assert options(boost=3.0).build().spec == Spec((2,), Box((1,)))
    brax.config.cache_clear()


def test_brax_action_repeat():
    once = brax.config("fast")().build()
    twice = brax.config("fast")(action_repeat=2, episode_length=7).build()
    assert twice.max_steps == 4
    state, _ = once.reset(KEYS[0])
    action, total = jnp.ones(1), 0.0
    state_twice, _, reward_twice, _ = twice.step(KEYS[0], state, action)
    for _ in range(2):
        state, _, reward, _ = once.step(KEYS[0], state, action)
        total += reward
    assert reward_twice == total
    assert state_twice.obs[0] == state.obs[0]


def check_brax_rollout(name):
    environment = brax.config(name)(episode_length=LIMIT).build()
    task = make_task(environment, Running().build(environment.spec.observation))
    act = random_act(environment.spec)
    state = task.init(KEYS[0])
    end = jax.jit(functools.partial(task.evaluate, act))(state, KEYS)
    assert np.isfinite(end.returns).all()
    assert (end.lengths >= 1).all() and (end.lengths <= LIMIT).all()
    after = task.update(state, end.stats)
    assert after.count == end.lengths.sum()
    assert np.isfinite(after.mean).all() and (after.var > 0).all()
    return task, act, state, end


def test_brax_rollout():
    check_brax_rollout("fast")  # has no physics


@pytest.mark.slow
def test_brax_rollout_of_inverted_pendulum():
    check_brax_rollout("inverted_pendulum")  # the fastest of the others to compile


@pytest.mark.slow
def test_brax_rollout_of_hopper():
    task, act, state, end = check_brax_rollout("hopper")
    assert len(set(np.asarray(end.returns).tolist())) == len(KEYS)
    steps = task.record(lambda _, *args: act(*args), (), state, KEYS[0])
    assert len(steps.rewards) == end.lengths[0]
    np.testing.assert_allclose(steps.rewards.sum(), end.returns[0], rtol=1e-3)
    assert (np.abs(steps.actions) <= 1).all()
    assert len(steps.states.pipeline_state.q) == len(steps.rewards)  # to be drawn


def test_brax_user_errors():
    with pytest.raises(UserError, match="backend should be in"):
        brax.config("hopper")(backend="bullet").build()


def test_nothing_is_said_and_warnings_of_others_survive(tmp_path):
    run(
        """
        import warnings
        import jax
        from neuroevo.environments.brax import suite as brax
        from neuroevo.environments.gymnax import suite as gymnax

        gymnax.config("Pendulum-v1")().build()
        key = jax.random.key(0)
        for name in ("inverted_pendulum", "fast"):
            environment = brax.config(name)().build()
            state, _ = jax.eval_shape(environment.reset, key)
            jax.eval_shape(environment.step, key, state, jax.numpy.zeros(1))
        brax.config("hopper")(backend="mjx").build()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("mine")
        assert len(caught) == 1
        """,
        cwd=tmp_path,
    )
    assert list(tmp_path.iterdir()) == []


def run(code, cwd=None):
    """Run `code` in a fresh interpreter, which must say nothing."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys\n" + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
