"""One generation: ask -> decode -> evaluate -> tell, as pure functions."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo import devices, differences
from neuroevo.core import counting, diversity, evaluation, keys, trees
from neuroevo.core.evaluation import Evaluator, Given, Played, Trial
from neuroevo.core.fitness import fitness_of, has_diverged, in_numbers, share
from neuroevo.core.layout import Block
from neuroevo.core.spread import spread
from neuroevo.core.state import Answer, Plan, Report, State
from neuroevo.differences import Difference
from neuroevo.progress import UNLIMITED, Allowance, Progress, Role
from neuroevo.types import (
    Array,
    DrawBatch,
    Genome,
    Key,
    Outcome,
    Strategy,
    StrategyState,
)


class Search(NamedTuple):
    """The parts that a generation uses."""

    evaluator: Evaluator
    strategy: Strategy
    plan: Plan
    trial: Trial


class Candidates(NamedTuple):
    """All genomes that are evaluated in a generation.

    The center is evaluated with the population as one more genome, with policies of its
    own: one compiled rollout serves both. Its return is a held-out measurement because
    the strategy never receives it.
    """

    population: Genome | Difference  # (N, …)
    center: Genome


class Work(NamedTuple):
    """What a generation evaluates, and what the strategy keeps for `tell`."""

    given: Given  # the genomes are `Candidates`
    asked: StrategyState
    center_due: Array  # bool


def make_trial(plan: Plan, strategy: Strategy, shares: bool) -> Trial:
    """Return what a generation evaluates: the population, then the center."""

    def pick(candidates: Candidates, index: Array) -> Genome | Difference:
        """Return a candidate, or the center by the index that follows them."""
        population, center = candidates
        if not strategy.differences:
            return jax.tree.map(
                lambda xs, x: jnp.where(index < plan.population, xs[index], x),
                population,
                center,
            )
        difference = jax.tree.map(
            lambda xs: jnp.where(index < plan.population, xs[index], 0), population
        )
        return difference if shares else differences.add(center, difference)

    blocks = [
        Block(np.arange(plan.population), plan.policies),
        Block(np.array([plan.population]), plan.center_policies, Role.CENTER),
    ]
    shared = (lambda candidates: candidates.center) if shares else None
    return Trial(blocks, pick, plan.episodes, shared)


def run(search: Search, state: State, target: Array) -> tuple[State, Report]:
    """Ask for candidates, evaluate them, and tell the strategy."""
    progress, work = begin(search, None, state)
    progress, _ = play(search, progress, work, state, UNLIMITED)
    _, told = finish(search, progress, work, state, target)
    return told


def begin(search: Search, _: None, state: State) -> tuple[Any, Work]:
    """Ask for candidates, and prepare their evaluation."""
    evaluator, strategy, plan, trial = search
    drawn = keys.generation(state.key, state.generation)
    center_due = state.generation % plan.center_every == 0
    ask = functools.partial(_ask, strategy)
    batch = search.evaluator.task.batch
    descended = descend(search.strategy, batch, drawn.descent, state.strategy)
    candidates, asked = _alone(state)(ask, drawn.ask, descended)
    given = evaluation.prepare(
        evaluator,
        trial,
        candidates,
        keys.policy_keys(drawn.evaluation, plan.policies + plan.center_policies),
        active=1 + center_due,
    )
    progress = evaluation.begin(evaluator, trial, given, state.task)
    return progress, Work(given, asked, center_due)


def play(
    search: Search, progress: Progress, work: Work, state: State, allowance: Allowance
) -> tuple[Progress, Played]:
    """Evaluate the population, and the center if it is due."""
    evaluator, _, _, trial = search
    return evaluation.play(
        evaluator, trial, work.given, state.task, progress, allowance
    )


def finish(
    search: Search, progress: Progress, work: Work, state: State, target: Array
) -> tuple[None, tuple[State, Report]]:
    """Tell the strategy."""
    outcomes = evaluation.outcomes(search.evaluator, search.trial, progress)
    key = keys.generation(state.key, state.generation).tell
    tell = functools.partial(_tell, search)
    return None, _alone(state)(
        tell,
        key,
        work.given.genomes,
        outcomes,
        work.asked,
        state,
        target,
        work.center_due,
    )


def _alone(state: State) -> Callable[..., Any]:
    return functools.partial(devices.alone, state.generation >= 0)


def descend(
    strategy: Strategy,
    batch: DrawBatch | None,
    key: Key,
    state: StrategyState,
    share: Callable[[Callable[..., Any], Any, int], Any] = devices.share_each,
) -> StrategyState:
    """Return the strategy's state after its work on each candidate, if it has any.

    Args:
        strategy: the strategy.
        batch: draws from the training split of the task; None if there is none.
        key: of the work, see `keys.GenerationKeys`.
        state: the strategy's state before it.
        share: returns the results of a function, given its first argument and the
            number of items; by default, the devices of a program share them.
    """
    if strategy.descent is None:
        return state
    count, improve, gather, _ = strategy.descent

    def one(given: tuple[Key, StrategyState], index: Array) -> Any:
        key, state = given
        return improve(keys.candidate(key, index), state, index, batch)

    return gather(state, share(one, (key, state), count))


def _ask(
    strategy: Strategy, key: Key, state: StrategyState
) -> tuple[Candidates, StrategyState]:
    population, asked = strategy.ask(key, state)
    return Candidates(population, strategy.center(state)), asked


def _tell(
    search: Search,
    key: Key,
    candidates: Candidates,
    outcomes: Sequence[Outcome],
    asked: StrategyState,
    state: State,
    target: Array,
    center_due: Array,
) -> tuple[State, Report]:
    """Return the state after the outcomes, and a report of the generation."""
    strategy, task = search.strategy, search.evaluator.task
    played, played_by_center = outcomes
    fitness = fitness_of(played.returns, search.plan.worst)
    center_return = jnp.where(center_due, played_by_center.returns.mean(), jnp.nan)
    described = diversity.described(strategy, played)
    told = strategy.tell(key, candidates.population, fitness, asked, *described)
    told = trees.strong(told)
    by_center = counting.total(center_due * played_by_center.lengths)
    report = Report(
        steps=counting.add(counting.total(played.lengths), by_center),
        **in_numbers(fitness),
        center_return=center_return,
        spread=spread(*candidates, differences=strategy.differences),
        loss=strategy.descent.loss(told) if strategy.descent else jnp.float32(jnp.nan),
        diverged=has_diverged(candidates.population, fitness, strategy.center(told)),
        truncated=share(played.truncated),
        diversity=diversity.of(strategy, told),
    )
    improved = center_return >= state.best_return  # among equals the later one
    center = Answer(candidates.center, state.task)
    met = jnp.where(center_return >= target, state.streak + 1, 0)
    stale = jnp.where(center_return > state.best_return, 0, state.stale + 1)
    attempt = state.attempt._replace(
        best_return=jnp.fmax(center_return, state.attempt.best_return),
        stale=jnp.where(
            center_return > state.attempt.best_return, 0, state.attempt.stale + 1
        ),
    )
    stats = jax.tree.map(lambda x: x.sum(axis=(0, 1)), played.stats)
    state = State(
        key=state.key,
        generation=state.generation + 1,
        strategy=told,
        task=task.update(state.task, stats),
        best=trees.where(improved, center, state.best),
        best_return=jnp.where(improved, center_return, state.best_return),
        streak=jnp.where(center_due, met, state.streak),
        stale=jnp.where(center_due, stale, state.stale),
        attempt=trees.where(center_due, attempt, state.attempt),
    )
    return state, report
