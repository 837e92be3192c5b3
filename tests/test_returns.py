"""What returns say: agreement with definitions and with an independent bootstrap."""

import numpy as np
import pytest

from neuroevo import returns as statistics


def test_describe_by_hand():
    found = statistics.summarize([[1.0, 3.0], [5.0, 7.0]])
    assert found["return_mean"] == 4.0
    assert found["return_std"] == pytest.approx(np.std([1, 3, 5, 7]))
    assert found["return_std_policies"] == 2.0  # of 2 and 6
    assert found["return_std_episodes"] == 1.0
    assert found["return_per_policy"] == [2.0, 6.0]
    # Of two policies, a quarter of the resamples are twice the same one.
    assert found["return_interval"] == [2.0, 6.0]


def test_variances_add_up():
    returns = np.random.default_rng(0).normal(size=(6, 5)) + np.arange(6)[:, None]
    found = statistics.summarize(returns)
    parts = found["return_std_policies"] ** 2 + found["return_std_episodes"] ** 2
    assert parts == pytest.approx(found["return_std"] ** 2)


def test_the_interval_agrees_with_resampling_by_hand():
    rng = np.random.default_rng(1)
    returns = rng.gamma(2.0, size=(20, 4)) + rng.gamma(2.0, size=(20, 1))
    low, high = statistics.interval(returns)
    picks = rng.integers(0, 20, (20_000, 20))
    wanted = np.quantile(returns.mean(1)[picks].mean(1), [0.025, 0.975])
    assert [low, high] == pytest.approx(wanted, abs=0.05)
    assert low < returns.mean() < high


def test_the_interval_of_policies_is_wider_than_that_of_their_episodes():
    """Many episodes of few policies that differ do not make one sure."""
    returns = np.repeat([[0.0], [1.0], [2.0], [3.0]], 100, axis=1)
    low, high = statistics.interval(returns)
    assert high - low > 1.5


def test_one_policy_has_the_interval_of_its_episodes():
    low, high = statistics.interval(np.array([[1.0, 2.0, 3.0, 4.0]]))
    assert 1.0 <= low < 2.5 < high <= 4.0


@pytest.mark.parametrize("returns", [[[3.0]], [[500.0, 500.0], [500.0, 500.0]]])
def test_no_spread_no_interval(returns):
    mean = np.mean(returns)
    assert statistics.interval(np.array(returns)) == [mean, mean]


def test_a_failure_is_not_hidden():
    assert np.isnan(statistics.interval(np.array([[1.0], [np.nan]]))).all()


def test_collapse_of_metrics():
    collapse, seen = statistics.Collapse(), [False]
    for value in (250.0, 2034.0, None, 300.0, 250.0):
        collapse.update(value, 5.0)
        seen.append(bool(collapse))
    assert seen == [False] * 5 + [True]
