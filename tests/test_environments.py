"""What holds for the environments of every suite: options, actions, silence."""

import dataclasses
from importlib.metadata import EntryPoint
from typing import Annotated, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from suites import SUITES, run
from typing_extensions import Doc

from neuroevo import registry
from neuroevo.config import ranges
from neuroevo.environments.actions import Taker, join, scale_to
from neuroevo.environments.brax import suite as brax
from neuroevo.environments.brax import tables as brax_tables
from neuroevo.environments.gymnax import tables
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, MultiDiscrete

# --- options, of every suite ----------------------------------------------------------


GENERATED = [*tables.PARAMS, *brax_tables.OPTIONS]
GENERATED += [name for suite in SUITES.values() for name in suite.names()]


@pytest.mark.parametrize("name", sorted({*registry.envs.names()} & {*GENERATED}))
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
    installed = [summaries[name] for name in registry.envs.names()]
    assert all(len(text) <= 70 for text in installed)


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


def test_a_number_with_one_bound_stays_on_its_side():
    low, high = [0.0, -INF, -1.0, -3.4e38], [INF, 2.0, 1.0, 5.0]
    scale = scale_to(low, high, (4,), np.float32, "Mine")
    found = jax.jit(jax.vmap(scale))(jnp.linspace(-1, 1, 5)[:, None] * jnp.ones(4))
    np.testing.assert_allclose(found[0], [0, -97, -1, -94], rtol=1e-5)
    np.testing.assert_allclose(found[2], [1, 1, 0, 4], atol=1e-6)
    np.testing.assert_allclose(found[4], [99, 2, 1, 5], rtol=1e-5)
    assert (np.diff(found, axis=0) > 0).all()
    with pytest.raises(UserError, match="the high bound of action is inf, unbounded"):
        scale_to(0, INF, (), np.int32, "Mine")


def same(action):
    return action


GEAR = Taker(Discrete(3), same)
DIALS = Taker(MultiDiscrete((2, 4)), same)
PEDALS = Taker(Box((2, 1)), scale_to(0.0, 10.0, (2, 1), float, "Mine"))


def test_discrete_parts_are_several_choices():
    joined = join([GEAR, DIALS, GEAR])
    assert joined.space == MultiDiscrete((3, 2, 4, 3))
    found = joined.convert(jnp.array([2, 1, 3, 0]))
    assert [part.tolist() for part in found] == [2, [1, 3], 0]


def test_boxes_are_one_box():
    joined = join([PEDALS, PEDALS])
    assert joined.space == Box((4,))
    found = joined.convert(jnp.array([-1.0, 0.0, 1.0, 0.5]))
    assert [part.tolist() for part in found] == [[[0], [5]], [[10], [7.5]]]


def test_the_largest_number_chooses_where_there_are_boxes_too():
    joined = join([GEAR, PEDALS, DIALS])
    assert joined.space == Box((3 + 2 + 2 + 4,))
    numbers = [0.1, -1, 0.3, -1, 1, 1, 0, 0, 0, 0.5, 0]
    found = joined.convert(jnp.array(numbers))
    assert [part.tolist() for part in found] == [2, [[0], [10]], [0, 2]]


# --- processes ------------------------------------------------------------------------


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
