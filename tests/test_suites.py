"""Optional suites: their names, their environments, and what is said without them."""

import dataclasses
import importlib
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from suites import SUITES, run

from neuroevo import registry
from neuroevo.config.layers import Layer
from neuroevo.config.resolve import resolve
from neuroevo.environments import jumanji, pgx, suites, xminigrid
from neuroevo.environments.playground import MENAGERIE
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, MultiDiscrete, Spec, best, choices
from neuroevo.tasks.normalization import NoNormalization
from neuroevo.tasks.task import evaluate, make_task, random_act

KEY = jax.random.key(3)
INSTALLED = {name: suite for name, suite in SUITES.items() if not suite.missing()}


def needs(extra):
    """Skip a test where a suite is not installed."""
    return pytest.mark.skipif(extra not in INSTALLED, reason=f"{extra} is missing")


# --- names ----------------------------------------------------------------------------


def names_in_playground():
    from mujoco_playground import registry as library

    return library.ALL_ENVS


def names_in_pgx():
    import pgx as library

    return library.available_envs()


def names_in_xminigrid():
    import xminigrid as library

    left_out = ("XLand", "MiniGrid-Playground")
    return [n for n in library.registered_environments() if not n.startswith(left_out)]


def names_in_craftax():
    from craftax.craftax_env import make_craftax_env_from_name as make

    kinds = [f"{a}{b}" for a in ("", "Classic-") for b in ("Symbolic", "Pixels")]
    names = [f"Craftax-{kind}-v1" for kind in kinds]
    return [name for name in names if make(name, auto_reset=False)]


def names_in_jumanji():
    import jumanji as library

    # Sokoban downloads its levels.
    return set(library.registered_environments()) - {"Sokoban-v0"}


@pytest.mark.slow
@pytest.mark.parametrize("extra", INSTALLED)
def test_the_names_are_those_of_the_suite(extra):
    found = globals()[f"names_in_{extra}"]()
    assert sorted(SUITES[extra].names()) == sorted(found)


def test_no_suite_takes_a_name_of_another():
    names = registry.envs._all_names(lambda family: True)
    assert len(names) == len(set(names)) >= 150


@pytest.mark.parametrize("extra", SUITES)
def test_a_suite_that_is_not_installed_says_how_to(extra, monkeypatch):
    suite = SUITES[extra]
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == suite.package else find(n)
    )
    command, name = f"pip install 'neuroevo[{extra}]'", suite.names()[0]
    row = (extra, f"{suite.about}; to install: {command}")
    assert row in registry.envs.summaries() and len(row[1]) <= 90
    assert name not in registry.envs.names()
    for asked in (name, f"{extra}:{name}"):
        with pytest.raises(UserError) as error:
            registry.envs.get(asked)
        assert str(error.value) == (
            f"environment {name} belongs to {extra}, which is not installed: {command}"
        )
    with pytest.raises(UserError, match=f"did you mean {name!r}"):
        registry.envs.get(f"{name}{name[-1]}")


def test_names_and_options_import_no_suite():
    run(
        """
        from neuroevo import registry

        registry.envs.summaries()
        for name in ("CartpoleBalance", "2048", "MiniGrid-MemoryS8"):
            for family in ("playground", "pgx", "xminigrid"):
                part = registry.envs._load(family)
                if name in part.names():
                    part.config(name)()
        suites = {"mujoco_playground", "pgx", "xminigrid", "craftax", "jumanji"}
        assert not suites & set(sys.modules)
        assert not {"mujoco", "gymnax"} & set(sys.modules)
        """
    )


# --- every environment ----------------------------------------------------------------

ALL = [(extra, name) for extra, suite in INSTALLED.items() for name in suite.names()]


@pytest.mark.slow
@pytest.mark.parametrize(("extra", "name"), ALL)
def test_every_environment_takes_a_step(extra, name, monkeypatch):
    options = SUITES[extra].config(name)()
    if hasattr(options, "menagerie"):  # the models of robots are not here
        monkeypatch.delenv(MENAGERIE, raising=False)
        with pytest.raises(UserError, match="needs the models of robots: expected"):
            options.build()
        return
    environment = options.build()
    state, observation = jax.jit(environment.reset)(KEY)
    assert observation.shape == environment.spec.observation
    assert observation.dtype == jnp.float32 and np.isfinite(observation).all()
    action = environment.spec.action
    chosen = jnp.zeros(action.shape) if isinstance(action, Box) else None
    if chosen is None:
        outputs = (sum(choices(action)),)
        legal = environment.legal(state) if environment.legal else jnp.ones(outputs)
        assert legal.shape == outputs and legal.any()
        chosen = best(legal, action).astype(jnp.int32)
    after, seen, reward, done = jax.jit(environment.step)(KEY, state, chosen)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    # As lists, since classes of suites may define what it means to be equal.
    assert [*map(kind, jax.tree.leaves(after))] == [*map(kind, jax.tree.leaves(state))]
    assert kind(seen) == kind(observation) and np.isfinite(seen).all()
    assert reward.shape == () and np.isfinite(reward) and jnp.shape(done) == ()
    if (features := options.features) is not None:
        assert len(features) == observation.shape[-1]


def kind(leaf):
    return leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)


def play(environment, episodes=4):
    """Return what random, legal actions get."""
    shape = environment.spec.observation
    task = make_task(environment, NoNormalization().build(shape))
    act = random_act(environment.spec)
    keys = jax.random.split(KEY, episodes)
    return jax.jit(lambda: evaluate(task, act, (), task.init(KEY), keys))()


# --- playground -----------------------------------------------------------------------


@needs("playground")
def test_playground_suggests_steady_actions():
    def action(**given):
        layer = Layer("", {"env": "CartpoleBalance"} | given)
        return resolve([layer]).parts["policy"].action

    assert action() == action(encoding="direct") == "greedy"
    assert action(policy={"action": "sample"}) == "sample"
    assert action(policy="gru") == "sample"  # suggestions are for the default policy


@needs("playground")
def test_playground_builds_silently_and_without_a_robot(tmp_path):
    run(
        """
        import jax
        from neuroevo.environments.playground import SUITE
        from neuroevo.spaces import Box, Spec

        options = SUITE.config("CartpoleBalance")(episode_length=10, action_repeat=3)
        environment = options.build()
        assert environment.spec == Spec((5,), Box((1,))), environment.spec
        assert environment.max_steps == 4
        assert options.suggests["normalization"] == "running" and options.slow
        state, _ = jax.eval_shape(environment.reset, jax.random.key(0))
        assert state.data.qpos.shape == (2,)
        assert options.features is None
        """,
        cwd=tmp_path,
    )
    assert list(tmp_path.iterdir()) == []


def test_robots_need_a_folder_that_the_user_names(monkeypatch, tmp_path):
    options = SUITES["playground"].config("Go1Getup")
    monkeypatch.delenv(MENAGERIE, raising=False)
    with pytest.raises(UserError, match="^environment Go1Getup needs the models of"):
        options().build()
    absent = tmp_path / "absent"
    for given in (options(menagerie=absent), options()):
        monkeypatch.setenv(MENAGERIE, str(absent))
        with pytest.raises(UserError, match=f"{absent} is not a folder; expected a"):
            given.build()


# --- pgx ------------------------------------------------------------------------------


@needs("pgx")
def test_a_board_game_against_an_opponent():
    environment = SUITES["pgx"].config("tic_tac_toe")().build()
    assert environment.spec == Spec((3, 3, 2), Discrete(9))
    keys = jax.random.split(KEY, 32)
    (game, _), seen = jax.vmap(environment.reset)(keys)
    assert (game.current_player == 0).all() and not game.terminated.any()
    theirs = seen[..., 1].sum((1, 2))  # the opponent begins in half of the games
    assert set(theirs.tolist()) == {0, 1}
    legal = jax.vmap(environment.legal)((game, None))
    np.testing.assert_array_equal(legal, (seen.sum(-1) == 0).reshape(-1, 9))
    outcome = play(environment, 64)
    returns = set(outcome.returns.tolist())
    assert returns == {-1.0, 0.0, 1.0} or returns == {-1.0, 1.0}
    assert outcome.lengths.max() <= 5 and outcome.lengths.min() >= 2


@needs("pgx")
def test_an_opponent_of_the_user():
    import pgx as library

    def first(state, key):
        return jnp.argmax(state.legal_action_mask)

    environment = pgx.against(library.make("tic_tac_toe"), first, max_steps=7)
    assert environment.max_steps == 7
    state, seen = environment.reset(KEY)
    theirs = seen[..., 1].reshape(-1)
    begun = int(theirs.sum())  # whether the opponent began, in the first field
    assert theirs.tolist() == [begun] + [0] * 8
    for turn, field in enumerate((8, 7)):
        state, seen, reward, done = environment.step(KEY, state, jnp.int32(field))
        marks = [1] * (begun + turn + 1)
        assert seen[..., 1].reshape(-1).tolist() == marks + [0] * (9 - len(marks))
    # The opponent has the first two or three fields, a row.
    assert (float(reward), bool(done)) == ((-1, True) if begun else (0, False))


@needs("pgx")
def test_options_of_minatar_reach_pgx():
    options = SUITES["pgx"].config("minatar-breakout")
    assert options().build().spec.action == Discrete(3)
    assert options(use_minimal_action_set=False).build().spec.action == Discrete(6)
    assert options(max_steps=7).build().max_steps == 7


# --- xminigrid ------------------------------------------------------------------------


@needs("xminigrid")
def test_cells_are_one_hot_and_time_is_no_end():
    options = SUITES["xminigrid"].config("MiniGrid-Empty-5x5")
    environment = options(max_steps=7, view_size=3).build()
    assert environment.spec == Spec((3, 3, 25), Discrete(6))
    assert environment.max_steps == 7 and options().build().max_steps == 100
    start, seen = environment.reset(KEY)  # at the top left, looking to the right
    np.testing.assert_array_equal(seen.sum(-1), 2)  # a tile and a color
    state = start
    for _ in range(7):
        state, seen, reward, done = environment.step(KEY, state, jnp.int32(1))
        assert not done and reward == 0
    state = start
    for action in (0, 0, 1, 0, 0):
        assert not done
        state, _, reward, done = environment.step(KEY, state, jnp.int32(action))
    assert done
    np.testing.assert_allclose(reward, 1 - 0.9 * 5 / 7, rtol=1e-6)


@needs("xminigrid")
def test_worlds_that_reset_by_themselves_are_refused():
    import xminigrid as library
    from xminigrid.wrappers import DirectionObservationWrapper, GymAutoResetWrapper

    env, params = library.make("MiniGrid-Empty-5x5")
    with pytest.raises(UserError, match="it resets by itself; expected one without"):
        registry.envs.adapt((GymAutoResetWrapper(env), params))
    raw = xminigrid.wrap(DirectionObservationWrapper(env), params)
    assert suites.environment(raw).spec.observation == (4 + 7 * 7 * 25,)
    assert suites.features(raw)[:2] == ("direction[0]", "direction[1]")


# --- craftax --------------------------------------------------------------------------


@needs("craftax")
def test_craftax_has_its_shape_and_its_limit():
    options = SUITES["craftax"].config("Craftax-Classic-Symbolic-v1")
    environment = options(max_steps=5).build()
    assert environment.spec == Spec((1345,), Discrete(17))
    assert environment.max_steps == 5 and options().max_steps == 10_000
    state, _ = jax.eval_shape(environment.reset, KEY)
    action = jax.ShapeDtypeStruct((), jnp.int32)
    after, *_, done = jax.eval_shape(environment.step, KEY, state, action)
    assert jax.tree.map(kind, after) == jax.tree.map(kind, state)
    assert done.shape == () and done.dtype == bool


# --- jumanji --------------------------------------------------------------------------


@needs("jumanji")
def test_combinations_become_choices_again():
    from jumanji import specs

    spec = specs.MultiDiscreteArray(jnp.array([2, 3, 4]), jnp.int32)
    action, convert = jumanji._actions("Mine", spec, jnp.ones((2, 3, 4), bool))
    assert action == Discrete(24)
    assert convert(jnp.int32(23)).tolist() == [1, 2, 3]
    assert convert(jnp.int32(6)).tolist() == [0, 1, 2]
    for mask, counts in (None, (2, 3, 4)), (jnp.ones((3, 4), bool), (4, 4, 4)):
        action, convert = jumanji._actions("Mine", spec, mask)
        assert action == MultiDiscrete(counts)
        assert convert(jnp.array([1, 2, 3])).tolist() == [1, 2, 3]


@needs("jumanji")
def test_several_agents_have_choices_and_masks_of_their_own():
    environment = SUITES["jumanji"].config("Connector-v3")().build()
    assert environment.spec.action == MultiDiscrete((5,) * 10)
    state, seen = jax.eval_shape(environment.reset, KEY)
    assert jax.eval_shape(environment.legal, state).shape == (50,)
    action = jax.ShapeDtypeStruct((10,), jnp.int32)
    _, _, reward, done = jax.eval_shape(environment.step, KEY, state, action)
    assert reward.shape == done.shape == ()


@needs("jumanji")
def test_observations_of_jumanji_have_names_and_masks_are_not_among_them():
    options = SUITES["jumanji"].config("Maze-v0")()
    environment = options.build()
    names = options.features
    assert environment.spec == Spec((len(names),), Discrete(4))
    assert names[:2] == ("agent_position.row", "agent_position.col")
    assert names[-1] == "walls[9, 9]" and "step_count" in names
    assert not any("mask" in name for name in names)
    state, seen = environment.reset(KEY)
    legal = environment.legal(state)
    for action in range(4):
        after, *_ = environment.step(KEY, state, jnp.int32(action))
        moved = after[0].agent_position != state[0].agent_position
        assert bool(moved) == bool(legal[action])


# --- objects of a suite ---------------------------------------------------------------


def objects():
    """Return an object of each installed suite, and its time limit."""
    if "pgx" in INSTALLED:
        import pgx as library

        yield "2048", library.make("2048"), 1000
    if "xminigrid" in INSTALLED:
        import xminigrid as library

        yield "Empty", library.make("MiniGrid-Empty-5x5"), 100
    if "craftax" in INSTALLED:
        from craftax.craftax_env import make_craftax_env_from_name as make

        env = make("Craftax-Classic-Symbolic-v1", auto_reset=False)
        yield "Craftax-Classic-Symbolic-NoAutoReset-v1", env, 10_000
    if "jumanji" in INSTALLED:
        import jumanji as library

        yield "Snake", library.make("Snake-v1"), 4000


def test_objects_of_suites_are_recognized():
    for name, value, steps in objects():
        options = registry.envs.adapt(value)
        assert options is not None and options.name == name
        assert options.build().max_steps == steps
    assert registry.envs.adapt(object()) is None


# --- the protocol ---------------------------------------------------------------------


def test_whatever_a_suite_returns_becomes_an_environment():
    def reset(key):
        return {"time": 0}, {"time": 0, "kind": jnp.uint8(2)}

    def step(key, state, action):
        time = state["time"] + 1
        return {"time": time}, {"time": time, "kind": jnp.uint8(1)}, action, time > 3

    counts = {"time": 0, "kind": 3}
    raw = suites.Raw("Mine", reset, step, Discrete(2), max_steps=5, counts=counts)
    environment = suites.environment(raw)
    assert environment.spec == Spec((4,), Discrete(2)) and environment.max_steps == 5
    state, seen = environment.reset(KEY)
    assert not state["time"].weak_type and seen.tolist() == [0, 0, 1, 0]
    state, seen, reward, done = environment.step(KEY, state, jnp.int32(1))
    assert not state["time"].weak_type and seen.tolist() == [0, 1, 0, 1]
    assert reward.dtype == jnp.float32 and reward == 1 and not done
    assert suites.features(raw) == ("kind=0", "kind=1", "kind=2", "time")


def test_options_are_dataclasses_with_a_limit():
    for suite in SUITES.values():
        for name in suite.names():
            fields = {field.name for field in dataclasses.fields(suite.config(name))}
            assert fields & {"max_steps", "episode_length"}
