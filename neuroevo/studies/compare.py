"""Settings compared over several environments, with intervals over runs.

The measures are those of Agarwal, Schwarzer, Castro, Courville and Bellemare, "Deep
reinforcement learning at the edge of the statistical precipice", NeurIPS 2021, arXiv
2108.13264: the interquartile mean of normalized scores with a stratified bootstrap over
runs, and performance profiles.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from neuroevo.errors import UserError
from neuroevo.returns import CONFIDENCE, known
from neuroevo.store.record import RunRecord
from neuroevo.views import curves

RESAMPLES = 2000
SHARES = np.linspace(0.02, 1, 50)  # of a budget, at which curves are drawn
LEVELS = np.linspace(0, 1, 101)  # scores, at which profiles are drawn
_LATEST = 3  # evaluations of the center whose mean a score is, against their noise
_EARLY = {"target", "patience"}  # limits at which a run has nothing more to gain

Scores = Mapping[str, np.ndarray]  # of one setting: (R,) or (R, …) by environment


class Task(NamedTuple):
    """What the runs on one environment have in common.

    A score is 0 at the return `low` and 1 at `high`.
    """

    env: str
    budget: float  # amount of the axis at which all settings are compared
    low: float  # mean return of the first centers of all runs
    high: float  # highest mean return of a setting at the budget
    learned: bool  # whether they differ by more than the first centers among themselves


class Comparison(NamedTuple):
    """Settings that were run on the same environments.

    Attributes:
        x: what the budget counts, a key of the metrics.
        tasks: the environments on which all settings have runs.
        returns: returns (R,) at the budget, by setting and environment.
        scores: normalized returns (R, shares) along the budget, likewise; without the
            environments on which no setting has learned anything.
        left_out: environments on which a setting has no run.
    """

    x: str
    tasks: Sequence[Task]
    returns: Mapping[str, Scores]
    scores: Mapping[str, Scores]
    left_out: Sequence[str]


class Estimate(NamedTuple):
    """A statistic with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def compare(found: Sequence[RunRecord], x: str = "env_steps") -> Comparison:
    """Compare settings at equal environment steps, or in equal time.

    A return is the mean of the last three held-out evaluations of the center before the
    budget: the smallest total of any run on the environment, except for runs that ended
    at their target or for lack of patience, whose last return stays as it is. Times do
    not include compilation.

    Args:
        found: the runs; those that differ only in their seed have the same setting.
        x: ``env_steps``, ``seconds`` or ``cpu_seconds``.

    Raises:
        UserError: if there are fewer than two settings, no environment on which all of
            them have a run with a held-out return, or none on which one has learned.
    """
    measured = [run for run in found if len(curves.one(run, "center_return", x)[0])]
    groups = curves.group_by_env(measured)
    settings = list(dict.fromkeys(label for each in groups.values() for label in each))
    if len(settings) < 2:
        raise UserError(
            f"compare: expected runs of at least two settings, got {len(settings)}"
        )
    shared = [env for env, each in groups.items() if len(each) == len(settings)]
    if not shared:
        raise UserError(
            "compare: expected an environment on which all settings have runs, but "
            + "; ".join(f"{env} has {', '.join(each)}" for env, each in groups.items())
        )
    tasks: list[Task] = []
    returns: dict[str, dict[str, np.ndarray]] = {label: {} for label in settings}
    scores: dict[str, dict[str, np.ndarray]] = {label: {} for label in settings}
    for env in shared:
        members = [run for runs in groups[env].values() for run in runs]
        budget = _budget(members, x)
        along = {
            label: np.stack([_returns(run, x, budget * SHARES) for run in runs])
            for label, runs in groups[env].items()
        }
        first = np.array([_points(run, x)[1][0] for run in members])
        low, high = float(first.mean()), max(y[:, -1].mean() for y in along.values())
        task = Task(env, budget, low, float(high), bool(high - low > first.std()))
        tasks.append(task)
        for label, each in along.items():
            returns[label][env] = each[:, -1]
            if task.learned:
                scores[label][env] = (each - low) / (high - low)
    if not any(task.learned for task in tasks):
        raise UserError(
            "compare: expected an environment on which a setting has learned, but on "
            f"{', '.join(shared)} all returns are like those of the first centers"
        )
    return Comparison(x, tasks, returns, scores, sorted(set(groups) - set(shared)))


def _points(run: RunRecord, x: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of a run's held-out learning curve."""
    at, values = curves.one(run, "center_return", x)
    if x != "env_steps":
        at = np.maximum(at - (known(run.summary.get(f"compile_{x}")) or 0), 0)
    return at, values


def _budget(runs: Sequence[RunRecord], x: str) -> float:
    ends = {run.path: _points(run, x)[0][-1] for run in runs}
    whole = [
        ends[run.path] for run in runs if run.summary.get("stopped_by") not in _EARLY
    ]
    return float(min(whole) if whole else max(ends.values()))


def _returns(run: RunRecord, x: str, amounts: np.ndarray) -> np.ndarray:
    """Return the latest returns of the center at these amounts of a budget."""
    at, values = _points(run, x)
    sums = np.concatenate([[0], np.cumsum(values)])
    ends = np.maximum(np.searchsorted(at, amounts * (1 + 1e-9), side="right"), 1)
    begins = np.maximum(ends - _LATEST, 0)
    return (sums[ends] - sums[begins]) / (ends - begins)


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Return the mean of the middle half of `scores` along their first axis."""
    from scipy import stats  # takes a second

    return stats.trim_mean(scores, 0.25, axis=0)


def estimate(
    scores: Scores, statistic: Callable[[np.ndarray], np.ndarray] = interquartile_mean
) -> Estimate:
    """Return a statistic of scores (R,) over all environments and runs.

    The interval is that of a bootstrap in which the runs of each environment are
    resampled, with a fixed seed.
    """
    each = list(scores.values())
    draw = np.random.default_rng(0)
    resampled = np.concatenate(
        [x[draw.integers(len(x), size=(len(x), RESAMPLES))] for x in each]
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(statistic(resampled), [tail, 1 - tail])
    return Estimate(float(statistic(np.concatenate(each))), float(low), float(high))


def profile(scores: Scores) -> np.ndarray:
    """Return the share of runs whose score is at least each of `LEVELS`.

    Every environment has the same weight.
    """
    shares = [(x[:, None] >= LEVELS).mean(axis=0) for x in scores.values()]
    return np.mean(shares, axis=0)


def at_end(scores: Scores) -> Scores:
    """Return the scores (R,) at the budget."""
    return {env: each[:, -1] for env, each in scores.items()}


def table(comparison: Comparison) -> list[dict[str, object]]:
    """Return a row for each setting, the best first.

    The keys are `setting`, `runs`, `score` with its `score_interval`, and `returns`: by
    environment, the mean return at the budget and its interval.
    """
    rows: list[dict[str, object]] = []
    for label, scores in comparison.scores.items():
        score = estimate(at_end(scores))
        returns = {
            env: estimate({env: each}, _mean)
            for env, each in comparison.returns[label].items()
        }
        rows.append(
            {
                "setting": label,
                "runs": sum(map(len, scores.values())),
                "score": score.value,
                "score_interval": [score.low, score.high],
                "returns": {
                    env: {"mean": each.value, "interval": [each.low, each.high]}
                    for env, each in returns.items()
                },
            }
        )
    return sorted(rows, key=lambda row: -float(row["score"]))  # type: ignore[arg-type]


def _mean(scores: np.ndarray) -> np.ndarray:
    return scores.mean(axis=0)
