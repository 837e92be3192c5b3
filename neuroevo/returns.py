"""Statistics of returns: means, spreads, intervals, and the collapse of a center."""

import math
from typing import Any

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95


def summarize(returns: Any) -> dict[str, Any]:
    """Return statistics of the returns of S policies in E episodes each.

    Args:
        returns: (S, E) undiscounted returns.

    Returns:
        A mapping with ``return_mean``; ``return_std``, the standard deviation over all
        episodes; ``return_std_policies``, that of the policies' means;
        ``return_std_episodes``, the root mean square of the policies' own standard
        deviations; ``return_interval``, see `interval`; and ``return_per_policy``, the
        S means.

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
    """Return `value` if it is a finite number, or None for any other value.

    Example:
        >>> known(3), known(float("nan")), known(None), known("3")
        (3, None, None, None)
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and math.isfinite(value) else None


def known_ends(value: Any) -> tuple[float, float] | None:
    """Return `value` if it is an interval of two finite ends, or None."""
    ends = list(map(known, value)) if isinstance(value, list | tuple) else []
    match ends:
        case [int() | float() as low, int() | float() as high]:
            return low, high
    return None


def interval(returns: np.ndarray) -> list[float]:
    """Return the 95 % bootstrap interval of the mean of (S, E) returns.

    Whole policies are resampled, each with its episodes, because the episodes of one
    policy are similar; for a single policy, its episodes are resampled. The result is
    the percentile interval (Efron, "Bootstrap methods: another look at the jackknife",
    Ann. Statist. 7, 1979), drawn with a fixed seed. If there is only one return, or a
    return is not finite, both ends are the mean.
    """
    sample = returns.mean(axis=1) if len(returns) > 1 else returns[0]
    if len(sample) < 2 or not np.isfinite(sample).all() or np.ptp(sample) == 0:
        return [float(sample.mean())] * 2
    from scipy import stats  # takes a second

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
    """Detects when the held-out return of the center falls far below its best.

    The center has collapsed if each of the last two evaluations is below the best by
    more than half of the gain of the search, and by more than the spread of the
    population's fitness. A single bad evaluation or noise is not a collapse.
    """

    def __init__(self):
        self.first = self.best = self.last = math.nan
        self._low = 0  # evaluations in a row that look collapsed

    def update(self, center_return: float | None, spread: float | None) -> None:
        """Process an evaluation, if any, and the standard deviation of the fitness."""
        if center_return is None or not math.isfinite(center_return):
            return
        self.last = center_return
        self.best = float(np.fmax(center_return, self.best))
        self.first = center_return if math.isnan(self.first) else self.first
        # Measure the gain from zero if the first return is above it.
        scale = self.best if self.best > 0 else -2 * self.best
        scale = max(self.best - self.first, scale)
        low = self.best - self.last > max(0.5 * scale, spread or 0)
        self._low = self._low + 1 if low else 0

    def __bool__(self) -> bool:
        return self._low >= 2
