"""Records an episode of a policy, to be shown."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from neuroevo.solution import Solution
from neuroevo.terminal.formatting import format_range, format_value
from neuroevo.types import Trajectory


class Recording(NamedTuple):
    """A recorded episode of the one of several fresh policies with the median return.

    Attributes:
        solution: the solution that was recorded.
        trajectory: the recorded steps, including all that are shown.
        length: length of the episode in steps.
        result: its undiscounted return.
        shown: the indices of the recorded steps that have a frame, in order.
        seed: the seed of the policy.
        results: the returns of all policies.
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
        """The name of the environment."""
        return self.solution.config.names["env"]

    def describe(self) -> str:
        """Return a one-line description of the episode."""
        said = f"return {format_value(self.result)} in {self.length:,} steps"
        if len(self.results) == 1:
            return said
        ends = format_range((min(self.results), max(self.results)))
        return f"{said}, the median of {len(self.results)} ({ends})"


def record(
    solution: Solution, *, seed: int = 0, policies: int = 5, frames: int = 200
) -> Recording:
    """Record an episode of each of several policies; keep the one of median return.

    Args:
        solution: the solution from which the policies are decoded.
        seed: seed of the first policy; the others use the next seeds.
        policies: number of policies.
        frames: maximum number of frames; of a longer episode, every k-th step is shown.
            At most twice as many steps are held in memory.
    """
    found = solution.record(seed, policies, keep=frames)
    results = [float(trajectory.rewards.sum()) for trajectory in found]
    middle = int(np.argsort(results, kind="stable")[(policies - 1) // 2])
    trajectory = found[middle]
    if solution.parts.task.host is not None:  # pictures take time and memory
        (trajectory,) = solution.record(seed + middle, keep=frames, pictures=True)
    length, kept = len(trajectory.rewards), len(trajectory.numbers)
    every = -(-kept // frames)
    shown = range((kept - 1) % every, kept, every)  # the last step is one of them
    result = results[middle]
    return Recording(
        solution, trajectory, length, result, shown, seed + middle, results
    )
