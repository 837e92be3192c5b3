"""One episode of a policy, recorded to be shown."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from neuroevo.solution import Solution
from neuroevo.terminal.formatting import format_value
from neuroevo.types import Trajectory


class Recording(NamedTuple):
    """A recorded episode of one of several fresh policies: the middle one by return.

    Attributes:
        solution: what was recorded.
        trajectory: as recorded, with the steps that are shown and perhaps more.
        length: steps that the episode lasted.
        result: its undiscounted return.
        shown: which of the kept steps have a frame, in order.
        seed: of the policy.
        results: the returns of all the policies.
    """

    solution: Solution
    trajectory: Trajectory
    length: int
    result: float
    shown: Sequence[int]
    seed: int
    results: Sequence[float]

    @property
    def name(self) -> str:
        """The environment's."""
        return self.solution.config.names["env"]

    def describe(self) -> str:
        """Say in a line what was recorded."""
        said = f"return {format_value(self.result)} in {self.length:,} steps"
        if len(self.results) == 1:
            return said
        low, high = map(format_value, (min(self.results), max(self.results)))
        return f"{said}, the middle one of {len(self.results)}: {low} to {high}"


def record(
    solution: Solution, *, seed: int = 0, policies: int = 5, frames: int = 200
) -> Recording:
    """Record an episode of each of some fresh policies, and keep the middle one.

    Args:
        solution: what the policies are decoded from.
        seed: of the first policy; those of the others follow.
        policies: how many.
        frames: how many to show at most: every k-th step of a long episode. No more
            than twice as many are held in memory.
    """
    found = solution.record(seed, policies, keep=frames)
    results = [float(trajectory.rewards.sum()) for trajectory in found]
    middle = int(np.argsort(results, kind="stable")[(policies - 1) // 2])
    trajectory = found[middle]
    length, kept = len(trajectory.rewards), len(trajectory.numbers)
    every = -(-kept // frames)
    shown = range((kept - 1) % every, kept, every)  # the last step is one of them
    result = results[middle]
    return Recording(
        solution, trajectory, length, result, shown, seed + middle, results
    )
