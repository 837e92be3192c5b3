"""The one rollout: episodes of many policies in parallel, masked and stopped early."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neuroevo.core import keys as random
from neuroevo.spaces import Box, Spec
from neuroevo.tasks.normalization import Normalizer
from neuroevo.types import (
    Act,
    Action,
    Array,
    Environment,
    Group,
    Key,
    Observation,
    Outcome,
    Params,
    Stats,
    Task,
    TaskState,
    Trajectory,
)


class _Episodes(NamedTuple):
    """What a policy's E episodes carry from step to step: sums, never a trajectory."""

    state: Any  # (E, …)
    observation: Array  # (E, *observation) not normalized
    alive: Array  # (E,) bool
    returns: Array  # (E,)
    lengths: Array  # (E,) int32
    normalizer: Any  # what the normalizer gathers on the way


class _Slots(NamedTuple):
    """Rows of policies in play, one in each of S slots: see `Task.play`."""

    row: Array  # (S,) int32 which one; out of range for none
    t: Array  # (S,) int32 steps taken
    params: Params  # (S, width, …)
    keys: Array  # (S, 2, E, …) of actions and of steps: the data of typed keys
    episodes: _Episodes  # (S, width, E, …)


def make_task(environment: Environment, normalizer: Normalizer) -> Task:
    """Combine an environment and an observation normalizer into a task.

    An episode's key determines it: `evaluate` and `record` give the same episode for
    the same key (under per-episode normalization only if it is evaluated alone).

    Args:
        environment: what to act in.
        normalizer: what the policy sees of it, see `neuroevo.tasks.normalization`.

    Returns:
        The task.
    """
    is_box = isinstance(environment.spec.action, Box)
    # Whether episodes that have ended keep the last observation that the policy saw. Of
    # images that takes a fifth of the time, and games draw them from whole numbers.
    is_vector = len(environment.spec.observation) == 1

    def begin(task_state: TaskState, keys: Key) -> _Episodes:
        state, observation = jax.vmap(environment.reset)(keys)
        return _Episodes(
            state=_strong(state),
            observation=jnp.asarray(observation, jnp.float32),
            alive=jnp.ones(keys.shape, bool),
            returns=jnp.zeros(keys.shape),
            lengths=jnp.zeros(keys.shape, jnp.int32),
            normalizer=normalizer.start(task_state),
        )

    def advance(act: Act, task_state, keys, t, now: _Episodes):
        """Take step `t` of all episodes; also return what a recording needs."""
        # A policy may have to wait after its time, for others of its row or for its
        # successor: the end of time is not an end that the environment tells of.
        counts = now.alive & (t < environment.max_steps)
        seen = normalizer.observe(task_state, now.normalizer, now.observation, counts)
        observation = normalizer.apply(task_state, seen, now.observation)
        # Folding in `t` needs no key in the carry, and costs nothing at all where the
        # policy or the environment ignores its key.
        act_keys, step_keys = (_at_step(k, t) for k in keys)
        action = jax.vmap(act)(observation, act_keys)
        if is_box:
            action = jnp.clip(action, -1.0, 1.0)
        state, observation, reward, done = jax.vmap(environment.step)(
            step_keys, now.state, action
        )
        reward = jnp.asarray(reward, jnp.float32)
        if is_box:  # an environment may take anything for an action, and go on
            reward = jnp.where(_finite(action), reward, jnp.nan)
        reward = jnp.where(counts, reward, 0.0)
        goes_on = counts & ~jnp.asarray(done, bool)
        observation = jnp.asarray(observation, jnp.float32)
        if is_vector:
            observation = jnp.where(goes_on[:, None], observation, now.observation)
        after = _Episodes(
            state=_strong(state),
            observation=observation,
            alive=jnp.where(counts, goes_on, now.alive),
            returns=now.returns + reward,
            lengths=now.lengths + counts,
            normalizer=seen,
        )
        return after, (action, reward)

    def finish(end: _Episodes) -> Outcome:
        # A simulation that has broken down stays so, and may go on to reward.
        broken = ~_finite(end.observation) & (end.alive | is_vector)
        returns = jnp.where(broken, jnp.nan, end.returns)
        return Outcome(returns, end.lengths, normalizer.stats(end.normalizer))

    def play(
        act: Callable[[Params, Observation, Key], Action],
        load: Callable[[Array], Group],
        task_state: TaskState,
        size: int,
        count: Array | int,
        slots: int,
    ) -> Outcome:
        slots = min(slots, size)
        # As many rows at a time enter: few, or slots would stand empty, and all at once
        # where there is a slot for each. It is cheaper to decode some together.
        batch = slots if slots == size else max(1, slots // 4)

        def enter(rows: Array) -> _Slots:
            loaded = load(jnp.clip(rows, 0, size - 1))
            reset_keys, *keys = _split(loaded.keys)
            episodes = jax.vmap(functools.partial(begin, task_state))(reset_keys)
            episodes = jax.tree.map(
                lambda x: jnp.repeat(x[:, None], loaded.valid.shape[1], axis=1),
                episodes,
            )
            nothing = jnp.where(loaded.valid, 0.0, jnp.nan)[..., None]
            return _Slots(
                row=rows,
                t=jnp.where(rows < count, 0, environment.max_steps),
                params=loaded.params,
                keys=jnp.stack([jax.random.key_data(k) for k in keys], axis=1),
                episodes=episodes._replace(returns=episodes.returns + nothing),
            )

        loaded = jax.eval_shape(load, jnp.arange(batch))
        impl = jax.random.key_impl(jnp.empty((), loaded.keys.dtype))

        def step(keys, t, params, now: _Episodes) -> _Episodes:
            own = functools.partial(act, params)
            return advance(own, task_state, keys, t, now)[0]

        def step_row(keys, t, *policies) -> _Episodes:
            if loaded.valid.shape[1] > 1:
                # What depends on keys alone is computed once for them all.
                return jax.vmap(step, in_axes=(None, None, 0, 0))(keys, t, *policies)
            # Tracing a physics engine takes a fifth longer with one more `vmap`.
            alone = step(keys, t, *jax.tree.map(lambda x: x[0], policies))
            return jax.tree.map(lambda x: x[None], alone)

        def busy(t: Array, episodes: _Episodes) -> Array:
            return episodes.alive.any(axis=(1, 2)) & (t < environment.max_steps)

        def round_of_rows(carry):
            entered, now, outcomes = carry
            rows = entered + jnp.arange(batch)
            free = jnp.argsort(busy(now.t, now.episodes), stable=True)[:batch]
            now = jax.tree.map(lambda x, y: x.at[free].set(y), now, enter(rows))
            wanted = jnp.where(entered + batch < count, batch, slots)
            keys = tuple(jax.random.wrap_key_data(now.keys.swapaxes(0, 1), impl=impl))

            def going(carry):
                return jnp.sum(~busy(*carry)) < wanted

            def body(carry):
                t, episodes = carry
                return t + 1, jax.vmap(step_row)(keys, t, now.params, episodes)

            t, episodes = jax.lax.while_loop(going, body, (now.t, now.episodes))
            now = now._replace(t=t, episodes=episodes)
            ended = jnp.where(busy(t, episodes), size, now.row)
            new = jax.vmap(jax.vmap(finish))(episodes)
            outcomes = jax.tree.map(
                lambda x, y: x.at[ended].set(y, mode="drop"), outcomes, new
            )
            return entered + batch, now, outcomes

        empty = jax.tree.map(
            lambda x: jnp.zeros((slots, *x.shape[1:]), x.dtype),
            jax.eval_shape(enter, jnp.arange(batch)),
        )
        empty = empty._replace(row=jnp.full(slots, size))
        shapes = jax.eval_shape(jax.vmap(jax.vmap(finish)), empty.episodes)
        outcomes = jax.tree.map(
            lambda x: jnp.zeros((size, *x.shape[1:]), x.dtype), shapes
        )
        _, _, outcomes = jax.lax.while_loop(
            lambda carry: carry[0] < count,
            round_of_rows,
            (jnp.int32(0), empty, outcomes),
        )
        return outcomes

    def evaluate(act: Act, task_state: TaskState, keys: Key) -> Outcome:
        def load(rows: Array) -> Group:
            return Group(jnp.zeros((1, 1)), keys[None], jnp.ones((1, 1), bool))

        def act_alone(params: Params, observation: Observation, key: Key) -> Action:
            return act(observation, key)

        outcome = play(act_alone, load, task_state, 1, 1, 1)
        return jax.tree.map(lambda x: x[0, 0], outcome)

    def record(act: Act, task_state: TaskState, key: Key) -> Trajectory:
        reset_keys, *step_keys = _split(key[None])

        def body(now, t):
            after, (action, reward) = advance(act, task_state, step_keys, t, now)
            return after, (now.observation, action, reward, now.state, now.alive)

        _, steps = jax.lax.scan(
            body, begin(task_state, reset_keys), jnp.arange(environment.max_steps)
        )
        return Trajectory(*jax.tree.map(lambda x: x[:, 0], steps))

    def warm_up(gather: Normalizer, key: Key, episodes: int) -> Stats:
        """Return what `gather` learns from uniformly random actions."""
        task = make_task(environment, gather)
        act = random_act(environment.spec)

        @jax.jit
        def run(key):
            keys = random.episode_keys(key, episodes)
            return task.evaluate(act, task.init(key), keys).stats

        return run(key)

    def init(key: Key) -> TaskState:
        return normalizer.init(lambda gather, episodes: warm_up(gather, key, episodes))

    def constants(task_state: TaskState) -> Mapping[str, Array]:
        return normalizer.constants(task_state)

    return Task(
        spec=environment.spec,
        init=init,
        evaluate=evaluate,
        play=play,
        update=normalizer.update,
        record=record,
        constants=constants,
    )


def random_act(spec: Spec) -> Act:
    """Return the policy that draws each action uniformly."""

    def act(observation: Observation, key: Key) -> Action:
        if isinstance(spec.action, Box):
            return jax.random.uniform(key, spec.action.shape, minval=-1.0)
        return jax.random.randint(key, (), 0, spec.action.n)

    return act


_at_step = jax.vmap(random.at_step, in_axes=(0, None))


def _split(keys: Key) -> random.Episode:
    """Return keys for the resets, the actions and the steps of each episode."""
    episodes = jax.vmap(random.of_episode)(keys.reshape(-1))
    return jax.tree.map(lambda key: key.reshape(keys.shape), episodes)


def _finite(x: Array) -> Array:
    """Return whether all numbers of each row are finite."""
    return jnp.isfinite(x).all(axis=range(1, x.ndim))


def _strong(tree: Any) -> Any:
    """Drop weak types (of Python scalars): a loop would be traced again for them."""
    return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), tree)
