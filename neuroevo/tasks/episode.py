"""The one rollout: parallel episodes of one policy, masked and stopped early."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neuroevo.tasks.normalization import Normalizer
from neuroevo.types import (
    CHUNK,
    Action,
    Array,
    Box,
    Key,
    Observation,
    Outcome,
    Spec,
    Stats,
    Task,
    TaskState,
    Trajectory,
)

Act = Callable[[Observation, Key], Action]


class Environment(NamedTuple):
    """One episode at a time, as pure functions; what a custom environment provides.

    `step` must not reset by itself: after the end of an episode it may return
    anything, NaN included, for nothing of it is counted. Before the end, a reward or an
    observation that is not finite makes the episode a failure: its return is NaN.
    `done` tells of the environment's own end; the time limit is the rollout's business.
    Actions in a `Box` arrive in ``[-1, 1]``. The state is a pytree of arrays whose
    shapes and dtypes never change.
    """

    spec: Spec
    reset: Callable[[Key], tuple[Any, Observation]]  # -> state, observation
    step: Callable[[Key, Any, Action], tuple[Any, Observation, Array, Array]]
    # (key, state, action) -> state, observation, reward, done
    max_steps: int  # the time limit


class _Episodes(NamedTuple):
    """What E parallel episodes carry from step to step: sums, never a trajectory."""

    state: Any  # (E, …)
    observation: Array  # (E, *observation) not normalised
    alive: Array  # (E,) bool
    returns: Array  # (E,)
    lengths: Array  # (E,) int32
    normalizer: Any  # what the normaliser gathers on the way


def make_task(environment: Environment, normalizer: Normalizer) -> Task:
    """Combine an environment and an observation normaliser into a task.

    An episode's key determines it: `evaluate` and `record` give the same episode for
    the same key (under per-episode normalisation only if it is evaluated alone).

    Args:
        environment: what to act in.
        normalizer: what the policy sees of it, see `neuroevo.tasks.normalization`.

    Returns:
        The task. Its `evaluate` may be wrapped in ``vmap`` over policies, best with
        axis names of `CHUNK`: then they share one loop condition and step counter, and
        what depends on keys alone is computed once for policies given the same keys.
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
        alive = now.alive
        seen = normalizer.observe(task_state, now.normalizer, now.observation, alive)
        observation = normalizer.apply(task_state, seen, now.observation)
        # Folding in `t` needs no key in the carry, and costs nothing at all where the
        # policy or the environment ignores its key.
        act_keys, step_keys = (_fold_in(k, t) for k in keys)
        action = jax.vmap(act)(observation, act_keys)
        if is_box:
            action = jnp.clip(action, -1.0, 1.0)
        state, observation, reward, done = jax.vmap(environment.step)(
            step_keys, now.state, action
        )
        reward = jnp.asarray(reward, jnp.float32)
        if is_box:  # an environment may take anything for an action, and go on
            reward = jnp.where(_finite(action), reward, jnp.nan)
        reward = jnp.where(alive, reward, 0.0)
        alive = alive & ~jnp.asarray(done, bool)
        observation = jnp.asarray(observation, jnp.float32)
        if is_vector:
            observation = jnp.where(alive[:, None], observation, now.observation)
        after = _Episodes(
            state=_strong(state),
            observation=observation,
            alive=alive,
            returns=now.returns + reward,
            lengths=now.lengths + now.alive,
            normalizer=seen,
        )
        return after, (action, reward)

    def evaluate(act: Act, task_state: TaskState, keys: Key) -> Outcome:
        reset_keys, *step_keys = _split(keys)

        def going(carry):
            t, any_alive, _ = carry
            return (t < environment.max_steps) & any_alive

        def body(carry):
            t, _, episodes = carry
            episodes, _ = advance(act, task_state, step_keys, t, episodes)
            return t + 1, _any(episodes.alive), episodes

        episodes = begin(task_state, reset_keys)
        carry = (jnp.int32(0), _any(episodes.alive), episodes)
        _, _, end = jax.lax.while_loop(going, body, carry)
        # A simulation that has broken down stays so, and may go on to reward.
        broken = ~_finite(end.observation) & (end.alive | is_vector)
        returns = jnp.where(broken, jnp.nan, end.returns)
        return Outcome(returns, end.lengths, normalizer.stats(end.normalizer))

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
            init_key, key = jax.random.split(key)
            keys = jax.random.split(key, episodes)
            return task.evaluate(act, task.init(init_key), keys).stats

        return run(key)

    def init(key: Key) -> TaskState:
        return normalizer.init(lambda gather, episodes: warm_up(gather, key, episodes))

    def constants(task_state: TaskState) -> Mapping[str, Array]:
        return normalizer.constants(task_state)

    return Task(
        spec=environment.spec,
        init=init,
        evaluate=evaluate,
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


_fold_in = jax.vmap(jax.random.fold_in, in_axes=(0, None))


def _split(keys: Key) -> tuple[Key, Key, Key]:
    """Return keys for the resets, the actions and the steps of each episode."""
    return tuple(jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys))


def _finite(x: Array) -> Array:
    """Return whether all numbers of each row are finite."""
    return jnp.isfinite(x).all(axis=range(1, x.ndim))


def _any(alive: Array) -> Array:
    """Return whether any episode goes on, of any policy if their axes have names."""
    count = alive.any().astype(jnp.int32)
    for axis in CHUNK:
        with contextlib.suppress(NameError):  # no such axis
            count = jax.lax.psum(count, axis)
    return count > 0


def _strong(tree: Any) -> Any:
    """Drop weak types (of Python scalars): a loop would be traced again for them."""
    return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), tree)
