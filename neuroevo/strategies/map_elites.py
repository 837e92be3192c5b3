"""MAP-Elites: the best genome of every kind of behavior.

Mouret and Clune, "Illuminating search spaces by mapping elites", 2015, arXiv
1504.04909. A grid over the descriptors of a task is the archive: each of its cells
keeps the fittest genome whose descriptors lie in it. Parents are drawn evenly from the
filled cells. A child is a parent, moved a little in all directions and along the line
to another one: Vassiliades and Mouret, "Discovering the elite hypervolume by leveraging
interspecies correlation", GECCO 2018, arXiv 1804.03906.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Predicate

from neuroevo.core import trees
from neuroevo.errors import UserError
from neuroevo.strategies.ranges import NotNegative, Positive
from neuroevo.types import Archive, Array, Descriptor, Elites, Genome, Key, Strategy

Count = Annotated[int, Ge(1)]
_MOST = 2**31 - 1  # cells


class State(NamedTuple):
    """The state of a search."""

    start: Genome
    elites: Elites


@dataclasses.dataclass(frozen=True)
class MAPElites:
    """Quality-diversity on a grid (Mouret and Clune, 2015; arXiv:1504.04909)."""

    cells: tuple[Count, ...] = (32,)
    """Cells of the archive: one number for each dimension, or one for all."""
    std: Positive = 0.5
    """Standard deviation of the first candidates, around the start of the search."""
    iso: NotNegative = 0.05
    """Standard deviation of a child around its parent, as a share of std."""
    line: NotNegative = 0.2
    """Standard deviation of its step to another elite, as a share of the distance."""
    offset: Annotated[float, Predicate(math.isfinite)] = 0.0
    """Fitness that counts as nothing in the QD score; best the lowest there is."""

    needs_descriptor: ClassVar[bool] = True

    def build(self, population: int, descriptor: Descriptor) -> Strategy:
        """Return the strategy that asks for `population` candidates at a time.

        Args:
            population: number of candidates.
            descriptor: what describes their behavior.

        Raises:
            UserError: if the number of `cells` does not fit the descriptor.
        """
        search = _Search(self, population, descriptor)
        archive = Archive(lambda state: state.elites, search.cells, self.offset)
        return Strategy(search.init, search.ask, search.tell, _center, archive=archive)


class _Search:
    """The functions of a strategy. It holds only constants, so that they are pure."""

    def __init__(self, options: MAPElites, population: int, descriptor: Descriptor):
        self.options, self.population = options, population
        self.descriptor = descriptor
        self.cells = _cells(options.cells, descriptor.names)

    def init(self, key: Key, genome: Genome) -> State:
        del key
        count, start = math.prod(self.cells), trees.strong(genome)
        return State(
            start,
            Elites(
                jax.tree.map(lambda x: jnp.zeros((count, *x.shape), x.dtype), start),
                jnp.full(count, -jnp.inf),
                jnp.zeros((count, len(self.cells))),
            ),
        )

    def ask(self, key: Key, state: State) -> tuple[Genome, State]:
        parent_key, line_key, key = jax.random.split(key, 3)
        filled = jnp.isfinite(state.elites.fitness)
        in_front = jnp.argsort(~filled, stable=True)
        any_filled = filled.any()
        most = jnp.maximum(filled.sum(), 1)
        parents = jax.random.randint(parent_key, (2, self.population), 0, most)
        parent, other = in_front[parents]
        step = self.options.line * jax.random.normal(line_key, (self.population,))

        def children(key: Key, start: Array, genomes: Array) -> Array:
            noise = jax.random.normal(key, (self.population, *start.shape))
            noise = self.options.std * noise
            along = step.reshape(-1, *[1] * start.ndim)
            at, toward = genomes[parent], genomes[other]
            varied = at + self.options.iso * noise + along * (toward - at)
            first = (start + noise).at[0].set(start)
            return jnp.where(any_filled, varied, first).astype(start.dtype)

        leaves, structure = jax.tree.flatten(state.start)
        genomes = jax.tree.leaves(state.elites.genomes)
        own = jax.random.split(key, len(leaves))
        drawn = [children(*each) for each in zip(own, leaves, genomes, strict=True)]
        return jax.tree.unflatten(structure, drawn), state

    def tell(
        self,
        key: Key,
        population: Genome,
        fitness: Array,
        state: State,
        descriptors: Array,
    ) -> State:
        del key
        elites, count = state.elites, len(state.elites.fitness)
        fitness = fitness.astype(jnp.float32)
        valid = jnp.isfinite(fitness) & jnp.isfinite(descriptors).all(axis=1)
        cell = jnp.where(valid, self._cell_of(descriptors), count)
        # Among equals, the older elite stays, and the first of the candidates enters.
        best = elites.fitness.at[cell].max(fitness, mode="drop")
        number = jnp.arange(self.population)
        wins = valid & (fitness == best[cell]) & (best > elites.fitness)[cell]
        first = jnp.full(count, self.population)
        first = first.at[jnp.where(wins, cell, count)].min(number, mode="drop")
        enters = jnp.where(wins & (first[cell] == number), cell, count)
        told = Elites(population, fitness, descriptors.astype(jnp.float32))
        elites = jax.tree.map(
            lambda x, new: x.at[enters].set(new, mode="drop"), elites, told
        )
        return State(state.start, elites)

    def _cell_of(self, descriptors: Array) -> Array:
        """Return the numbers of the cells of descriptors (N, D), int32."""
        low = np.asarray(self.descriptor.low, np.float32)
        high = np.asarray(self.descriptor.high, np.float32)
        cells = np.asarray(self.cells)
        shares = (descriptors - low) / (high - low)
        places = jnp.clip(jnp.floor(shares * cells), 0, cells - 1).astype(jnp.int32)
        return jnp.ravel_multi_index(tuple(places.T), self.cells, mode="clip")


def _center(state: State) -> Genome:
    """Return the fittest of all elites, or if there is none the start."""
    best = jnp.argmax(state.elites.fitness)
    found = trees.take(state.elites.genomes, best)
    return trees.where(jnp.isfinite(state.elites.fitness[best]), found, state.start)


def _cells(cells: Sequence[int], names: Sequence[str]) -> tuple[int, ...]:
    """Return the number of cells in each dimension of a descriptor."""
    if len(cells) not in (1, len(names)):
        one_each = " ".join(["32"] * len(names))
        raise UserError(
            f"strategy.cells: expected one number for all dimensions, or one for each "
            f"of {', '.join(names)}, such as {one_each}; got {len(cells)} numbers"
        )
    cells = tuple(cells) * (len(names) if len(cells) == 1 else 1)
    if math.prod(cells) > _MOST:
        raise UserError(
            f"strategy.cells: expected at most 2^31 - 1 cells, got "
            f"{' x '.join(map(str, cells))}"
        )
    return cells
