"""Tasks: the rollout of episodes."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import counting_compilations

from neuroevo.core.acting import reactive
from neuroevo.environments.gymnax import suite as gymnax
from neuroevo.progress import UNLIMITED, Group
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.tasks.normalization import Constant, Episode, NoNormalization, Running
from neuroevo.tasks.recording import SEGMENT
from neuroevo.tasks.task import evaluate, make_task, random_act
from neuroevo.types import Environment

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


def choose(weights, observation, key):
    return jax.random.categorical(key, observation @ weights)


act_by = reactive(choose)


WEIGHTS = jax.random.normal(jax.random.key(3), (5, 2, 3))  # five policies
KEYS = jax.random.split(jax.random.key(1), 16)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_nothing_is_counted_after_the_end(name):
    task = make_task(countdown(), NORMALIZATIONS[name].build((2,)))
    state = task.init(jax.random.key(0))
    end = jax.jit(functools.partial(evaluate, task, act_by, WEIGHTS[0]))(state, KEYS)
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
    alone = jax.jit(functools.partial(evaluate, task, act_by, WEIGHTS[0]))
    for key in KEYS[:4]:
        end, steps = (
            alone(state, key[None]),
            task.record(act_by, WEIGHTS[0], state, key),
        )
        length = int(end.lengths[0])
        assert steps.rewards.sum() == end.returns[0]
        assert steps.observations.shape == (length, 2)
        np.testing.assert_array_equal(steps.observations[0], [0, 1])  # not normalized
        np.testing.assert_array_equal(steps.states["t"], np.arange(length))  # before
        assert np.isfinite(steps.observations).all()
        later = steps.observations[1:, 1]  # shows the previous action
        np.testing.assert_array_equal(later, steps.actions[:-1])


@pytest.mark.parametrize("length", [1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 700])
def test_a_recording_costs_what_the_episode_takes(length):
    """Whatever the time limit; a state may hold keys, which numpy does not know."""
    calls = []

    def step(key, state, action):
        jax.debug.callback(lambda: calls.append(None))
        t, key = state
        return (t + 1, jax.random.split(key)[0]), jnp.zeros(2), 1.0, t + 1 >= action

    environment = Environment(
        Spec((2,), Discrete(99)), lambda key: ((0, key), jnp.zeros(2)), step, 10**6
    )
    task = make_task(environment, NoNormalization().build((2,)))
    with counting_compilations() as compiled:
        for _ in range(2):  # the second one compiles nothing
            steps = task.record(lasting, length, (), KEYS[0])
            programs, compiled[:] = list(compiled), []
    jax.effects_barrier()
    assert len(calls) == 2 * length and not programs
    assert steps.rewards.shape == steps.states[1].shape == (length,)
    np.testing.assert_array_equal(steps.states[0], np.arange(length))


@pytest.mark.parametrize("keep", [1, 5, 300])
@pytest.mark.parametrize("length", [1, SEGMENT + 1, 1000])
def test_a_long_recording_is_thinned_out(length, keep):
    """Its memory does not grow with the episode; what is kept is as in the whole."""

    def step(key, state, action):
        return state + 1, jnp.zeros(2), 1.0 * state, state + 1 >= action

    environment = Environment(
        Spec((2,), Discrete(9999)), lambda key: (0, jnp.zeros(2)), step, 10**6
    )
    task = make_task(environment, NoNormalization().build((2,)))
    steps = task.record(lasting, length, (), KEYS[0], keep=keep)
    np.testing.assert_array_equal(steps.rewards, np.arange(length))
    kept = len(steps.numbers)
    assert min(keep, length) <= kept <= 2 * keep + 1
    assert steps.numbers[-1] == length - 1
    np.testing.assert_array_equal(steps.states, steps.numbers)
    assert len(steps.observations) == len(steps.actions) == kept
    assert len({*np.diff(steps.numbers[:-1])}) <= 1  # evenly spaced


lasting = reactive(lambda length, observation, key: length)


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
    end = jax.jit(functools.partial(evaluate, task, act, ()))((), KEYS[:4])
    jax.effects_barrier()
    turns = int(end.lengths.max())
    assert turns == min(limit, turns) and (turns <= 3) == (longest == 3)
    assert len(calls) in (turns, 4 * turns)  # depending on how jax batches callbacks


def play(task, act, load, state, size, count, slots, stride=1):
    progress = task.begin(act, load, state, size, slots)
    end, _ = task.play(act, load, state, count, progress, UNLIMITED, stride)
    return end.outcomes


@pytest.mark.parametrize("name", ["running", "episode"])
@pytest.mark.parametrize(
    ("width", "slots", "count", "stride"),
    [
        (1, 3, 5, 1),
        (2, 2, 3, 3),
        *[
            pytest.param(*sizes, marks=pytest.mark.slow)
            for sizes in [(1, 1, 6, 1), (1, 8, 6, 4), (3, 1, 1, 1)]
        ],
    ],
)
def test_playing_groups_equals_playing_policies_alone(
    name, width, slots, count, stride
):
    """Six policies, each group with episodes of its own, through few slots or many."""
    task = make_task(countdown(), NORMALIZATIONS[name].build((2,)))
    state = task.init(jax.random.key(0))
    weights = jnp.concatenate([WEIGHTS, -WEIGHTS[:1]]).reshape(-1, width, 2, 3)
    size = len(weights)
    keys = jax.random.split(jax.random.key(2), (size, 4))
    valid = (jnp.arange(6) != 4).reshape(-1, width)

    def load(rows):
        return Group(weights[rows], keys[rows], valid[rows])

    everything = functools.partial(play, task, act_by, load, state, size)
    together = jax.jit(lambda n: everything(n, slots, stride))(count)
    by_itself = jax.jit(lambda w, keys: evaluate(task, act_by, w, state, keys))
    for row in range(count):
        for column in range(width):
            alone = by_itself(weights[row, column], keys[row])
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


def test_a_group_that_has_ended_makes_room():
    """Of one long group and many short ones, none waits for the long one."""
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
    play_all = functools.partial(play, task, reactive(lambda life, *_: life), load, ())
    lengths = jax.jit(lambda: play_all(rows, rows, 2).lengths)()
    jax.effects_barrier()
    np.testing.assert_array_equal(lengths[:, 0, 0], [long] + [short] * (rows - 1))
    # Beside the long group the 29 short ones pass, one after the other.
    assert len(calls) in (long, 2 * long)  # depending on how jax batches callbacks


def test_a_failure_while_alive_is_not_hidden():
    environment = countdown()
    failing = environment._replace(
        step=lambda *args: (*environment.step(*args)[:2], jnp.nan, True)
    )
    task = make_task(failing, NoNormalization().build((2,)))
    end = jax.jit(functools.partial(evaluate, task, act_by, WEIGHTS[0]))((), KEYS)
    assert np.isnan(end.returns).all()


def test_box_actions_are_clipped_and_only_those():
    spec = Spec((2,), Box((2,)))
    task = make_task(countdown(spec=spec), NoNormalization().build((2,)))

    act = reactive(lambda params, observation, key: params)
    steps = task.record(act, jnp.array([-7.0, 0.25]), (), KEYS[0])
    np.testing.assert_array_equal(steps.actions[0], [-1.0, 0.25])


def test_random_act_covers_the_action_space():
    def drawn(spec, keys, legal=None):
        act = random_act(spec).act
        return jax.vmap(lambda key: act((), (), None, legal, key)[0])(keys)

    actions = drawn(Spec((1,), Box((2,))), jax.random.split(jax.random.key(0), 500))
    assert actions.shape == (500, 2)
    assert actions.min() < -0.95 and actions.max() > 0.95
    three = Spec((1,), Discrete(3))
    assert set(np.asarray(drawn(three, KEYS))) == {0, 1, 2}
    legal = jnp.array([True, False, True])
    assert set(np.asarray(drawn(three, KEYS, legal))) == {0, 2}


def test_cartpole_equals_a_plain_loop_over_gymnax():
    import gymnax as library

    env, params = library.make("CartPole-v1")
    environment = gymnax.config("CartPole-v1")().build()
    task = make_task(environment, NoNormalization().build((4,)))
    weights = jax.random.normal(jax.random.key(4), (4, 2))
    act = functools.partial(choose, weights)
    keys = KEYS[:3]
    end = jax.jit(functools.partial(evaluate, task, act_by, weights))((), keys)

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
