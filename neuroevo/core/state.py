"""The state of a search, its limits, and what it reports."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from neuroevo.core.counting import Count
from neuroevo.types import Array, Genome, Key, StrategyState, TaskState

LOG_SIZE = 1024  # generations that one call of `advance` can report
TARGET_STREAK = 2  # evaluations in a row that must meet the target
FOREVER = np.iinfo(np.int32).max  # of a limit that does not apply


class Plan(NamedTuple):
    """What a generation evaluates."""

    population: int  # candidates in a generation
    policies: int  # policies decoded from each candidate
    episodes: int  # episodes of each policy
    center_every: int  # generations between evaluations of the strategy's center
    center_policies: int  # policies decoded from the center for such an evaluation
    worst: float = 1  # share of the policies, the worst ones, that the fitness is of


class Answer(NamedTuple):
    """A genome, with the task's state (observation statistics) of its evaluation."""

    genome: Genome
    task: TaskState


class Attempt(NamedTuple):
    """A search from one initial genome; a restart begins another one."""

    number: Array  # int32: restarts before it
    best_return: Array  # the best held-out return of its center
    stale: Array  # int32: center evaluations in a row that were no better than that


class State(NamedTuple):
    """Everything that the next generation depends on."""

    key: Key  # of all generations, see `keys.generation`; never changes
    generation: Array  # int32: generations completed
    strategy: StrategyState
    task: TaskState
    best: Answer  # the center with the best held-out return so far
    best_return: Array
    streak: Array  # int32: center evaluations in a row that met the target
    stale: Array  # int32: center evaluations in a row that were no better than the best
    attempt: Attempt


class Budget(NamedTuple):
    """When `advance` returns; traced, so that a new value does not recompile it."""

    generations: Array  # int32: generations of this call, at most `LOG_SIZE`
    env_steps: Array  # int32: environment steps, after which no generation begins
    target: Array  # float32: held-out return of the center, to be met twice in a row
    patience: Any = np.int32(FOREVER)  # center evaluations in a row without a new best
    restart_after: Any = np.int32(FOREVER)  # likewise, of the present attempt


class Report(NamedTuple):
    """The results of one generation, all of them scalars."""

    steps: Count  # environment steps
    fitness_mean: Array  # over the candidates with finite fitness
    fitness_std: Array
    fitness_max: Array
    failures: Array  # int32 candidates with non-finite fitness
    center_return: Array  # NaN in generations without an evaluation of the center
    spread: Array  # standard deviation of the candidates
    loss: Array  # of the strategy's descent, else NaN
    diverged: Array  # bool: every candidate, or the new center, is not finite
    truncated: Array  # share of the candidates' episodes that the time limit ended
    diversity: Any = None  # `Diversity` of a strategy with an archive


DTYPES = Report(
    steps=Count(jnp.int32, jnp.int32),
    fitness_mean=jnp.float32,
    fitness_std=jnp.float32,
    fitness_max=jnp.float32,
    failures=jnp.int32,
    center_return=jnp.float32,
    spread=jnp.float32,
    loss=jnp.float32,
    diverged=jnp.bool_,
    truncated=jnp.float32,
)
