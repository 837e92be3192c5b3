"""Strategies: all of evosax (Lange, 2022; arXiv:2212.04180), maximizing.

A family for `neuroevo.registry`: `names` lists evosax's algorithms under evosax's
names, and ``config(name)`` is the dataclass of one algorithm's options. evosax has two
kinds of algorithms, which start in different ways; here they have the same interface:

* *distribution-based*: the search starts from the given genome, and the center is the
  mean (for hill climbers and similar algorithms, the best or accepted candidate, which
  evosax calls their mean).
* *population-based*: the first `ask` returns the given genome and normal variations of
  it, from whose fitness the algorithm then starts. The center is the best member.

A non-finite fitness counts as just below the worst finite one of its generation.

Equal fitness says nothing about which candidate is better. A generation in which all
fitness is equal (or none is finite) leaves the search as it was, including its
schedules and counters: the next `ask` draws from the same distribution. If only some
candidates tie, algorithms that rank candidates put these in random order, so that ties
are broken at random. evosax would give all of them the weight of their mean rank; then
the weights no longer sum to one, and the standard deviation decays. Algorithms that
weight the fitness itself (those with the option ``fitness_shaping``) give equal
weights.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from neuroevo.core import trees
from neuroevo.errors import unknown
from neuroevo.strategies import evosax_algorithms, evosax_options
from neuroevo.strategies.evosax_options import POPULATION_BASED, Options
from neuroevo.strategies.fitness import bounded, break_ties
from neuroevo.types import Array, Genome, Key, Strategy, StrategyState

_RELATIVE = {"RandomSearch", "DiffusionEvolution"}  # they search around the origin
# Fields of evosax's state that `ask` changes, restored if nothing was learned. (Changes
# by other algorithms are overwritten by the next `ask`.)
_CHANGED_BY_ASK = {
    "GESMR_GA": ("population", "fitness"),
    "PersistentES": ("pert_accum",),
    "PSO": ("velocity",),
    "SAMR_GA": ("std",),
}


def names() -> list[str]:
    """Return evosax's names of all its algorithms."""
    return list(evosax_options.ABOUT)


@functools.cache
def config(name: str) -> type:
    """Return the frozen dataclass that holds the options of algorithm `name`.

    Raises:
        UserError: if evosax has no such algorithm.
    """
    if name not in evosax_options.ABOUT:
        raise unknown("strategy", name, names())
    about = f"{evosax_options.ABOUT[name]}\n\nNone stands for evosax's own value."
    return dataclasses.make_dataclass(
        name,
        [
            (key, kind, dataclasses.field(default=value))
            for key, kind, value in evosax_options.fields(name)
        ],
        bases=(EvosaxStrategy,),
        namespace={"__doc__": about, "__module__": __name__, "name": name},
        frozen=True,
    )


class EvosaxStrategy(Options):
    """Options of an evosax algorithm; `config` adds them as fields."""

    def build(self, population: int) -> Strategy:
        """Return the strategy that asks for `population` candidates at a time.

        Raises:
            UserError: if the algorithm does not support `population` or an option. The
                strategy's ``init`` also raises it, when traced, if the genome conflicts
                with an option or is too large for the algorithm.
        """
        evosax_options.check(self, population)
        search = _Search(self, population)
        return Strategy(search.init, search.ask, search.tell, search.center)


class State(NamedTuple):
    """The state of a strategy; every leaf is an array of a strong type."""

    evosax: Any  # evosax's own state
    start: Genome  # where the search began; it also gives the genome's structure
    told: Array  # () bool: whether evosax has seen a fitness
    leader: Array  # () int32: the sub-population that did best last (Stein variational)
    before: dict[str, Array]  # what the last `ask` changed in evosax's state


class _Search:
    """The functions of a strategy. It holds only constants, so that they are pure."""

    def __init__(self, options: Options, population: int):
        self.options = options
        self.population = population
        self.relative = options.name in _RELATIVE
        self.population_based = options.name in POPULATION_BASED
        self.parts = getattr(options, "num_populations", None)
        self.ranks = not hasattr(options, "fitness_shaping")
        # evosax's objects depend on the genome's size, which the first trace provides.
        self.evosax = functools.cache(
            functools.partial(
                evosax_algorithms.make, options, population // (self.parts or 1)
            )
        )

    def init(self, key: Key, genome: Genome) -> StrategyState:
        start = trees.strong(genome)
        origin = self._origin(start)
        evosax_options.check_size(self.options, self.population, origin.size)
        algorithm, params = self.evosax(origin.size)
        key, noise_key = jax.random.split(key)
        if self.population_based:  # replaced by the first population and its fitness
            nothing = jnp.zeros(self.population)
            state = algorithm.init(key, nothing[:, None] + origin, nothing, params)
        elif self.parts:
            means = self._around(noise_key, origin, self.parts)
            state = algorithm.init(key, means, params)
        else:
            state = algorithm.init(key, origin, params)
        if self.options.name.startswith("iAMaLGaM"):
            # evosax starts from the identity whatever the standard deviation.
            state = state.replace(C=state.C * state.std**2)
        state = trees.strong(state)
        told, leader = jnp.zeros((), bool), jnp.zeros((), jnp.int32)
        return State(state, start, told, leader, self._changed_by_ask(state))

    def ask(self, key: Key, state: State) -> tuple[Genome, State]:
        algorithm, params = self._evosax_of(state)
        old = state.evosax
        # One key serves both draws, of which only one is kept.
        candidates, new = evosax_algorithms.ask(algorithm, key, old, params)
        if self.population_based:
            first = self._around(key, self._origin(state.start), self.population)
            candidates = jnp.where(state.told, candidates, first)
            new = trees.where(state.told, new, old)
        population = jax.vmap(functools.partial(self._unflatten, state))(candidates)
        new = _like(new, old)
        return population, state._replace(evosax=new, before=self._changed_by_ask(old))

    def tell(
        self, key: Key, population: Genome, fitness: Array, state: State
    ) -> StrategyState:
        algorithm, params = self._evosax_of(state)
        flat = jax.vmap(self._flatten)(population)
        decay = self.options.weight_decay
        if decay:  # relative to size, unlike evosax's, so that it suits any genome
            fitness = fitness - decay * jnp.mean(flat**2, axis=-1)
        fitness = bounded(fitness)
        informative = jnp.min(fitness) < jnp.max(fitness)
        if self.ranks:
            tie_key, key = jax.random.split(key)
            fitness = break_ties(tie_key, fitness)
        if self.relative:
            flat = flat - self._flatten(state.start)

        old = state.evosax
        leader = state.leader
        if self.parts:
            flat = flat.reshape(self.parts, -1, flat.shape[-1])
            scores = jnp.mean(fitness.reshape(self.parts, -1), axis=-1)
            leader = jnp.argmax(scores).astype(jnp.int32)
        # evosax minimizes.
        new = evosax_algorithms.tell(algorithm, key, flat, -fitness, old, params)
        if ends := evosax_options.limits(self.options):
            new = new.replace(std=jnp.clip(new.std, *ends))
        if self.population_based:
            first = algorithm.init(key, flat, -fitness, params)
            new = trees.where(state.told, new, first)
        told = State(
            _like(new, old), state.start, jnp.ones((), bool), leader, state.before
        )
        return trees.where(
            informative & ~_breaks(told, state), told, self._unlearned(state)
        )

    def center(self, state: State) -> Genome:
        inner = state.evosax
        if not self.population_based:
            mean = inner.mean[state.leader] if self.parts else inner.mean
            return self._unflatten(state, mean)
        if self.options.name == "PSO":  # its particles move past their best positions
            members, fitness = inner.population_best, inner.fitness_best
        else:
            members, fitness = inner.population, inner.fitness
        best = self._unflatten(state, members[jnp.argmin(fitness)])
        return trees.where(state.told, best, state.start)

    def _origin(self, start: Genome) -> Array:
        flat = self._flatten(start)
        return jnp.zeros_like(flat) if self.relative else flat

    def _around(self, key: Key, origin: Array, count: int) -> Array:
        """Return `origin` and normal variations of it, `count` in all."""
        noise = jax.random.normal(key, (count, origin.size)).at[0].set(0.0)
        return origin + self.options.std * noise

    def _changed_by_ask(self, state: Any) -> dict[str, Array]:
        names = _CHANGED_BY_ASK.get(self.options.name, ())
        return {name: getattr(state, name) for name in names}

    def _unlearned(self, state: State) -> State:
        """Return the state as it was before the last `ask`."""
        inner = state.evosax.replace(**state.before)
        if self.options.name == "NoiseReuseES":  # or it asks for the same ones again
            inner = inner.replace(inner_step_counter=jnp.zeros((), jnp.int32))
        return state._replace(evosax=_like(inner, state.evosax))

    def _evosax_of(self, state: State) -> tuple[Any, Any]:
        return self.evosax(sum(leaf.size for leaf in jax.tree.leaves(state.start)))

    def _flatten(self, genome: Genome) -> Array:
        leaves = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), genome)
        return ravel_pytree(leaves)[0]

    def _unflatten(self, state: State, flat: Array) -> Genome:
        start = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), state.start)
        origin, unravel = ravel_pytree(start)
        return _like(unravel(origin + flat if self.relative else flat), state.start)


def _breaks(new: Any, old: Any) -> Array:
    """Return whether a finite number has become infinite or NaN in `new`.

    This happens if a standard deviation underflows or grows without bound.
    """
    broken = jax.tree.map(
        lambda x, y: jnp.any(~jnp.isfinite(x) & jnp.isfinite(y)), new, old
    )
    return jnp.any(jnp.stack(jax.tree.leaves(broken)))


def _like(new: Any, old: Any) -> Any:
    """Return `new` with the dtypes of `old`, all strong."""
    return jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), new, old)
