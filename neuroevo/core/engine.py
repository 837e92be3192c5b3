"""The evolution engine: ask -> decode -> evaluate -> tell.

It knows no environment, no encoding and no device. Everything here is a pure function;
`advance` runs several generations in one compiled call.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo import devices as sharding
from neuroevo.core import keys as random
from neuroevo.types import (
    Array,
    Encoding,
    Genome,
    Group,
    Key,
    Outcome,
    Policy,
    Strategy,
    StrategyState,
    Task,
    TaskState,
)


class Plan(NamedTuple):
    """How candidates are evaluated."""

    population: int  # candidates in a generation
    policies: int  # policies decoded from each candidate
    episodes: int  # episodes of each policy
    center_every: int  # generations between evaluations of the strategy's center
    center_policies: int  # policies decoded from the center for such an evaluation
    chunk: int  # policies that are rolled out together
    decode_chunk: int  # policies that are trained together
    width: int  # policies in a row: they share random numbers, and end together


class Answer(NamedTuple):
    """A genome, and the task's state (observation statistics) that it was met in."""

    genome: Genome
    task: TaskState


class State(NamedTuple):
    """Everything that the next generation depends on."""

    key: Key  # of all generations, see `keys.generation`; never changes
    generation: Array  # int32: generations completed
    strategy: StrategyState
    task: TaskState
    best: Answer  # the center with the best held-out return so far
    best_return: Array
    streak: Array  # int32: center evaluations in a row that met the target


class Limits(NamedTuple):
    """When `advance` returns; traced, so that no value recompiles it."""

    generations: Array  # int32: generations of this call, at most `LOG_SIZE`
    env_steps: Array  # int32: environment steps, after which no generation begins
    target: Array  # float32: held-out return of the center, to be met twice in a row


class Report(NamedTuple):
    """What one generation showed; every field a scalar."""

    steps: Array  # int32 environment steps
    fitness_mean: Array  # over the candidates with finite fitness
    fitness_std: Array
    fitness_max: Array
    failures: Array  # int32 candidates with non-finite fitness
    center_return: Array  # NaN in generations without an evaluation of the center
    diverged: Array  # bool: every candidate, or the new center, is not finite


class Engine(NamedTuple):
    """The compiled functions of a run."""

    init: Callable[..., State]  # (search keys), or with the genome to start from
    advance: Callable[[State, Limits], tuple[State, Array, Report]]
    center: Callable[[State], Answer]  # the strategy's present answer
    evaluate: Callable[..., Outcome]  # (genomes, task, policy keys, episodes=…)


LOG_SIZE = 1024  # generations that one call of `advance` can report
TARGET_STREAK = 2  # evaluations in a row that must meet the target


def make_engine(
    encoding: Encoding,
    policy: Policy,
    task: Task,
    strategy: Strategy,
    plan: Plan,
    devices: Sequence[jax.Device],
) -> Engine:
    """Compose the parts into an engine that runs on `devices`.

    The results do not depend on the number of devices.
    """

    def play(pick, genomes, blocks, keys, episodes, task_state, active=None):
        """Return the outcomes of policies, (genomes, policies, …) for each block.

        A block ``(rows, policies)`` has policies of every genome ``pick(genomes, row)``
        with as many policies, which take their keys from `keys` in turn. Policies
        of one key share their initialization and the episodes' randomness: common
        random numbers, which make candidates comparable. Of the blocks, the first
        `active` are played, by default all.
        """
        of_policies = jax.vmap(random.of_policy)(keys)
        width = plan.width if worth(plan.width, len(blocks[0][0])) else 1
        layout = lay_out(blocks, width)
        num_rows, num_starts = (
            None if active is None else jnp.asarray(ends)[active]
            for ends in (layout.row_ends, layout.seed_ends)
        )
        starts = sharding.share_each(
            lambda keys, i: encoding.start(keys[i]),
            of_policies.start,
            len(keys),
            num_starts,
        )
        genome_rows, policies = jnp.asarray(layout.rows), jnp.asarray(layout.policies)

        def play_rows(args, rows, count):
            genomes, starts, episode_keys, task_state = args

            def decode(i):
                start = take(starts, policies[i // width])
                return encoding.decode(pick(genomes, genome_rows[i]), start)

            def load(i):
                batch = rows[i]
                items = (batch[:, None] * width + jnp.arange(width)).reshape(-1)
                params = map_batches(decode, items, plan.decode_chunk)
                valid = jax.vmap(is_finite)(params)
                params, valid = jax.tree.map(
                    lambda x: x.reshape(-1, width, *x.shape[1:]), (params, valid)
                )
                keys = episode_keys[policies[batch]]
                keys = jax.vmap(random.episode_keys, (0, None))(keys, episodes)
                return Group(params, keys, valid)

            def act(params, observation, key):
                return policy.act(policy.apply(params, observation), key)

            slots = max(1, plan.chunk // width)
            return task.play(act, load, task_state, len(rows), count, slots)

        args = (genomes, starts, of_policies.episodes, task_state)
        outcomes = sharding.share(play_rows, args, len(layout.policies), num_rows)
        return [jax.tree.map(part, outcomes) for part in layout.parts]

    # The center rides along with the population as one more genome, on policies of its
    # own: one compiled rollout serves both, and its return is held out because the
    # strategy never learns of it.
    blocks = [
        (np.arange(plan.population), plan.policies),
        (np.array([plan.population]), plan.center_policies),
    ]

    def generation(state: State, target: Array) -> tuple[State, Report]:
        keys = random.generation(state.key, state.generation)
        alone = functools.partial(sharding.alone, state.generation >= 0)
        center_due = state.generation % plan.center_every == 0

        genomes, asked = alone(ask, keys.ask, state.strategy)
        count = plan.policies + plan.center_policies
        policy_keys = random.policy_keys(keys.evaluation, count)
        active = 1 + center_due
        outcomes = play(
            pick, genomes, blocks, policy_keys, plan.episodes, state.task, active
        )
        return alone(
            tell, keys.tell, genomes, outcomes, asked, state, target, center_due
        )

    def ask(key: Key, strategy_state: StrategyState):
        """Return the population and the center, and the strategy's state."""
        population, asked = strategy.ask(key, strategy_state)
        return (population, strategy.center(strategy_state)), asked

    def pick(genomes: tuple[Genome, Genome], row: Array) -> Genome:
        """Return a candidate, or the center as the row that follows them."""
        return jax.tree.map(
            lambda xs, x: jnp.where(row < plan.population, xs[row], x), *genomes
        )

    def tell(key, genomes, outcomes, asked, state: State, target, center_due):
        """Return the state that the outcomes lead to, and what they showed."""
        population, center = genomes
        center = Answer(center, state.task)
        played, played_by_center = outcomes
        fitness = played.returns.reshape(plan.population, -1).mean(axis=1)
        center_return = jnp.where(center_due, played_by_center.returns.mean(), jnp.nan)
        improved = center_return >= state.best_return  # among equals the later one
        met = jnp.where(center_return >= target, state.streak + 1, 0)
        finite = jnp.isfinite(fitness)
        told = strategy.tell(key, population, fitness, asked)
        # Looked at where nothing succeeded alone: large genomes take their time.
        lost = jax.lax.cond(
            finite.any(),
            lambda: False,
            lambda: ~jax.vmap(is_finite)(population).any(),
        )
        report = Report(
            steps=played.lengths.sum() + center_due * played_by_center.lengths.sum(),
            fitness_mean=jnp.mean(fitness, where=finite),
            fitness_std=jnp.std(fitness, where=finite),
            fitness_max=jnp.max(fitness, where=finite, initial=-jnp.inf),
            failures=jnp.sum(~finite),
            center_return=center_return,
            diverged=~is_finite(strategy.center(told)) | lost,
        )
        stats = jax.tree.map(lambda x: x.sum(axis=(0, 1)), played.stats)
        state = State(
            key=state.key,
            generation=state.generation + 1,
            strategy=told,
            task=task.update(state.task, stats),
            best=jax.tree.map(
                lambda new, old: jnp.where(improved, new, old), center, state.best
            ),
            best_return=jnp.where(improved, center_return, state.best_return),
            streak=jnp.where(center_due, met, state.streak),
        )
        return state, report

    def advance(state: State, limits: Limits) -> tuple[State, Array, Report]:
        """Run generations until a limit is met.

        Returns the state, the number of generations run and their reports: arrays of
        length `LOG_SIZE`, valid up to that number.
        """

        def unfinished(carry):
            done, steps, state, _ = carry
            return (
                (done < limits.generations)
                & (steps < limits.env_steps)
                & (state.streak < TARGET_STREAK)
            )

        def step(carry):
            done, steps, state, log = carry
            state, report = generation(state, limits.target)
            log = jax.tree.map(lambda xs, x: xs.at[done].set(x), log, report)
            return done + 1, steps + report.steps, state, log

        types = (jnp.int32, *[jnp.float32] * 3, jnp.int32, jnp.float32, bool)
        log = Report(*(jnp.zeros(LOG_SIZE, dtype) for dtype in types))
        done, _, state, log = jax.lax.while_loop(
            unfinished, step, (jnp.int32(0), jnp.int32(0), state, log)
        )
        return state, done, log

    def init(keys: random.Search, genome: Genome | None = None) -> State:
        genome = encoding.init(keys.genome) if genome is None else genome
        task_state = task.init(keys.warm_up)
        return State(
            key=keys.run,
            generation=jnp.int32(0),
            strategy=strategy.init(keys.strategy, genome),
            task=task_state,
            best=Answer(genome, task_state),
            best_return=jnp.float32(-jnp.inf),
            streak=jnp.int32(0),
        )

    def evaluate(genomes, task_state, keys: Key, episodes: int) -> Outcome:
        """Return the outcomes, (G, P, …), of fresh policies from G genomes and P keys.

        The s-th policies of all genomes share their initialization and the episodes'
        randomness.
        """
        count = jax.tree.leaves(genomes)[0].shape[0]
        blocks = [(np.arange(count), len(keys))]
        (outcomes,) = play(take, genomes, blocks, keys, episodes, task_state)
        return outcomes

    def center(state: State) -> Answer:
        return Answer(strategy.center(state.strategy), state.task)

    @functools.cache
    def evaluation(episodes: int):
        return sharding.spread(lambda *args: evaluate(*args, episodes), devices)

    return Engine(
        init=jax.jit(init),
        advance=sharding.spread(advance, devices),
        center=jax.jit(center),
        evaluate=lambda *args, episodes: evaluation(episodes)(*args),
    )


def is_finite(tree: Any) -> Array:
    """Return whether all numbers in a pytree are finite."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    # NaN is the largest of all. Compilers take half the time for a maximum.
    largest = [jnp.max(jnp.abs(x), initial=0) for x in leaves]
    return jnp.isfinite(jnp.array(largest)).all()


class Layout(NamedTuple):
    """The rows of policies that blocks amount to, in the order of their evaluation."""

    rows: np.ndarray  # (R * width,) of each policy, its genome
    policies: np.ndarray  # (R,) of each row, its seed
    row_ends: np.ndarray  # with none of the blocks, the first one, two of them, …
    seed_ends: np.ndarray
    parts: list[
        Callable[[Array], Array]
    ]  # of all rows, a block's (genomes, policies, …)


def lay_out(blocks: Sequence[tuple[np.ndarray, int]], width: int) -> Layout:
    """Return the rows for blocks ``(genomes, policies)``, see `make_engine`.

    The `width` policies of a row have the same seed, for which genomes are repeated.
    """
    rows, policies, parts, row_ends, seed_ends = [], [], [], [0], [0]
    for genomes, count in blocks:
        size = len(genomes)
        padded = np.pad(genomes, (0, -size % width), mode="edge")
        each = len(padded) // width
        rows.append(np.tile(padded, count))
        policies.append(np.repeat(seed_ends[-1] + np.arange(count), each))
        parts.append(functools.partial(_part, row_ends[-1], count, each, size))
        row_ends.append(row_ends[-1] + count * each)
        seed_ends.append(seed_ends[-1] + count)
    return Layout(
        np.concatenate(rows),
        np.concatenate(policies),
        np.array(row_ends),
        np.array(seed_ends),
        parts,
    )


def _part(begin: int, count: int, each: int, size: int, x: Array) -> Array:
    """Return what `x` has for a block, without what was repeated."""
    x = x[begin : begin + count * each].reshape(count, -1, *x.shape[2:])
    return x[:, :size].swapaxes(0, 1)


WIDTH = 8  # policies of one seed in a row, where there are enough of them


def worth(width: int, genomes: int) -> bool:
    """Return whether rows of `width` repeat at most an eighth of the work."""
    return 8 * (-genomes % width) <= genomes


def take(tree: Any, row: Array) -> Any:
    """Return row `row` of every leaf."""
    return jax.tree.map(lambda x: x[row], tree)


def map_batches(function: Callable[[Array], Any], items: Array, batch: int) -> Any:
    """Return ``vmap(function)(items)``, computed `batch` items at a time.

    One at a time it is a plain loop: small matrix products batched into larger ones
    can be slower than one after the other.
    """
    if batch >= len(items):
        return jax.vmap(function)(items)
    return jax.lax.map(function, items, batch_size=None if batch == 1 else batch)
