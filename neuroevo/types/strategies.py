"""Strategies, which search over genomes."""

from typing import Any, NamedTuple, Protocol

from neuroevo.types.arrays import Array, Genome, Key, StrategyState
from neuroevo.types.tasks import DrawBatch


class InitStrategy(Protocol):
    """Return the state of a search that starts from `genome`."""

    def __call__(self, key: Key, genome: Genome, /) -> StrategyState: ...


class Ask(Protocol):
    """Return a population and the state.

    The population is a genome with a leading axis, or if the strategy's `differences`
    is true, a difference with one.
    """

    def __call__(
        self, key: Key, state: StrategyState, /
    ) -> tuple[Genome, StrategyState]: ...


class Tell(Protocol):
    """Return the state after the population's fitness, (N,), is known.

    A fitness that is not finite ranks last.
    """

    def __call__(
        self, key: Key, population: Genome, fitness: Array, state: StrategyState, /
    ) -> StrategyState: ...


class TellDescribed(Protocol):
    """Do as `Tell`, given the population's descriptors, (N, D), too.

    Those of candidates without a finite fitness may not be finite either.
    """

    def __call__(
        self,
        key: Key,
        population: Genome,
        fitness: Array,
        state: StrategyState,
        descriptors: Array,
        /,
    ) -> StrategyState: ...


class Center(Protocol):
    """Return the strategy's current answer, a genome."""

    def __call__(self, state: StrategyState, /) -> Genome: ...


class Improve(Protocol):
    """Return candidate `index`, with what the strategy keeps for it, improved.

    `batch` is that of the task.
    """

    def __call__(
        self, key: Key, state: StrategyState, index: Array, batch: DrawBatch | None, /
    ) -> Any: ...


class Gather(Protocol):
    """Return the state with the results of `Improve` for all candidates, (N, …)."""

    def __call__(self, state: StrategyState, results: Any, /) -> StrategyState: ...


class CurrentLoss(Protocol):
    """Return the loss of the strategy's current answer."""

    def __call__(self, state: StrategyState, /) -> Array: ...


class Descent(NamedTuple):
    """Work on each candidate before its evaluation, such as gradient steps.

    The engine divides the candidates among the devices, so that `improve` must depend
    on nothing but its arguments.

    Attributes:
        count: number of candidates, N.
        improve: works on one candidate.
        gather: takes in the results.
        loss: what the work reduces, for the metrics.
    """

    count: int  # type: ignore[assignment]  # a tuple has a method count
    improve: Improve
    gather: Gather
    loss: CurrentLoss


class Elites(NamedTuple):
    """The best genome of each of C cells of a grid of descriptors, in row-major order.

    Attributes:
        genomes: (C, …).
        fitness: (C,), not finite where a cell is empty.
        descriptors: (C, D).
    """

    genomes: Genome
    fitness: Array
    descriptors: Array


class ReadElites(Protocol):
    """Return the elites in a strategy's state."""

    def __call__(self, state: StrategyState, /) -> Elites: ...


class Archive(NamedTuple):
    """An archive of elites that a strategy keeps, one for each kind of behavior.

    Attributes:
        elites: returns them.
        cells: number of cells of the grid in each dimension of the descriptor.
        offset: the fitness that counts as nothing in the sum over the elites.
    """

    elites: ReadElites
    cells: tuple[int, ...]
    offset: float = 0.0


class Strategy(NamedTuple):
    """A search over genomes that maximizes fitness.

    Attributes:
        init: returns the state that a search begins with.
        ask: returns a population.
        tell: takes in its fitness.
        center: returns the current answer.
        descent: work on each candidate before a population is asked for; None for none.
        differences: whether a population consists of differences to the center, pytrees
            like a genome whose leaves are arrays to add or `Factors` of matrices. Then
            large candidates need not be held.
        archive: how to read the archive of a strategy whose `tell` takes descriptors;
            None for any other.

    Example:
        The best of each population is the center of the next:

        >>> climb = neuroevo.Strategy(
        ...     init=lambda key, genome: genome,
        ...     ask=lambda key, at: (at + jax.random.normal(key, (8, *at.shape)), at),
        ...     tell=lambda key, some, fitness, at: some[jnp.nanargmax(fitness)],
        ...     center=lambda at: at,
        ... )
        >>> state = climb.init(None, jnp.zeros(3))
        >>> population, state = climb.ask(jax.random.key(0), state)
        >>> climb.tell(None, population, population.sum(axis=1), state).shape
        (3,)
    """

    init: InitStrategy
    ask: Ask
    tell: Tell | TellDescribed
    center: Center
    descent: Descent | None = None
    differences: bool = False
    archive: Archive | None = None
