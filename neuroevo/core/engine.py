"""The evolution engine: ask -> decode -> evaluate -> tell.

It knows no environment, no encoding and no device. Everything here is a pure function;
`advance` runs several generations in one compiled call, `steps` one in several calls.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neuroevo.core import counting, diversity, evaluation, generation, steps, trees
from neuroevo.core.evaluation import Evaluator, Sizes
from neuroevo.core.generation import Search
from neuroevo.core.hosted import Player
from neuroevo.core.keys import RestartKeys, SearchKeys
from neuroevo.core.state import (
    DTYPES,
    FOREVER,
    LOG_SIZE,
    TARGET_STREAK,
    Answer,
    Attempt,
    Budget,
    Plan,
    Report,
    State,
)
from neuroevo.core.steps import Steps
from neuroevo.progress import Role
from neuroevo.types import Array, Genome, Outcome, Strategy, TaskState


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
    search = Search(
        evaluator, strategy, plan, generation.make_trial(plan, strategy, shares)
    )

    def distribute(function: Callable, **options: bool) -> Callable:
        def run(evaluator, *args):
            return function(search._replace(evaluator=evaluator), *args)

        return evaluation.distribute(run, searching, on, **options)

    def finish(search, _, *args):
        return generation.finish(search, *args)

    hosted = placed.task.host is not None
    in_steps = Steps(
        distribute(generation.begin),
        distribute(generation.play, in_place=True),
        distribute(finish if hosted else generation.finish),
    )
    if hosted:
        player = Player(placed, lambda _: search.trial, on)
        in_steps = steps.on_host(
            in_steps, player, lambda work, state: (work.given, state.task)
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
        steps=in_steps,
        restart=jax.jit(functools.partial(_restart, search)),
        center=jax.jit(functools.partial(_center, strategy)),
        evaluate=evaluate,
    )


def _make_init(search: Search) -> Callable[..., State]:
    """Return `Engine.init`: compiled, except for a task's state on the host."""
    task = search.evaluator.task
    compiled = jax.jit(functools.partial(_init, search))
    if task.host is None:
        return compiled
    return lambda drawn, genome=None: compiled(drawn, genome, task.init(drawn.warm_up))


def _init(
    search: Search,
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
        strategy=trees.strong(search.strategy.init(drawn.strategy, genome)),
        task=task_state,
        best=Answer(genome, task_state),
        best_return=jnp.float32(-jnp.inf),
        streak=jnp.int32(0),
        stale=jnp.int32(0),
        attempt=_new_attempt(jnp.int32(0)),
    )


def _new_attempt(number: Array) -> Attempt:
    return Attempt(number, jnp.float32(-jnp.inf), jnp.int32(0))


def _restart(search: Search, state: State, drawn: RestartKeys) -> State:
    """Return the state in which the strategy begins anew; the best answer stays."""
    genome = search.evaluator.encoding.init(drawn.genome)
    return state._replace(
        strategy=trees.strong(search.strategy.init(drawn.strategy, genome)),
        streak=jnp.int32(0),
        attempt=_new_attempt(state.attempt.number + 1),
    )


def _center(strategy: Strategy, state: State) -> Answer:
    return Answer(strategy.center(state.strategy), state.task)


def _advance(
    search: Search, state: State, budget: Budget
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
        state, report = generation.run(search, state, budget.target)
        log = jax.tree.map(lambda xs, x: xs.at[done].set(x), log, report)
        more = counting.capped(report.steps, FOREVER)
        return done + 1, steps + jnp.minimum(more, FOREVER - steps), state, log

    dtypes = DTYPES._replace(diversity=diversity.dtypes(search.strategy))
    log = jax.tree.map(lambda dtype: jnp.zeros(LOG_SIZE, dtype), dtypes)
    done, _, state, log = jax.lax.while_loop(
        unfinished, step, (jnp.int32(0), jnp.int32(0), state, log)
    )
    return state, done, log
