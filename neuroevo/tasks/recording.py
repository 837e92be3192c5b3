"""Records an episode step by step for rendering, and stops when it ends."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.core import rollout, trees
from neuroevo.core.rollout import Dynamics, Episodes, Moves
from neuroevo.types import (
    ActWith,
    Array,
    Key,
    Params,
    Record,
    TaskState,
    Trajectory,
)

SEGMENT = 256  # steps that are recorded by one call of a compiled program


def make_record(dynamics: Dynamics) -> Record:
    """Return `Task.record`, which computes no steps after an episode has ended."""
    begin = jax.jit(dynamics.begin)
    segment = jax.jit(functools.partial(_segment, dynamics), static_argnums=0)

    def record(
        act: ActWith,
        params: Params,
        task_state: TaskState,
        key: Key,
        *,
        keep: int | None = None,
    ) -> Trajectory:
        drawn = rollout.split(key[None])
        moves = Moves(drawn.act, drawn.step)
        now, t, kept = begin(task_state, drawn.reset), 0, _Kept(keep)
        while t < dynamics.max_steps and now.alive.all():
            now, end, steps = segment(act, params, task_state, moves, now, t)
            count, t = int(end) - t, int(end)
            kept.add(jax.tree.map(lambda x, count=count: _to_host(x)[:count], steps))
        return kept.trajectory()

    return record


class _Kept:
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
    """Return some of the steps, with their rewards only."""
    return jax.tree.map(lambda x: x[which], steps)


def _to_host(x: Array) -> Any:
    """Return a numpy array, or keys as they are."""
    return x if trees.is_key(x) else np.asarray(x)


def _concatenate(xs: Sequence[Any]) -> Any:
    numpy = np if isinstance(xs[0], np.ndarray) else jnp
    return numpy.concatenate(xs)


def _segment(
    dynamics: Dynamics,
    act: ActWith,
    params: Params,
    task_state: TaskState,
    moves: Moves,
    now: Episodes,
    t: Array,
) -> tuple[Episodes, Array, Trajectory]:
    """Record at most `SEGMENT` steps of an episode from step `t`, until it ends.

    Returns:
        The episode after these steps, the number of the next step, and the steps
        (SEGMENT, …); entries after the end of the episode are unused.
    """
    own = functools.partial(act, params)

    def step(now: Episodes, t: Array) -> tuple[Episodes, Trajectory]:
        after, (action, reward) = dynamics.advance(own, task_state, moves, t, now)
        taken = Trajectory(now.observation, action, reward, now.state, t[None])
        return after, trees.take(taken, 0)

    def going(carry):
        t, now, _ = carry
        return now.alive.all() & (t < dynamics.max_steps) & (t - begun < size)

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
