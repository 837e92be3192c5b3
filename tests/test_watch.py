"""What a run says when nothing is left to learn from."""

import jax.numpy as jnp
import numpy as np
import pytest

from neuroevo.core.spread import has_collapsed, spread
from neuroevo.run.watch import Watch


def row(generation, spread=0.1, std=1.0, failures=0):
    keys = ("generation", "spread", "fitness_std", "failures", "fitness_mean")
    return dict(zip(keys, (generation, spread, std, failures, -200.0), strict=True))


def news(rows, **options):
    watch = Watch(**options)
    for each in rows:
        watch.update(each)
    return watch.news()


def test_a_collapsed_spread_is_mentioned_once():
    spreads = 0.1 * 0.5 ** np.arange(30.0)
    (message,) = news([row(i + 1, each) for i, each in enumerate(spreads)])
    assert "in generation 21 they differ by 9.5e-08, at the start by 0.1" in message
    assert not news([row(i + 1, 1e-3 * 0.5**i) for i in range(15)])
    assert not news([row(i + 1, 0.0) for i in range(3)]), "a single candidate, say"


def test_generations_of_failures_are_counted_and_mentioned_once():
    watch = Watch(population=4)
    for i, failures in enumerate([0, 4, 3, 4]):
        watch.update(row(i + 1, failures=failures))
    (message,) = watch.news()
    assert message.startswith("none of the 4 candidates had a finite return in 1 of 2 ")
    assert watch.failed == 2 and "2 of 4 generations" in watch.failures()


def test_generations_of_equal_fitness_are_mentioned_once():
    (message,) = news([row(i, std=0.0) for i in range(30)])
    assert "all candidates of 10 generations in a row" in message
    assert "-200" in message and "larger std" in message
    assert not news([row(i, std=float(i % 9 == 0)) for i in range(30)])
    assert not news([row(i, std=0.0, failures=3) for i in range(30)])
    assert not news([row(i, std=0.0) for i in range(30)], population=1)
    assert not news([row(i, std=0.0) for i in range(30)], selects=False)


def test_rows_of_older_runs_have_no_spread():
    assert not news([{"generation": i, "fitness_std": 1.0} for i in range(3)])


@pytest.mark.parametrize("count", [2, 3, 32, 33, 500])
def test_spread_is_that_of_the_candidates(count):
    rng = np.random.default_rng(0)
    center = {"a": jnp.full((40, 3), 7.0), "b": jnp.zeros(300, "bfloat16")}
    noise = {"a": rng.normal(size=(count, 40, 3)), "b": rng.normal(size=(count, 300))}
    population = {
        key: jnp.asarray(center[key] + 0.5 * noise[key], center[key].dtype)
        for key in center
    }
    rows = min(count, 32)
    expected = 0.5 * np.sqrt((rows - 1) / rows)
    assert float(spread(population, center)) == pytest.approx(expected, rel=0.1)


def test_spread_below_the_precision_of_the_genome_is_none():
    center = {"w": jnp.full(100, 3000.0)}
    steps = jnp.linspace(-1, 1, 16)[:, None]
    for step, resolved in ((1e-5, False), (1e-2, True)):
        population = {"w": center["w"] + step * steps}
        assert (float(spread(population, center)) > 0) == resolved
    assert has_collapsed(0.0, 0.1) and not has_collapsed(2e-7, 0.1)
    assert not has_collapsed(np.nan, 0.1)
