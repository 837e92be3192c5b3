"""The genetic algorithm that extends chains of mutation seeds.

Such et al., "Deep Neuroevolution: Genetic Algorithms are a Competitive Alternative for
Training Deep Neural Networks for Reinforcement Learning", 2017, arXiv 1712.06567. The
best candidates of a generation are the parents of the next; a child is a parent with
one more seed, and the very best one survives as it is. The encoding ``seeds`` makes
networks of such chains.
"""

import dataclasses
import math
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Gt, Le

from neuroevo.core import trees
from neuroevo.errors import UserError
from neuroevo.strategies.fitness import bounded
from neuroevo.types import Array, Genome, Key, Strategy

_SEEDS = 2**24  # integers that a float32 represents


class State(NamedTuple):
    """The state of a search."""

    start: Genome
    members: Array  # (N, length) of the last generation
    fitness: Array  # (N,) of the members
    told: Array  # () bool: whether there are members


@dataclasses.dataclass(frozen=True)
class DeepGA:
    """GA on mutation seeds, for the encoding seeds (Such et al., 2017)."""

    elite_ratio: Annotated[float, Gt(0), Le(1)] = 0.1
    """Share of the candidates that become parents: at least one."""

    def build(self, population: int) -> Strategy:
        """Return the strategy that asks for `population` candidates at a time.

        Raises:
            UserError: if the population is a single candidate. The strategy's ``init``
                also raises it, when traced, for a genome that is no list of seeds.
        """
        if population < 2:
            raise UserError(
                f"DeepGA: expected a population of at least 2, got {population}"
            )
        parents = max(1, math.floor(self.elite_ratio * population))

        def init(key: Key, genome: Genome) -> State:
            del key
            shapes = [leaf.shape for leaf in jax.tree.leaves(genome)]
            if len(shapes) != 1 or len(shapes[0]) != 1:
                raise UserError(
                    "DeepGA: expected a genome of seeds, such as that of --encoding "
                    "seeds; SimpleGA takes any genome"
                )
            (seeds,) = jax.tree.leaves(genome)
            return State(
                trees.strong(genome),
                jnp.broadcast_to(seeds, (population, *seeds.shape)).astype(jnp.float32),
                jnp.zeros(population),
                jnp.zeros((), bool),
            )

        def ask(key: Key, state: State) -> tuple[Genome, State]:
            choosing, drawing = jax.random.split(key)
            best = jnp.argsort(-state.fitness)[:parents]
            chosen = jax.random.choice(choosing, best, (population,))
            drawn = jax.random.randint(drawing, (population,), 1, _SEEDS)
            # At first, all candidates are networks of their own.
            children = jax.vmap(_extended)(state.members[chosen], drawn)
            first = state.members.at[:, 0].set(drawn)
            children = jnp.where(state.told, children, first)
            children = children.at[0].set(state.members[best[0]])
            structure = jax.tree.structure(state.start)
            return jax.tree.unflatten(structure, [children]), state

        def tell(key: Key, population: Genome, fitness: Array, state: State) -> State:
            del key
            (members,) = jax.tree.leaves(population)
            fitness = bounded(fitness)
            told = State(state.start, members, fitness, jnp.ones((), bool))
            # Equal fitness says nothing about which candidate is better.
            return trees.where(jnp.min(fitness) < jnp.max(fitness), told, state)

        def center(state: State) -> Genome:
            best = state.members[jnp.argmax(state.fitness)]
            return jax.tree.unflatten(jax.tree.structure(state.start), [best])

        return Strategy(init, ask, tell, center)


def _extended(seeds: Array, seed: Array) -> Array:
    """Return a chain with another seed, which in a full chain replaces the last one."""
    used = jnp.cumprod(seeds != 0).sum()
    return seeds.at[jnp.minimum(used, len(seeds) - 1)].set(seed.astype(seeds.dtype))
