"""Which classes a policy confuses, on the test split of labeled data."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from neuroevo.progress import Role
from neuroevo.run import switches
from neuroevo.solution import Solution
from neuroevo.spaces import Discrete
from neuroevo.traits import EnvironmentTraits, traits
from neuroevo.types import Objective

_MOST = 20  # classes of a table that can be read
_AT_ONCE = 256  # examples


class Confusion(NamedTuple):
    """How often a policy answers what.

    Attributes:
        names: the names of the n classes.
        counts: (n, n) examples of each class, by the policy's answer.
        seed: the seed of the policy.
    """

    names: Sequence[str]
    counts: np.ndarray
    seed: int

    @property
    def accuracy(self) -> float:
        """The share of correct answers in percent."""
        return 100 * float(np.trace(self.counts) / self.counts.sum())

    @property
    def shares(self) -> np.ndarray:
        """(n,) percent of each class that is recognized."""
        return 100 * np.diag(self.counts) / np.maximum(self.counts.sum(axis=1), 1)


@switches.pinned()
def confusion(solution: Solution, seed: int = 0) -> Confusion | None:
    """Return what the policy ``decode(seed)`` confuses on the test split.

    The result is None if there are no classes, or too many of them for a table.
    """
    objective = solution.parts.environment
    if not isinstance(objective, Objective) or objective.rows is None:
        return None
    action = objective.spec.action
    if not isinstance(action, Discrete) or action.n > _MOST:
        return None
    params, rows = solution.decode(seed), objective.rows(Role.FINAL)
    apply = jax.jit(jax.vmap(solution.parts.policy.apply, (None, 0)))
    counts = np.zeros((action.n, action.n), np.int64)
    for begin in range(0, len(rows.targets), _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        answers = np.argmax(apply(params, rows.observations[some]), axis=1)
        np.add.at(counts, (rows.targets[some], answers), 1)
    named = traits(EnvironmentTraits, solution.config.parts["env"]).actions
    return Confusion(named or [str(i) for i in range(action.n)], counts, seed)
