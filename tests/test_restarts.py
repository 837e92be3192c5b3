"""Restarts: when a search begins anew, with how many candidates, and what stays."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from stored import assert_same_run, evolve, rewind

from neuroevo.config.layers import Layer
from neuroevo.config.resolve import resolve
from neuroevo.core import keys
from neuroevo.errors import UserError
from neuroevo.run import restarts
from neuroevo.run.restarts import Attempt
from neuroevo.store.metrics import read_metrics
from neuroevo.types import Strategy

# Direct weights that go nowhere, so that the center soon stops to improve.
STUCK = {
    "encoding": "direct",
    "strategy": {"name": "SNES", "std": 1e-3},
    "normalization": "running",
    "center_every": 1,
    "restart_after": 1,
    "checkpoint": {"every_generations": 1, "keep": 30},
}


LAST = {"same": 9, "ipop": 5}


def config(kind, population=64):
    options = {"restart_after": 1, "restart_population": kind, "population": population}
    return resolve([Layer("", options)])


def test_as_many_candidates_as_before():
    first = Attempt(64)
    assert restarts.following(config("same"), [first], 9) == Attempt(64, generation=9)


def test_ipop_doubles():
    attempts = [Attempt(64)]
    for generation in (5, 8, 20):
        attempts.append(restarts.following(config("ipop"), attempts, generation))
    assert [attempt.population for attempt in attempts] == [64, 128, 256, 512]
    assert [attempt.generation for attempt in attempts] == [0, 5, 8, 20]


def test_bipop_takes_turns_by_the_candidates_that_each_kind_has_evaluated():
    attempts, generation = [Attempt(64)], 10
    for _ in range(12):
        attempts.append(restarts.following(config("bipop"), attempts, generation))
        ends = [*(attempt.generation for attempt in attempts[1:-1]), generation]
        spent = {True: 0, False: 0}
        for attempt, end in zip(attempts, ends, strict=False):
            spent[attempt.small] += attempt.population * (end - attempt.generation)
        assert attempts[-1].small == (spent[True] < spent[False])
        generation += 10
    large = [attempt.population for attempt in attempts if not attempt.small]
    small = [attempt for attempt in attempts if attempt.small]
    assert large == [64 * 2**k for k in range(len(large))] and len(large) > 2
    assert len(small) > 2
    for attempt in small:
        assert 4 <= attempt.population <= max(large) / 2
        assert attempt.population % 2 == 0 and 0.01 <= attempt.std <= 1
    assert len({attempt.std for attempt in small}) == len(small)


def test_a_restart_draws_from_streams_of_its_own():
    drawn = [keys.search(0), *(keys.restart(0, number) for number in (1, 2))]
    bits = {str(np.asarray(jax.random.key_data(key))) for each in drawn for key in each}
    assert len(bits) == 4 + 3 + 3


@pytest.fixture(scope="module", params=["same", "ipop"])
def whole(request, tmp_path_factory):
    """Return a run with restarts, and its options."""
    path = tmp_path_factory.mktemp("runs") / request.param
    options = STUCK | {"restart_population": request.param}
    evolve(path, LAST[request.param], **options)
    return path, options


def test_a_plateau_is_followed_by_another_attempt(whole):
    path, options = whole
    rows = read_metrics(path)
    attempts = [row["attempt"] for row in rows]
    assert attempts[0] == 0 and attempts[-1] >= 1
    assert all(b - a in (0, 1) for a, b in zip(attempts, attempts[1:], strict=False))
    factor = {"same": 1, "ipop": 2}[options["restart_population"]]
    for row in rows:
        assert row["population"] == 6 * factor ** row["attempt"]
    for number in range(attempts[-1]):
        returns = [row["center_return"] for row in rows if row["attempt"] == number]
        # The evaluation that ended an attempt was no better than its best.
        assert len(returns) >= 2
        assert returns[-1] <= max(returns[:-1])
    later = [row["spread"] for row in rows if row["attempt"]]
    assert min(later) > 0


def test_a_resumed_run_restarts_as_the_uninterrupted_one(whole, tmp_path):
    path, options = whole
    rows = read_metrics(path)
    last = next(i for i, row in enumerate(rows) if row["attempt"] == 1)  # of attempt 0
    for generation in (last, last + 1):  # before the restart, and after it
        copy = rewind(path, tmp_path / str(generation), generation)
        evolve(copy, rows[-1]["generation"], resume=True, **options)
        assert_same_run(path, copy)


def test_the_best_center_outlives_its_attempt(tmp_path):
    run = evolve(None, 9, **STUCK)
    returns = [row["center_return"] for row in run.metrics]
    assert float(run.state.best_return) == max(returns)
    assert run.metrics[run.best_generation - 1]["center_return"] == max(returns)
    number = run.metrics[-1]["attempt"]
    own = [row["center_return"] for row in run.metrics if row["attempt"] == number]
    assert float(run.state.attempt.best_return) == max(own)


def test_long_generations_restart_alike(tmp_path):
    evolve(tmp_path / "one", 6, **STUCK | {"env": toy.Walk()})
    evolve(tmp_path / "two", 6, **STUCK | {"env": toy.SlowWalk()})
    one, two = (read_metrics(tmp_path / name) for name in ("one", "two"))
    assert [row["attempt"] for row in one] == [row["attempt"] for row in two]
    assert one[-1]["attempt"] > 0
    for a, b in zip(one, two, strict=True):
        assert a["center_return"] == pytest.approx(b["center_return"], rel=1e-5)


@dataclasses.dataclass(frozen=True)
class Six:
    """A climber that takes six candidates only."""

    def build(self, population: int) -> Strategy:
        if population != 6:
            raise UserError("expected a population of six")
        return Strategy(
            init=lambda key, genome: genome,
            ask=lambda key, at: (jax.tree.map(lambda x: jnp.stack([x] * 6), at), at),
            tell=lambda key, some, fitness, at: at,
            center=lambda at: at,
        )


def test_a_population_that_a_strategy_refuses_stays_as_it_is():
    options = STUCK | {"restart_population": "ipop", "strategy": Six()}
    run = evolve(None, 5, **options)
    assert run.metrics[-1]["attempt"] > 0
    assert {row["population"] for row in run.metrics} == {6}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"restart_after": None}, "expected --restart-after N as well"),
        ({"strategy": {"name": "gradients"}}, "gradients"),
        ({"strategy": {"name": "MAPElites"}}, "needs a descriptor"),
        (
            {
                "strategy": {"name": "MAPElites"},
                "env": {"name": "CartPole-v1", "descriptor": ("angle",)},
            },
            "a restart would empty the archive of MAPElites",
        ),
    ],
)
def test_mistakes(changes, message, tmp_path):
    options = STUCK | {"restart_population": "ipop"} | changes
    with pytest.raises(UserError, match=message):
        evolve(tmp_path / "run", 2, **options)
    assert not (tmp_path / "run").exists()
