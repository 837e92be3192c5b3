"""Statistics of returns: means, spreads, intervals, and whether a center collapsed."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95


def summarize(returns: Any) -> dict[str, Any]:
    """Return mean, spreads and interval of the returns of S policies in E episodes.

    Args:
        returns: (S, E).

    Returns:
        ``return_mean``; ``return_std``, over all episodes; ``return_std_policies``, of
        the policies' means; ``return_std_episodes``, within a policy, their root mean
        square; ``return_interval``, see `interval`; ``return_per_policy``, S means.

    Example:
        >>> summarize([[1.0, 3.0], [5.0, 7.0]])["return_per_policy"]
        [2.0, 6.0]
    """
    returns = np.asarray(returns, np.float64)
    per_policy = returns.mean(axis=1)
    return {
        "return_mean": float(returns.mean()),
        "return_std": float(returns.std()),
        "return_std_policies": float(per_policy.std()),
        "return_std_episodes": float(np.sqrt(returns.var(axis=1).mean())),
        "return_interval": interval(returns),
        "return_per_policy": per_policy.tolist(),
    }


def known(value: Any) -> float | None:
    """Return a number that is finite, or None for whatever else there is.

    Example:
        >>> known(3), known(float("nan")), known(None), known("3")
        (3, None, None, None)
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and math.isfinite(value) else None


def known_ends(value: Any) -> tuple[float, float] | None:
    """Return the ends of an interval, or None for whatever else there is."""
    ends = list(map(known, value)) if isinstance(value, list | tuple) else []
    match ends:
        case [int() | float() as low, int() | float() as high]:
            return low, high
    return None


def interval(returns: np.ndarray) -> list[float]:
    """Return the 95 % bootstrap interval of the mean of (S, E) returns.

    Whole policies are resampled, each with its episodes, because episodes of one policy
    resemble each other; of a single policy the episodes are. It is the percentile
    interval (Efron, "Bootstrap methods: another look at the jackknife", Ann. Statist.
    7, 1979), drawn with a fixed seed. It says nothing where only one return, or one
    that is not finite, was measured: both ends are then the mean.
    """
    from scipy import stats  # takes a second

    sample = returns.mean(axis=1) if len(returns) > 1 else returns[0]
    if len(sample) < 2 or not np.isfinite(sample).all() or np.ptp(sample) == 0:
        return [float(sample.mean())] * 2
    found = stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return [float(end) for end in found.confidence_interval]


class Collapse:
    """Watches the held-out returns of the center for a fall far below their best.

    The center has collapsed when two evaluations in a row, the latest, lie more than
    half of what the search had gained below the best, and by more than the population's
    spread: one bad evaluation is no collapse, and neither is noise.
    """

    def __init__(self):
        self.first = self.best = self.last = math.nan
        self._low = 0  # evaluations in a row that look collapsed

    def update(self, center_return: float | None, spread: float | None) -> None:
        """Take in an evaluation, if there was one, and the fitness' deviation."""
        if center_return is None or not math.isfinite(center_return):
            return
        self.last = center_return
        self.best = float(np.fmax(center_return, self.best))
        self.first = center_return if math.isnan(self.first) else self.first
        # From zero where that is worse than the first: a good start is no excuse.
        scale = self.best if self.best > 0 else -2 * self.best
        scale = max(self.best - self.first, scale)
        low = self.best - self.last > max(0.5 * scale, spread or 0)
        self._low = self._low + 1 if low else 0

    def __bool__(self) -> bool:
        return self._low >= 2

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> "Collapse":
        """Return what the rows of ``metrics.jsonl`` show."""
        collapse = cls()
        for row in rows:
            collapse.update(row.get("center_return"), row.get("fitness_std"))
        return collapse
