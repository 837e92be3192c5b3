"""Records episodes step by step, for rendering and imitation, until they end."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.core import rollout, trees
from neuroevo.core.rollout import Dynamics, Episodes, Moves
from neuroevo.types import (
    Action,
    Actor,
    Array,
    Collect,
    Collected,
    Key,
    Observation,
    Params,
    Record,
    TaskState,
    Trajectory,
)

SEGMENT = 256  # steps that are recorded by one call of a compiled program


def make_record(dynamics: Dynamics) -> Record:
    """Return `Task.record`, which computes no steps after an episode has ended."""
    begin = jax.jit(functools.partial(_begin, dynamics), static_argnums=0)
    segment = jax.jit(functools.partial(_recorded, dynamics), static_argnums=0)

    def record(
        actor: Actor,
        params: Params,
        task_state: TaskState,
        key: Key,
        *,
        keep: int | None = None,
    ) -> Trajectory:
        drawn = rollout.split(key[None])
        moves = Moves(drawn.act, drawn.step)
        now = begin(actor, params, task_state, drawn.reset)
        t, kept = 0, Kept(keep)
        while t < dynamics.max_steps and now.alive.all():
            now, end, steps = segment(actor, params, task_state, moves, now, t)
            count, t = int(end) - t, int(end)
            kept.add(jax.tree.map(lambda x, count=count: _to_host(x)[:count], steps))
        return kept.trajectory()

    return record


def _begin(
    dynamics: Dynamics, actor: Actor, params: Params, task_state: TaskState, resets: Key
) -> Episodes:
    """Return the episodes (E, …) of one policy before their first step."""
    return rollout.remember(actor, params, dynamics.begin(task_state, resets))


class _Taken(NamedTuple):
    """A step of several episodes at once."""

    observations: Observation
    actions: Action
    counts: Array  # bool: whether the episode had not ended before


def make_collect(dynamics: Dynamics) -> Collect:
    """Return `Task.collect`, which computes no steps after all episodes have ended."""
    begin = jax.jit(functools.partial(_begin_all, dynamics), static_argnums=0)
    segment = jax.jit(functools.partial(_collected, dynamics), static_argnums=0)
    finish = jax.jit(jax.vmap(dynamics.finish))

    def collect(
        actor: Actor, params: Params, task_state: TaskState, keys: Key
    ) -> Collected:
        drawn = rollout.split(keys)
        moves = Moves(drawn.act, drawn.step)
        now = begin(actor, params, task_state, drawn.reset)
        t, parts = 0, []
        while t < dynamics.max_steps and now.alive.any():
            now, end, steps = segment(actor, params, task_state, moves, now, t)
            count, t = int(end) - t, int(end)
            parts.append(jax.tree.map(lambda x, n=count: np.asarray(x)[:n], steps))
        steps = jax.tree.map(lambda *xs: np.concatenate(xs), *parts)
        # Episode by episode, each from its beginning.
        steps = jax.tree.map(lambda x: np.moveaxis(x, 0, 2), steps)
        numbers = np.arange(keys.size, dtype=np.int32).reshape(*keys.shape, 1)
        episodes = np.broadcast_to(numbers, steps.counts.shape)
        return Collected(
            steps.observations[steps.counts],
            steps.actions[steps.counts],
            episodes[steps.counts],
            np.asarray(finish(now).returns),
        )

    return collect


def _begin_all(
    dynamics: Dynamics, actor: Actor, params: Params, task_state: TaskState, resets: Key
) -> Episodes:
    """Return the episodes (B, E, …) of several policies before their first step."""
    begin = functools.partial(_begin, dynamics, actor)
    return jax.vmap(begin, (0, None, 0))(params, task_state, resets)


def _collected(
    dynamics: Dynamics,
    actor: Actor,
    params: Params,
    task_state: TaskState,
    moves: Moves,
    now: Episodes,
    t: Array,
) -> tuple[Episodes, Array, _Taken]:
    """Collect a segment of the episodes (B, E, …) of several policies from step `t`."""

    def step(now: Episodes, t: Array) -> tuple[Episodes, _Taken]:
        def of_policy(params, moves, now):
            own = functools.partial(actor.act, params)
            return dynamics.advance(own, task_state, moves, t, now)

        after, (actions, _) = jax.vmap(of_policy)(params, moves, now)
        return after, _Taken(now.observation, actions, now.alive)

    return _segment(dynamics, step, now, t)


class Kept:
    """Steps of an episode: all, or every k-th, so that there are at most `2 * most`."""

    def __init__(self, most: int | None):
        self.most, self.every = most, 1
        self.parts: list[Trajectory] = []
        self.rewards: list[np.ndarray] = []

    def add(self, steps: Trajectory) -> None:
        """Take further steps."""
        self.rewards.append(steps.rewards)
        self.last = _take(steps, slice(-1, None))
        self.parts.append(self._thin(steps))
        while self.most and sum(len(part.numbers) for part in self.parts) > (
            2 * self.most
        ):
            self.every *= 2
            self.parts = [self._thin(part) for part in self.parts]

    def _thin(self, steps: Trajectory) -> Trajectory:
        return _take(steps, np.flatnonzero(steps.numbers % self.every == 0))

    def trajectory(self) -> Trajectory:
        """Return the steps that were kept, and the last step."""
        parts, end = self.parts, self.last.numbers
        if not np.isin(end, self.parts[-1].numbers).all():
            parts = [*parts, self.last]
        whole = jax.tree.map(lambda *xs: _concatenate(xs), *parts)
        return whole._replace(rewards=np.concatenate(self.rewards))


def _take(steps: Trajectory, which: Any) -> Trajectory:
    """Return the steps at `which`, an index of numpy."""
    return jax.tree.map(lambda x: x[which], steps)


def _to_host(x: Array) -> Any:
    """Return a numpy array, or keys as they are."""
    return x if trees.is_key(x) else np.asarray(x)


def _concatenate(xs: Sequence[Any]) -> Any:
    numpy = np if isinstance(xs[0], np.ndarray) else jnp
    return numpy.concatenate(xs)


def _recorded(
    dynamics: Dynamics,
    actor: Actor,
    params: Params,
    task_state: TaskState,
    moves: Moves,
    now: Episodes,
    t: Array,
) -> tuple[Episodes, Array, Trajectory]:
    """Record a segment of an episode from step `t`."""
    own = functools.partial(actor.act, params)

    def step(now: Episodes, t: Array) -> tuple[Episodes, Trajectory]:
        after, (action, reward) = dynamics.advance(own, task_state, moves, t, now)
        taken = Trajectory(now.observation, action, reward, now.state, t[None])
        return after, trees.take(taken, 0)

    return _segment(dynamics, step, now, t)


def _segment(
    dynamics: Dynamics,
    step: Callable[[Episodes, Array], tuple[Episodes, Any]],
    now: Episodes,
    t: Array,
) -> tuple[Episodes, Array, Any]:
    """Take at most `SEGMENT` steps from step `t`, until all episodes have ended.

    Returns:
        The episodes after these steps, the number of the next step, and what `step`
        returned for each step (SEGMENT, …); entries after the end are unused.
    """

    def going(carry):
        t, now, _ = carry
        return now.alive.any() & (t < dynamics.max_steps) & (t - begun < size)

    def body(carry):
        t, now, steps = carry
        now, taken = step(now, t)
        steps = jax.tree.map(lambda xs, x: xs.at[t - begun].set(x), steps, taken)
        return t + 1, now, steps

    begun = jnp.asarray(t, jnp.int32)
    _, taken = jax.eval_shape(step, now, begun)
    size = min(SEGMENT, dynamics.max_steps)
    steps = jax.tree.map(lambda x: jnp.zeros((size, *x.shape), x.dtype), taken)
    t, now, steps = jax.lax.while_loop(going, body, (begun, now, steps))
    return now, t, steps
