"""What a set of returns says: means, spreads, and how sure one may be of them."""

from typing import Any

import numpy as np
from scipy import stats

from neuroevo.types import Array

RESAMPLES = 10_000
CONFIDENCE = 0.95


def describe(returns: Array) -> dict[str, Any]:
    """Return mean, spreads and interval of the returns of S policies in E episodes.

    Args:
        returns: (S, E).

    Returns:
        ``return_mean``; ``return_std``, over all episodes; ``return_std_seeds``, of the
        policies' means; ``return_std_episodes``, within a policy, their root mean
        square; ``return_interval``, see `interval`; ``return_per_seed``, S means.
    """
    returns = np.asarray(returns, np.float64)
    per_seed = returns.mean(axis=1)
    return {
        "return_mean": float(returns.mean()),
        "return_std": float(returns.std()),
        "return_std_seeds": float(per_seed.std()),
        "return_std_episodes": float(np.sqrt(returns.var(axis=1).mean())),
        "return_interval": interval(returns),
        "return_per_seed": per_seed.tolist(),
    }


def interval(returns: np.ndarray) -> list[float]:
    """Return the 95 % bootstrap interval of the mean of (S, E) returns.

    Whole policies are resampled, each with its episodes, because episodes of one policy
    resemble each other; of a single policy the episodes are. It is the percentile
    interval (Efron, "Bootstrap methods: another look at the jackknife", Ann. Statist.
    7, 1979), drawn with a fixed seed. It says nothing where only one return, or one
    that is not finite, was measured: both ends are then the mean.
    """
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
