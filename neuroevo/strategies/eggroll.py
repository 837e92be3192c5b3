"""Evolution strategies whose candidates differ from their center by low-rank matrices.

EGGROLL: Sarkar et al., "Evolution Strategies at the Hyperscale", 2025, arXiv
2511.16652. A candidate is the center plus ``std * A.T @ B / sqrt(rank)`` for each
matrix of a genome, with standard normal factors ``A`` and ``B``, and plus ``std`` times
normal numbers for everything else. No candidate is ever held: the population consists
of the factors. Where the genome is the policy's weights, all candidates act with those
of the center, and with their own factors beside them.

The center follows the gradient of the expected fitness, as estimated from all
candidates: the sum of their differences, weighted by fitness, is one product of two
matrices. It is of full rank, although each of its terms is not.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge, Interval

from neuroevo.core import trees
from neuroevo.differences import Difference, Factors
from neuroevo.errors import UserError
from neuroevo.strategies.fitness import bounded, centered_ranks
from neuroevo.strategies.ranges import NotNegative, Positive
from neuroevo.types import Array, Genome, Key, Strategy

if TYPE_CHECKING:
    import optax

# Those of optax, with their defaults.
Optimizer = Literal[
    "adabelief",
    "adagrad",
    "adam",
    "adamax",
    "amsgrad",
    "lion",
    "nadam",
    "radam",
    "rmsprop",
    "sgd",
    "yogi",
]


class State(NamedTuple):
    """The state of a search."""

    center: Genome
    moments: Any  # the optimizer's state
    std: Array
    learning_rate: Array


@dataclasses.dataclass(frozen=True)
class EGGROLL:
    """Low-rank ES for large networks (Sarkar et al., 2025; arXiv:2511.16652)."""

    rank: Annotated[int, Ge(1)] = 1
    """Rank of what is added to a matrix; of smaller ones, their shorter side."""
    std: Positive = 0.1
    """Initial standard deviation of the search."""
    std_decay: Positive = 1.0
    """Factor on std in each generation."""
    std_limit: NotNegative = 0.0
    """Lower limit of std."""
    antithetic: bool = True
    """Candidates in pairs, on both sides of the center."""
    fitness_shaping: Literal["raw", "centered_rank", "standardize"] = "centered_rank"
    """Transformation of the fitness before it weights the candidates."""
    optimizer: Optimizer = "adam"
    """Optimizer of the center, one of optax's, with optax's defaults."""
    learning_rate: Positive = 0.02
    """Step size of the optimizer."""
    learning_rate_decay: Positive = 1.0
    """Factor on learning_rate per generation."""
    weight_decay: Annotated[float, Interval(ge=0, le=1)] = 0.0
    """Share, times the learning rate, that the center loses in each generation."""

    def build(self, population: int) -> Strategy:
        """Return the strategy that asks for `population` candidates at a time.

        Raises:
            UserError: if the population is odd, but candidates come in pairs; if it is
                a single candidate. The strategy's ``init`` also raises it, when traced,
                if the rank is above the shorter side of every matrix of the genome.
        """
        if population < 2:
            raise UserError(
                f"EGGROLL: expected a population of at least 2, got {population}"
            )
        if self.antithetic and population % 2:
            raise UserError(
                f"EGGROLL: expected an even population, got {population}; the nearest "
                f"are {population - 1} and {population + 1}; or use "
                "--strategy.no-antithetic"
            )
        search = _Search(self, population)
        return Strategy(search.init, search.ask, search.tell, _center, differences=True)


class _Search:
    """The functions of a strategy. It holds only constants, so that they are pure."""

    def __init__(self, options: EGGROLL, population: int):
        self.options, self.population = options, population

    def init(self, key: Key, genome: Genome) -> State:
        del key
        self._check_rank(genome)
        start = trees.strong(genome)
        return State(
            start,
            trees.strong(self._optimizer().init(start)),
            jnp.float32(self.options.std),
            jnp.float32(self.options.learning_rate),
        )

    def ask(self, key: Key, state: State) -> tuple[Difference, State]:
        leaves, structure = jax.tree.flatten(state.center)
        drawn = [
            self._draw(jax.random.fold_in(key, i), leaf.shape, state.std)
            for i, leaf in enumerate(leaves)
        ]
        return jax.tree.unflatten(structure, drawn), state

    def tell(
        self, key: Key, population: Difference, fitness: Array, state: State
    ) -> State:
        del key
        options = self.options
        fitness = bounded(fitness)
        weights = _SHAPINGS[options.fitness_shaping](fitness)
        weights = weights / (self.population * state.std**2)

        def descent(center: Array, differences: Array | Factors) -> Array:
            total = _weighted(differences, weights)
            return -total.reshape(center.shape).astype(center.dtype)

        gradient = jax.tree.map(descent, state.center, population)
        rate = state.learning_rate
        updates, moments = self._optimizer().update(
            gradient, state.moments, state.center
        )
        keep = 1 - rate * options.weight_decay
        center = jax.tree.map(
            lambda x, update: (keep * x + rate * update).astype(x.dtype),
            state.center,
            updates,
        )
        std = jnp.maximum(state.std * options.std_decay, options.std_limit)
        told = State(center, moments, std, rate * options.learning_rate_decay)
        told = jax.tree.map(lambda new, old: new.astype(old.dtype), told, state)
        # Equal fitness says nothing about which candidate is better, and a step that
        # is not finite, after std has become too small to divide by, leads nowhere.
        informative = jnp.min(fitness) < jnp.max(fitness)
        return trees.where(informative & trees.is_finite(told), told, state)

    def _draw(self, key: Key, shape: tuple[int, ...], std: Array) -> Array | Factors:
        """Return the population's differences for an array of the genome."""
        count, rank = self.population, self.options.rank
        left_key, right_key = jax.random.split(key)

        def normal(key: Key, *shape: int) -> Array:
            drawn = count // 2 if self.options.antithetic else count
            return jax.random.normal(key, (drawn, *shape))

        def with_opposite(x: Array, sign: int = -1) -> Array:
            return jnp.concatenate([x, sign * x]) if self.options.antithetic else x

        inputs, outputs = _sides(shape)
        if min(inputs, outputs) <= 1:  # a matrix that is a vector has no shorter form
            return std * with_opposite(normal(key, *shape))
        rank = min(rank, inputs, outputs)
        left = normal(left_key, rank, inputs) * std / math.sqrt(rank)
        return Factors(
            with_opposite(left), with_opposite(normal(right_key, rank, outputs), sign=1)
        )

    def _optimizer(self) -> "optax.GradientTransformation":
        """Return the optimizer with a learning rate of one."""
        import optax  # help does without

        return getattr(optax, self.options.optimizer)(1.0)

    def _check_rank(self, genome: Genome) -> None:
        sides = [min(_sides(leaf.shape)) for leaf in jax.tree.leaves(genome)]
        most = max(sides, default=0)
        if most <= 1:
            raise UserError(
                "EGGROLL: expected a genome with matrices, such as that of the "
                "encoding direct; Open_ES takes any genome"
            )
        if self.options.rank > most:
            raise UserError(
                f"strategy.rank {self.options.rank}: expected at most {most}, the "
                "shorter side of the genome's largest matrix"
            )


def _center(state: State) -> Genome:
    return state.center


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the sides of an array as a matrix, outputs last: one for a vector."""
    *inputs, outputs = shape or (1,)
    return math.prod(inputs), outputs


def _weighted(differences: Array | Factors, weights: Array) -> Array:
    """Return the sum over the candidates, with weights (N,), multiplied out."""
    if not isinstance(differences, Factors):
        return jnp.tensordot(weights, differences, axes=1)
    left, right = differences
    return jnp.einsum("nri,nro->io", weights[:, None, None] * left, right)


def _standardized(fitness: Array) -> Array:
    std = jnp.std(fitness)
    return (fitness - fitness.mean()) / jnp.where(std > 0, std, 1)


_SHAPINGS: dict[str, Callable[[Array], Array]] = {
    "raw": lambda fitness: fitness,
    "centered_rank": centered_ranks,
    "standardize": _standardized,
}
