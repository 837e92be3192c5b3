"""Gradient descent through the training on the pairs, from several starts at once.

Where a teacher, logged behavior or labels say what a policy should do, the loss of the
decoded policy can be differentiated with respect to the genome: through all the steps
of the training that decodes it. This is data-set distillation (Wang et al., 2018, arXiv
1811.10959) of behavior. Each candidate is a descent of its own; all of them are
evaluated in every generation, and the center is the one with the best fitness.
"""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Interval

from neuroevo.core import trees
from neuroevo.strategies.ranges import Positive
from neuroevo.types import (
    Array,
    Descent,
    DrawBatch,
    Genome,
    Key,
    OuterLoss,
    Rows,
    Strategy,
    Target,
)

if TYPE_CHECKING:
    import optax

_LAST = 0.1  # learning rate at the end, relative to the first


class Candidate(NamedTuple):
    """One descent; in a state, all of them along a leading axis."""

    genome: Genome
    moments: Any  # the optimizer's state
    loss: Array  # mean over the steps of the last generation


class State(NamedTuple):
    """The state of all descents."""

    candidates: Candidate  # (N, …)
    fitness: Array  # (N,) of the last generation
    generation: Array  # int32: generations completed
    rows: Rows | None  # given ones, then room for what a teacher labels later
    added: Array  # int32: rows that have been put into that room


@dataclasses.dataclass(frozen=True)
class Gradients:
    """Gradient descent through the training on the pairs (needs --rows or labels)."""

    steps: Annotated[int, Ge(1)] = 25
    """Gradient steps of each candidate in a generation."""
    networks: Annotated[int, Ge(1)] = 4
    """Fresh networks in each step."""
    batch: Annotated[int, Ge(1)] = 256
    """Rows in each step, for each network."""
    learning_rate: Positive = 0.03
    """Learning rate of Adam on the genome, in the first step."""
    generations: Annotated[int, Ge(1)] = 20
    """Generations in which the learning rate falls to a tenth, as a cosine."""
    max_grad_norm: Positive | None = 1.0
    """Clip the gradient to this global norm; none: no clipping."""
    loss: str = "auto"
    """Loss on the rows, one of the policy's losses; auto: by the actions."""
    relabel_every: Annotated[int, Ge(0)] = 2
    """Generations between two rounds in which the teacher labels what students see; 0:
    never."""
    relabel_policies: Annotated[int, Ge(1)] = 4
    """Students in each of these rounds, one episode each."""
    capacity: Annotated[int, Interval(ge=2, le=2**24)] = 16384
    """Most rows to keep: of more, every k-th. Half of them is for what the teacher
    labels, where the newest replace the oldest."""

    learns_from_rows: ClassVar[bool] = True

    @property
    def room(self) -> int:
        """The number of rows that the teacher's labels have room for."""
        return self.capacity // 2

    def build(self, population: int, loss: OuterLoss) -> Strategy:
        """Return `population` descents on the loss."""
        descents = _Descents(self, population, loss)
        work = Descent(population, descents.improve, _gather, _loss)
        return Strategy(descents.init, _ask, descents.tell, _center, work)


class _Descents:
    """The functions of the strategy. It holds only constants, so that they are pure."""

    def __init__(self, options: Gradients, population: int, loss: OuterLoss):
        self.options, self.population, self.loss = options, population, loss
        room = options.room if options.relabel_every else 0
        rows = loss.rows
        self.rows = rows and _with_room(rows, options.capacity - room, room)
        self.optimizer = _make_optimizer(options)

    def init(self, key: Key, genome: Genome) -> State:
        """Start from `genome`, and from others that the encoding draws."""
        others = jax.vmap(self.loss.init)(jax.random.split(key, self.population))
        genomes = jax.tree.map(lambda xs, x: xs.at[0].set(x), others, genome)
        if self.loss.within:
            genomes = self.loss.within(genomes)
        nothing = jnp.full(self.population, jnp.nan)
        return State(
            Candidate(genomes, jax.vmap(self.optimizer.init)(genomes), nothing),
            fitness=nothing,
            generation=jnp.int32(0),
            rows=jax.tree.map(jnp.asarray, self.rows),
            added=jnp.int32(0),
        )

    def improve(
        self, key: Key, state: State, index: Array, batch: DrawBatch | None
    ) -> Candidate:
        """Take the gradient steps of one candidate in a generation."""
        options = self.options
        draw = _draw_from(state.rows) if state.rows else cast(DrawBatch, batch)

        def loss_of(genome: Genome, key: Key) -> Array:
            drawn, trained = jax.random.split(key)
            rows = draw(drawn, options.batch)
            return self.loss.loss_on(genome, trained, *rows)

        def step(k: Array, carry: Candidate) -> Candidate:
            genome, moments, total = carry

            # One network after the other, so that only one training is kept.
            def one(sums: Any, key: Key) -> tuple[Any, None]:
                found = jax.value_and_grad(loss_of)(genome, key)
                return jax.tree.map(jnp.add, sums, found), None

            keys = jax.random.split(jax.random.fold_in(key, k), options.networks)
            zero = jax.tree.map(jnp.zeros_like, (total, genome))
            sums, _ = jax.lax.scan(one, zero, keys)
            loss, gradient = jax.tree.map(lambda x: x / options.networks, sums)
            # A training that has diverged says nothing about where to go.
            sane = trees.is_finite((loss, gradient))
            gradient = trees.where(sane, gradient, zero[1])
            updates, after = self.optimizer.update(gradient, moments, genome)
            moved = jax.tree.map(jnp.add, genome, updates)
            if self.loss.within:  # beyond a bound, nothing would lead back
                moved = self.loss.within(moved)
            genome, moments = trees.where(sane, (moved, after), (genome, moments))
            return Candidate(genome, moments, total + loss)

        begin = trees.take(state.candidates, index)._replace(loss=jnp.zeros(()))
        end = jax.lax.fori_loop(0, options.steps, step, begin)
        return end._replace(loss=end.loss / options.steps)

    def tell(self, key: Key, population: Genome, fitness: Array, state: State) -> State:
        """Keep the fitness; at half time, the better half replaces the worse one."""
        del key, population
        state = state._replace(fitness=fitness, generation=state.generation + 1)
        better = (self.population + 1) // 2
        order = jnp.argsort(-_ranked(fitness))
        chosen = order[jnp.arange(self.population) % better]
        half = state.generation == (self.options.generations + 1) // 2
        survivors = trees.take((state.candidates, state.fitness), chosen)
        candidates, fitness = trees.where(
            half, survivors, (state.candidates, state.fitness)
        )
        return state._replace(candidates=candidates, fitness=fitness)


def add_rows(options: Gradients, state: State, new: Rows) -> State:
    """Return the state with rows that a teacher has labeled, in place of the oldest."""
    room, added, rows = options.room, int(state.added), cast(Rows, state.rows)
    kept = _thinned(len(new.weights), room)
    at = len(rows.weights) - room + (added + np.arange(len(kept))) % room

    # On the host, as a program would be compiled for every number of new rows.
    def put(x: Array, y: Any) -> Array:
        whole = np.array(x)
        whole[at] = np.asarray(y)[kept]
        return jnp.asarray(whole)

    rows = jax.tree.map(put, rows, new)
    return state._replace(rows=rows, added=jnp.int32(added + len(kept)))


def _with_room(rows: Rows, most: int, room: int) -> Rows:
    """Return at most this many of the rows, followed by a number without weight."""
    kept = _thinned(len(rows.weights), most)

    def pad(x: Any) -> np.ndarray:
        x = np.asarray(x)[kept]
        return np.concatenate([x, np.zeros((room, *x.shape[1:]), x.dtype)])

    return Rows(*map(pad, rows))


def _thinned(count: int, most: int) -> np.ndarray:
    """Return at most `most` of the numbers below `count`, evenly spaced."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def _make_optimizer(options: Gradients) -> "optax.GradientTransformation":
    import optax  # help does without

    steps = options.steps * options.generations
    rate = optax.cosine_decay_schedule(options.learning_rate, steps, alpha=_LAST)
    clip = options.max_grad_norm
    parts = [optax.clip_by_global_norm(clip)] if clip else []
    return optax.chain(*parts, optax.adam(rate))


def _draw_from(rows: Rows) -> DrawBatch:
    """Return a function that draws rows by their weights, with replacement."""
    ends = jnp.cumsum(rows.weights)

    def draw(key: Key, size: int) -> tuple[Array, Target]:
        drawn = jax.random.uniform(key, (size,)) * ends[-1]
        index = jnp.searchsorted(ends, drawn, side="right")
        # Rounding may reach the sum itself, behind the last row.
        index = jnp.minimum(index, len(ends) - 1)
        return rows.observations[index], rows.targets[index]

    return draw


def _ask(key: Key, state: State) -> tuple[Genome, State]:
    del key
    return state.candidates.genome, state


def _center(state: State) -> Genome:
    return trees.take(state.candidates.genome, jnp.argmax(_ranked(state.fitness)))


def _gather(state: State, results: Candidate) -> State:
    return state._replace(candidates=results)


def _loss(state: State) -> Array:
    """Return the loss of the candidate with the best fitness."""
    return state.candidates.loss[jnp.argmax(_ranked(state.fitness))]


def _ranked(fitness: Array) -> Array:
    """Return the fitness, with what is not finite at the end."""
    return jnp.where(jnp.isfinite(fitness), fitness, -jnp.inf)
