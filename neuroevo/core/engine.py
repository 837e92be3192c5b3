"""The evolution engine: ask -> decode -> evaluate -> tell.

It knows no environment, no encoding and no device. Everything here is a pure function;
`advance` runs several generations in one compiled call, `steps` one in several calls.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo import devices, differences
from neuroevo.core import diversity, evaluation, keys, steps, trees
from neuroevo.core.evaluation import Evaluator, Given, Played, Sizes, Trial
from neuroevo.core.fitness import fitness_of, has_diverged, in_numbers, share
from neuroevo.core.hosted import Player
from neuroevo.core.keys import RestartKeys, SearchKeys
from neuroevo.core.layout import Block
from neuroevo.core.spread import spread
from neuroevo.core.steps import Steps
from neuroevo.differences import Difference
from neuroevo.progress import UNLIMITED, Allowance, Progress, Role
from neuroevo.types import (
    Array,
    Genome,
    Key,
    Outcome,
    Strategy,
    StrategyState,
    TaskState,
)

LOG_SIZE = 1024  # generations that one call of `advance` can report
TARGET_STREAK = 2  # evaluations in a row that must meet the target
FOREVER = np.iinfo(np.int32).max  # of a limit that does not apply


class Plan(NamedTuple):
    """What a generation evaluates."""

    population: int  # candidates in a generation
    policies: int  # policies decoded from each candidate
    episodes: int  # episodes of each policy
    center_every: int  # generations between evaluations of the strategy's center
    center_policies: int  # policies decoded from the center for such an evaluation
    worst: float = 1  # share of the policies, the worst ones, that the fitness is of


class Answer(NamedTuple):
    """A genome, with the task's state (observation statistics) of its evaluation."""

    genome: Genome
    task: TaskState


class Attempt(NamedTuple):
    """A search from one initial genome; a restart begins another one."""

    number: Array  # int32: restarts before it
    best_return: Array  # the best held-out return of its center
    stale: Array  # int32: center evaluations in a row that were no better than that


class State(NamedTuple):
    """Everything that the next generation depends on."""

    key: Key  # of all generations, see `keys.generation`; never changes
    generation: Array  # int32: generations completed
    strategy: StrategyState
    task: TaskState
    best: Answer  # the center with the best held-out return so far
    best_return: Array
    streak: Array  # int32: center evaluations in a row that met the target
    stale: Array  # int32: center evaluations in a row that were no better than the best
    attempt: Attempt


class Budget(NamedTuple):
    """When `advance` returns; traced, so that a new value does not recompile it."""

    generations: Array  # int32: generations of this call, at most `LOG_SIZE`
    env_steps: Array  # int32: environment steps, after which no generation begins
    target: Array  # float32: held-out return of the center, to be met twice in a row
    patience: Any = np.int32(FOREVER)  # center evaluations in a row without a new best
    restart_after: Any = np.int32(FOREVER)  # likewise, of the present attempt


class Report(NamedTuple):
    """The results of one generation; every field is a scalar."""

    steps: Array  # int32 environment steps
    fitness_mean: Array  # over the candidates with finite fitness
    fitness_std: Array
    fitness_max: Array
    failures: Array  # int32 candidates with non-finite fitness
    center_return: Array  # NaN in generations without an evaluation of the center
    spread: Array  # standard deviation of the candidates
    loss: Array  # of the strategy's descent, else NaN
    diverged: Array  # bool: every candidate, or the new center, is not finite
    truncated: Array  # share of the candidates' episodes that the time limit ended
    diversity: Any = None  # `Diversity` of a strategy with an archive


_DTYPES = Report(
    steps=jnp.int32,
    fitness_mean=jnp.float32,
    fitness_std=jnp.float32,
    fitness_max=jnp.float32,
    failures=jnp.int32,
    center_return=jnp.float32,
    spread=jnp.float32,
    loss=jnp.float32,
    diverged=jnp.bool_,
    truncated=jnp.float32,
)


class Engine(NamedTuple):
    """The compiled functions of a run.

    Attributes:
        init: takes the keys of a search and, optionally, the genome to start from;
            returns the initial state.
        advance: runs generations until a limit is met; returns the state, the number of
            generations, and their reports: arrays of length `LOG_SIZE`, valid up to
            that number.
        steps: runs one generation, for those that take long.
        restart: takes a state and the keys of a restart; returns the state in which the
            strategy begins anew, from another genome.
        center: returns the strategy's current answer.
        evaluate: takes G genomes (with a leading axis), the task's state, P keys of
            policies, ``episodes`` and, if it is not `Role.FINAL`, ``role``; returns the
            outcomes (G, P, …). The i-th policies of all genomes share their random
            numbers. It calls ``stop`` about once a second, and raises `steps.Stopped`
            if that returns something true.
    """

    init: Callable[..., State]
    advance: Callable[[State, Budget], tuple[State, Array, Report]]
    steps: Steps
    restart: Callable[[State, RestartKeys], State]
    center: Callable[[State], Answer]
    evaluate: Callable[..., Outcome]


class _Search(NamedTuple):
    """The parts that a generation uses."""

    evaluator: Evaluator
    strategy: Strategy
    plan: Plan
    trial: Trial


class _Candidates(NamedTuple):
    """All genomes that are evaluated in a generation.

    The center is evaluated with the population as one more genome, with policies of its
    own: one compiled rollout serves both. Its return is a held-out measurement because
    the strategy never receives it.
    """

    population: Genome | Difference  # (N, …)
    center: Genome


class Work(NamedTuple):
    """What a generation evaluates, and what the strategy keeps for `tell`."""

    given: Given  # the genomes are `_Candidates`
    asked: StrategyState
    center_due: Array  # bool


def make_engine(
    evaluator: Evaluator,
    strategy: Strategy,
    plan: Plan,
    on: Sequence[jax.Device],
    sharing: Sizes | None = None,
) -> Engine:
    """Compose the parts into an engine that runs on the devices `on`.

    The results do not depend on the number of devices.

    Args:
        evaluator: the parts that turn genomes into outcomes.
        strategy: the search.
        plan: what a generation evaluates.
        on: the devices.
        sharing: if not None, candidates are differences of parameters, and share those
            of their center; the batch sizes with which they are evaluated.
    """
    placed = evaluation.place(evaluator, on)
    searching = placed._replace(sizes=sharing or placed.sizes)
    shares = sharing is not None
    search = _Search(evaluator, strategy, plan, _trial(plan, strategy, shares))

    def distribute(function: Callable, **options: bool) -> Callable:
        def run(evaluator, *args):
            return function(search._replace(evaluator=evaluator), *args)

        return evaluation.distribute(run, searching, on, **options)

    def finish(search, _, *args):
        return _finish(search, *args)

    hosted = placed.task.host is not None
    generation = Steps(
        distribute(_begin),
        distribute(_play, in_place=True),
        distribute(finish if hosted else _finish),
    )
    if hosted:
        player = Player(placed, lambda _: search.trial, on)
        generation = steps.on_host(
            generation, player, lambda work, state: (work.given, state.task)
        )
    advance = distribute(lambda search, _, *args: (None, _advance(search, *args)))

    @functools.cache
    def make_evaluate(episodes: int, role: Role) -> Callable[..., Outcome]:
        return steps.make_evaluate(placed, episodes, role, on)

    def evaluate(
        *args: Any,
        episodes: int,
        role: Role = Role.FINAL,
        stop: Callable[[], Any] = lambda: None,
    ) -> Outcome:
        return make_evaluate(episodes, role)(*args, stop)

    return Engine(
        init=_make_init(search),
        advance=lambda *args: advance(None, *args)[1],
        steps=generation,
        restart=jax.jit(functools.partial(_restart, search)),
        center=jax.jit(functools.partial(_center, strategy)),
        evaluate=evaluate,
    )


def _trial(plan: Plan, strategy: Strategy, shares: bool) -> Trial:
    """Return what a generation evaluates: the population, then the center."""

    def pick(candidates: _Candidates, index: Array) -> Genome | Difference:
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


def _make_init(search: _Search) -> Callable[..., State]:
    """Return `Engine.init`: compiled, except for a task's state on the host."""
    task = search.evaluator.task
    compiled = jax.jit(functools.partial(_init, search))
    if task.host is None:
        return compiled
    return lambda drawn, genome=None: compiled(drawn, genome, task.init(drawn.warm_up))


def _init(
    search: _Search,
    drawn: SearchKeys,
    genome: Genome | None = None,
    task_state: TaskState | None = None,
) -> State:
    encoding, _, task, _ = search.evaluator
    genome = encoding.init(drawn.genome) if genome is None else genome
    task_state = task.init(drawn.warm_up) if task_state is None else task_state
    return State(
        key=drawn.run,
        generation=jnp.int32(0),
        strategy=search.strategy.init(drawn.strategy, genome),
        task=task_state,
        best=Answer(genome, task_state),
        best_return=jnp.float32(-jnp.inf),
        streak=jnp.int32(0),
        stale=jnp.int32(0),
        attempt=_new_attempt(jnp.int32(0)),
    )


def _new_attempt(number: Array) -> Attempt:
    return Attempt(number, jnp.float32(-jnp.inf), jnp.int32(0))


def _restart(search: _Search, state: State, drawn: RestartKeys) -> State:
    """Return the state in which the strategy begins anew; the best answer stays."""
    genome = search.evaluator.encoding.init(drawn.genome)
    return state._replace(
        strategy=search.strategy.init(drawn.strategy, genome),
        streak=jnp.int32(0),
        attempt=_new_attempt(state.attempt.number + 1),
    )


def _center(strategy: Strategy, state: State) -> Answer:
    return Answer(strategy.center(state.strategy), state.task)


def _advance(
    search: _Search, state: State, budget: Budget
) -> tuple[State, Array, Report]:
    """Run generations until a limit is met."""

    def unfinished(carry):
        done, steps, state, _ = carry
        return (
            (done < budget.generations)
            & (steps < budget.env_steps)
            & (state.streak < TARGET_STREAK)
            & (state.stale < budget.patience)
            & (state.attempt.stale < budget.restart_after)
        )

    def step(carry):
        done, steps, state, log = carry
        state, report = _generation(search, state, budget.target)
        log = jax.tree.map(lambda xs, x: xs.at[done].set(x), log, report)
        return done + 1, steps + report.steps, state, log

    dtypes = _DTYPES._replace(diversity=diversity.dtypes(search.strategy))
    log = jax.tree.map(lambda dtype: jnp.zeros(LOG_SIZE, dtype), dtypes)
    done, _, state, log = jax.lax.while_loop(
        unfinished, step, (jnp.int32(0), jnp.int32(0), state, log)
    )
    return state, done, log


def _generation(search: _Search, state: State, target: Array) -> tuple[State, Report]:
    """Ask for candidates, evaluate them, and tell the strategy."""
    progress, work = _begin(search, None, state)
    progress, _ = _play(search, progress, work, state, UNLIMITED)
    _, told = _finish(search, progress, work, state, target)
    return told


def _begin(search: _Search, _: None, state: State) -> tuple[Any, Work]:
    """Ask for candidates, and prepare their evaluation."""
    evaluator, strategy, plan, trial = search
    drawn = keys.generation(state.key, state.generation)
    center_due = state.generation % plan.center_every == 0
    ask = functools.partial(_ask, strategy)
    descended = _descend(search, drawn.descent, state.strategy)
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


def _play(
    search: _Search, progress: Progress, work: Work, state: State, allowance: Allowance
) -> tuple[Progress, Played]:
    """Evaluate the population, and the center if it is due."""
    evaluator, _, _, trial = search
    return evaluation.play(
        evaluator, trial, work.given, state.task, progress, allowance
    )


def _finish(
    search: _Search, progress: Progress, work: Work, state: State, target: Array
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


def _descend(search: _Search, key: Key, state: StrategyState) -> StrategyState:
    """Return the strategy's state after its work on each candidate."""
    strategy, batch = search.strategy, search.evaluator.task.batch
    if strategy.descent is None:
        return state
    count, improve, gather, _ = strategy.descent

    def one(given: tuple[Key, StrategyState], index: Array) -> Any:
        key, state = given
        return improve(jax.random.fold_in(key, index), state, index, batch)

    return gather(state, devices.share_each(one, (key, state), count))


def _ask(
    strategy: Strategy, key: Key, state: StrategyState
) -> tuple[_Candidates, StrategyState]:
    population, asked = strategy.ask(key, state)
    return _Candidates(population, strategy.center(state)), asked


def _tell(
    search: _Search,
    key: Key,
    candidates: _Candidates,
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
    report = Report(
        steps=played.lengths.sum() + center_due * played_by_center.lengths.sum(),
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
