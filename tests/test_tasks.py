"""The rollout, and the environments of gymnax and brax behind it."""

import functools
import itertools
import subprocess
import sys
import textwrap
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuroevo import registry
from neuroevo.core.rollout import make_task
from neuroevo.environments import gymnax
from neuroevo.environments.brax import suite as brax
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.tasks.normalization import Constant, Episode, NoNormalization, Running
from neuroevo.types import Environment, Group, random_act

LIMIT = 9
NORMALIZATIONS = {
    "none": NoNormalization(),
    "constant": Constant(warmup_episodes=3),
    "running": Running(),
    "episode": Episode(),
}


def countdown(limit=LIMIT, longest=12, on_step=lambda: None, spec=None) -> Environment:
    """Episodes of a random length that pay 1, 2, 3, … and NaN after their end.

    An episode may draw a length beyond the time limit.
    """

    def reset(key):
        length = jax.random.randint(key, (), 1, longest + 1)
        return {"t": 0, "length": length}, jnp.array([0.0, 1.0])

    def step(key, state, action):
        on_step()
        t, length = state["t"] + 1, state["length"]
        noise = jax.random.uniform(key)
        observation = jnp.stack([t + noise, jnp.sum(action).astype(float)])
        is_over = t > length
        observation = jnp.where(is_over, jnp.nan, observation)
        reward = jnp.where(is_over, jnp.nan, t)
        # Once over it claims to go on: nobody may believe it.
        return {"t": t, "length": length}, observation, reward, t == length

    return Environment(spec or Spec((2,), Discrete(3)), reset, step, limit)


def linear(weights):
    def act(observation, key):
        return jax.random.categorical(key, observation @ weights)

    return act


WEIGHTS = jax.random.normal(jax.random.key(3), (5, 2, 3))  # five policies
KEYS = jax.random.split(jax.random.key(1), 16)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_nothing_is_counted_after_the_end(name):
    task = make_task(countdown(), NORMALIZATIONS[name].build((2,)))
    state = task.init(jax.random.key(0))
    end = jax.jit(functools.partial(task.evaluate, linear(WEIGHTS[0])))(state, KEYS)
    lengths = np.asarray(end.lengths)
    assert lengths.dtype == np.int32
    assert lengths.min() >= 1 and lengths.max() == LIMIT and len(set(lengths)) > 3
    np.testing.assert_array_equal(end.returns, lengths * (lengths + 1) / 2)
    for stat in jax.tree.leaves(end.stats):
        assert np.isfinite(stat).all()
    if name == "running":
        assert end.stats.count == lengths.sum()
    for constant in task.constants(task.update(state, end.stats)).values():
        assert constant.shape == (2,) and np.isfinite(constant).all()


@pytest.mark.parametrize("name", ["none", "running", "episode"])
def test_record_agrees_with_evaluate(name):
    task = make_task(countdown(), NORMALIZATIONS[name].build((2,)))
    state = task.init(jax.random.key(0))
    act = linear(WEIGHTS[0])
    evaluate, record = (
        jax.jit(functools.partial(task.evaluate, act)),
        jax.jit(functools.partial(task.record, act)),
    )
    for key in KEYS[:4]:
        end, steps = evaluate(state, key[None]), record(state, key)
        length = int(end.lengths[0])
        assert steps.alive.shape == (LIMIT,)
        np.testing.assert_array_equal(steps.alive, np.arange(LIMIT) < length)
        assert steps.rewards.sum() == end.returns[0]
        assert steps.observations.shape == (LIMIT, 2)
        np.testing.assert_array_equal(steps.observations[0], [0, 1])  # not normalized
        np.testing.assert_array_equal(steps.states["t"], np.arange(LIMIT))  # before
        assert np.isfinite(steps.observations[:length]).all()
        later = steps.observations[1:length, 1]  # shows the previous action
        np.testing.assert_array_equal(later, steps.actions[: length - 1])


@pytest.mark.parametrize("longest", [3, 100])
def test_the_loop_ends_with_the_last_episode(longest):
    """Counted on the host: one callback for each episode and turn of the loop."""
    calls = []

    def on_step():
        jax.debug.callback(lambda: calls.append(None))

    limit = 20
    environment = countdown(limit=limit, longest=longest, on_step=on_step)
    task = make_task(environment, NoNormalization().build((2,)))
    act = random_act(environment.spec)
    end = jax.jit(functools.partial(task.evaluate, act))((), KEYS[:4])
    jax.effects_barrier()
    turns = int(end.lengths.max())
    assert turns == min(limit, turns) and (turns <= 3) == (longest == 3)
    assert len(calls) in (turns, 4 * turns)  # depending on how jax batches callbacks


@pytest.mark.parametrize("name", ["running", "episode"])
@pytest.mark.parametrize(
    ("width", "slots", "count"), [(1, 1, 6), (1, 3, 5), (1, 8, 6), (2, 2, 3), (3, 1, 1)]
)
def test_playing_rows_of_policies_equals_playing_them_alone(name, width, slots, count):
    """Six policies, each row with episodes of its own, through few slots or many."""
    task = make_task(countdown(), NORMALIZATIONS[name].build((2,)))
    state = task.init(jax.random.key(0))
    weights = jnp.concatenate([WEIGHTS, -WEIGHTS[:1]]).reshape(-1, width, 2, 3)
    size = len(weights)
    keys = jax.random.split(jax.random.key(2), (size, 4))
    valid = (jnp.arange(6) != 4).reshape(-1, width)

    def load(rows):
        return Group(weights[rows], keys[rows], valid[rows])

    def act(weights, observation, key):
        return linear(weights)(observation, key)

    together = jax.jit(lambda n: task.play(act, load, state, size, n, slots))(count)
    evaluate = jax.jit(lambda w, keys: task.evaluate(linear(w), state, keys))
    for row in range(count):
        for column in range(width):
            alone = evaluate(weights[row, column], keys[row])
            assert len(set(alone.lengths.tolist())) > 1
            if not valid[row, column]:
                alone = alone._replace(returns=jnp.full(4, jnp.nan))
            found = jax.tree.map(lambda x: x[row, column], together)  # noqa: B023
            jax.tree.map(
                functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
                found,
                alone,
            )
    assert not together.lengths[count:].any()  # nor are the others played


def test_a_row_that_has_ended_makes_room():
    """Of one long row and many short ones, none waits for the long one."""
    long, short, rows, calls = 60, 2, 30, []

    def step(key, state, action):  # an action is how long the episode is to be
        jax.debug.callback(lambda: calls.append(None))
        t = state + 1
        return t, jnp.zeros(2), 1.0, t >= action

    def reset(key):
        return jnp.int32(0), jnp.zeros(2)

    def load(rows):
        lives = jnp.where(rows == 0, long, short)
        keys = jax.random.split(jax.random.key(0), (len(rows), 1))
        return Group(lives[:, None], keys, jnp.ones((len(rows), 1), bool))

    environment = Environment(Spec((2,), Discrete(99)), reset, step, 100)
    task = make_task(environment, NoNormalization().build((2,)))
    play = functools.partial(task.play, lambda life, *_: life, load, ())
    lengths = jax.jit(lambda: play(rows, rows, 2).lengths)()
    jax.effects_barrier()
    np.testing.assert_array_equal(lengths[:, 0, 0], [long] + [short] * (rows - 1))
    # Beside the long row the 29 short ones pass, one after the other.
    assert len(calls) in (long, 2 * long)  # depending on how jax batches callbacks


def test_a_failure_while_alive_is_not_hidden():
    environment = countdown()
    failing = environment._replace(
        step=lambda *args: (*environment.step(*args)[:2], jnp.nan, True)
    )
    task = make_task(failing, NoNormalization().build((2,)))
    end = jax.jit(functools.partial(task.evaluate, linear(WEIGHTS[0])))((), KEYS)
    assert np.isnan(end.returns).all()


def test_box_actions_are_clipped_and_only_those():
    spec = Spec((2,), Box((2,)))
    task = make_task(countdown(spec=spec), NoNormalization().build((2,)))

    def act(observation, key):
        return jnp.array([-7.0, 0.25])

    steps = jax.jit(functools.partial(task.record, act))((), KEYS[0])
    np.testing.assert_array_equal(steps.actions[0], [-1.0, 0.25])


def test_random_act_covers_the_action_space():
    box = jax.vmap(random_act(Spec((1,), Box((2,)))), (None, 0))
    actions = box(None, jax.random.split(jax.random.key(0), 500))
    assert actions.shape == (500, 2)
    assert actions.min() < -0.95 and actions.max() > 0.95
    discrete = jax.vmap(random_act(Spec((1,), Discrete(3))), (None, 0))
    assert set(np.asarray(discrete(None, KEYS))) == {0, 1, 2}


def test_cartpole_equals_a_plain_loop_over_gymnax():
    import gymnax as library

    env, params = library.make("CartPole-v1")
    environment = gymnax.config("CartPole-v1")().build()
    task = make_task(environment, NoNormalization().build((4,)))
    weights = jax.random.normal(jax.random.key(4), (4, 2))
    act = linear(weights)
    keys = KEYS[:3]
    end = jax.jit(functools.partial(task.evaluate, act))((), keys)

    step, jit_act = jax.jit(env.step_env), jax.jit(act)
    for key, total, length in zip(keys, end.returns, end.lengths, strict=True):
        reset_key, act_key, step_key = jax.random.split(key, 3)
        observation, state = env.reset_env(reset_key, params)
        rewards = []
        for t in itertools.count():
            action = jit_act(observation, jax.random.fold_in(act_key, t))
            observation, state, reward, terminated, _ = step(
                jax.random.fold_in(step_key, t), state, action, params
            )
            rewards.append(float(reward))
            if terminated or env.is_truncated(state, params):
                break
        assert len(rewards) == length and sum(rewards) == total


# --- gymnax ---------------------------------------------------------------------------

EVALUATED = ("CartPole-v1", "Pendulum-v1")


def test_gymnax_names_are_those_of_gymnax():
    import gymnax as library

    assert set(library.registered_envs) >= set(gymnax._NAMES)
    missing = set(library.registered_envs) - set(gymnax._NAMES)
    assert missing == {"MNISTBandit-bsuite"}
    assert set(gymnax.names()) <= set(registry.envs.names())
    assert registry.envs.get("gymnax:CartPole-v1") is gymnax.config("CartPole-v1")


@pytest.mark.parametrize("name", gymnax._NAMES)
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
        for name in gymnax._NAMES
    ],
)
def test_gymnax_environment_runs(name):
    environment = gymnax.config(name)(max_steps_in_episode=LIMIT).build()
    task = make_task(environment, NoNormalization().build(None))
    act = random_act(environment.spec)

    @jax.jit
    def both(keys):
        return task.evaluate(act, (), keys), task.record(act, (), keys[0])

    end, steps = both(KEYS)
    assert np.isfinite(end.returns).all()
    assert (end.lengths >= 1).all() and (end.lengths <= LIMIT).all()
    np.testing.assert_allclose(steps.rewards.sum(), end.returns[0], rtol=1e-5)
    assert steps.alive.sum() == end.lengths[0]
    seen = steps.observations[np.asarray(steps.alive)]
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

    for name, derived in gymnax._DERIVED.items():
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
    with pytest.raises(UserError, match="max_steps_in_episode must be at least 1"):
        gymnax.config("CartPole-v1")(max_steps_in_episode=0).build()
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
        from neuroevo.environments import gymnax

        for family, name in (gymnax, "FrozenLake-misc"), (brax, "fast"):
            family.names()
            assert not ({"gymnax", "brax"} & set(sys.modules)) or family is brax
            family.config(name)
        jax.config.update("jax_num_cpu_devices", 2)
        assert len(jax.devices("cpu")) == 2
        import gymnax as library

        env, params = library.make("FrozenLake-misc")
        key = jax.random.key(0)
        observation, state = env.reset(key, params)
        jax.vmap(env.step, (None, None, 0, None))(
            key, state, jax.numpy.arange(4), params
        )
        """
    )


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
    assert set(brax._NAMES) == set(BRAX_SPECS)
    assert set(brax._import_brax()._envs) - set(brax._NAMES) == {"swimmer"}
    assert "swimmer" not in brax.names()
    assert registry.envs.get("brax:hopper") is brax.config("hopper")


@pytest.mark.parametrize("name", brax._NAMES)
def test_brax_spec(name):
    options = brax.config(name)
    environment = options().build()
    observation, action = BRAX_SPECS[name]
    assert environment.spec == Spec((observation,), Box((action,)))
    assert environment.max_steps == 1000
    assert options.suggests == {"normalization": "running"}
    if choices := brax.backends(name):
        assert get_args(get_type_hints(options)["backend"]) == choices
        assert options().backend == choices[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, backend",
    [(name, backend) for name in brax._NAMES for backend in brax.backends(name)],
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
    check_brax_rollout("inverted_pendulum")  # the fastest to compile


@pytest.mark.slow
def test_brax_rollout_of_hopper():
    task, act, state, end = check_brax_rollout("hopper")
    assert len(set(np.asarray(end.returns).tolist())) == len(KEYS)
    steps = jax.jit(functools.partial(task.record, act))(state, KEYS[0])
    assert steps.alive.sum() == end.lengths[0]
    np.testing.assert_allclose(steps.rewards.sum(), end.returns[0], rtol=1e-3)
    assert (np.abs(steps.actions) <= 1).all()
    assert steps.states.pipeline_state.q.shape[0] == LIMIT  # what rendering needs


def test_brax_user_errors():
    with pytest.raises(UserError, match="episode_length must be at least 1, not 0"):
        brax.config("hopper")(episode_length=0).build()
    with pytest.raises(UserError, match="action_repeat must be at least 1"):
        brax.config("hopper")(action_repeat=0).build()
    with pytest.raises(UserError, match="backend should be in"):
        brax.config("hopper")(backend="bullet").build()


def test_nothing_is_said_and_warnings_of_others_survive(tmp_path):
    run(
        """
        import warnings
        import jax
        from neuroevo.environments.brax import suite as brax
        from neuroevo.environments import gymnax
        from neuroevo.core.rollout import make_task, random_act
        from neuroevo.tasks.normalization import NoNormalization

        gymnax.config("Pendulum-v1")().build()
        for name in ("halfcheetah", "fast"):
            environment = brax.config(name)().build()
            task = make_task(environment, NoNormalization().build(None))
            act = random_act(environment.spec)
            keys = jax.random.split(jax.random.key(0), 2)
            jax.eval_shape(lambda k: task.evaluate(act, (), k), keys)
        brax.config("humanoid")(backend="mjx").build()
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
