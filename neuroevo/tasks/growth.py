"""Episodes that grow during a search, from a few steps to the time limit.

While policies are poor, long episodes tell little and cost much. The strategy's center
and the final result are measured in whole episodes all the same.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp

from neuroevo.core import rollout
from neuroevo.core.rollout import Dynamics
from neuroevo.progress import Role
from neuroevo.tasks.recording import make_collect, make_record
from neuroevo.types import Array, Stats, Task, TaskState


class Grown(NamedTuple):
    """The state of a task whose episodes grow."""

    task: TaskState
    generation: Array  # int32: generations completed


class Growth(NamedTuple):
    """How the episodes of a search grow, evenly from generation to generation.

    Attributes:
        first: steps of an episode in the first generation.
        generations: after so many, only the time limit ends episodes.
    """

    first: int
    generations: int

    def skipped(self, most: int, generation: Array, role: Array) -> Array:
        """Return how many steps earlier than the time limit episodes end, int32.

        Args:
            most: the time limit.
            generation: generations completed.
            role: what the episodes are for, one of `Role`.

        Example:
            >>> early = Growth(10, 4).skipped
            >>> [int(early(50, jnp.int32(i), Role.SEARCH)) for i in (0, 1, 4, 9)]
            [40, 30, 0, 0]
            >>> int(early(50, jnp.int32(0), Role.CENTER))
            0
        """
        missing = max(0, most - self.first)
        share = jnp.maximum(0.0, 1 - generation / self.generations)
        early = jnp.ceil(share * missing).astype(jnp.int32)
        return jnp.where(role == Role.SEARCH, early, 0)


def growing(dynamics: Dynamics, growth: Growth) -> Dynamics:
    """Return the dynamics of episodes that grow, with the state `Grown`."""
    most = dynamics.max_steps
    return Dynamics(
        begin=lambda state, keys: dynamics.begin(state.task, keys),
        advance=lambda act, state, *rest: dynamics.advance(act, state.task, *rest),
        finish=dynamics.finish,
        max_steps=most,
        skipped=lambda state, role: growth.skipped(most, state.generation, role),
    )


def grow(task: Task, dynamics: Dynamics, growth: Growth) -> Task:
    """Return `task`, whose episodes have these `dynamics`, with episodes that grow."""
    grown = growing(dynamics, growth)
    normalize = task.normalize

    def update(state: Grown, stats: Stats) -> Grown:
        return Grown(task.update(state.task, stats), state.generation + 1)

    return task._replace(
        init=lambda key: Grown(task.init(key), jnp.int32(0)),
        begin=functools.partial(rollout.begin, grown),
        play=functools.partial(rollout.play, grown),
        update=update,
        record=make_record(grown),
        collect=make_collect(grown),
        normalize=normalize and (lambda state, *rest: normalize(state.task, *rest)),
        constants=lambda state: task.constants(state.task),
    )
