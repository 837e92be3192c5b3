"""Strategies: all of evosax (Lange, 2022; arXiv:2212.04180), maximizing.

A family for `neuroevo.registry`: `names` lists evosax's algorithms under its own names
and ``config(name)`` is the dataclass of one algorithm's options. evosax knows two
kinds of algorithm, with different ways to start; here they look the same:

* *distribution-based*: the search starts at the given genome, and the center is the
  mean (for hill climbers and the like: the best or accepted candidate, which is what
  evosax calls their mean).
* *population-based*: the first `ask` returns the given genome and normal variations of
  it, from whose fitness the algorithm then starts. The center is the best member.

A non-finite fitness counts as just below the worst finite one of its generation, and
a generation without any finite fitness leaves the state as it was.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from neuroevo.errors import unknown
from neuroevo.strategies import evosax_algorithms, evosax_options
from neuroevo.strategies.evosax_options import POPULATION_BASED, Options
from neuroevo.types import Array, Genome, Key, Strategy, StrategyState

_RELATIVE = {"RandomSearch", "DiffusionEvolution"}  # they search around the origin
_UNSORTED = {"MA_ES", "LM_MA_ES"}  # they weigh `z` as if the best came first
_MOST_FITNESS = 1e15  # in magnitude


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
            UserError: if the algorithm cannot work with `population` or an option.
                The strategy's ``init`` does so, when traced, if the genome is at odds
                with an option or too large for the algorithm.
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


class _Search:
    """The functions of a strategy. Holds constants only, so that they are pure."""

    def __init__(self, options: Options, population: int):
        self.options = options
        self.population = population
        self.relative = options.name in _RELATIVE
        self.population_based = options.name in POPULATION_BASED
        self.parts = getattr(options, "num_populations", None)
        # evosax's objects depend on the genome's size, known from the first trace on.
        self.evosax = functools.cache(
            functools.partial(
                evosax_algorithms.make, options, population // (self.parts or 1)
            )
        )

    def init(self, key: Key, genome: Genome) -> StrategyState:
        start = jax.tree.map(_strong, genome)
        flat = self._flatten(start)
        evosax_options.check_size(self.options, self.population, flat.size)
        algorithm, params = self.evosax(flat.size)
        origin = jnp.zeros_like(flat) if self.relative else flat
        key, noise_key = jax.random.split(key)
        rows = self.parts or self.population
        noise = jax.random.normal(noise_key, (rows, flat.size)).at[0].set(0.0)
        around = origin + self.options.std * noise  # the first is the origin itself
        if self.population_based:
            state = algorithm.init(key, around, jnp.zeros(rows), params)
        else:
            state = algorithm.init(key, around if self.parts else origin, params)
        if self.options.name.startswith("iAMaLGaM"):
            # evosax starts from the identity whatever the standard deviation.
            state = state.replace(C=state.C * state.std**2)
        told, leader = jnp.zeros((), bool), jnp.zeros((), jnp.int32)
        return State(jax.tree.map(_strong, state), start, told, leader)

    def ask(self, key: Key, state: State) -> tuple[Genome, State]:
        algorithm, params = self._evosax_of(state)
        old = state.evosax
        candidates, new = algorithm.ask(key, old, params)
        if self.population_based:  # `init` left the first population there
            candidates = jnp.where(state.told, candidates, old.population)
            new = _where(state.told, new, old)
        population = jax.vmap(functools.partial(self._unflatten, state))(candidates)
        return population, state._replace(evosax=_like(new, old))

    def tell(
        self, key: Key, population: Genome, fitness: Array, state: State
    ) -> StrategyState:
        algorithm, params = self._evosax_of(state)
        flat = jax.vmap(self._flatten)(population)
        decay = self.options.weight_decay
        if decay:  # relative to size, unlike evosax's, so that it suits any genome
            fitness = fitness - decay * jnp.mean(flat**2, axis=-1)
        fitness, informative = _finite(fitness)
        if self.relative:
            flat = flat - self._flatten(state.start)

        old = state.evosax
        leader = state.leader
        if self.options.name in _UNSORTED:
            order = jnp.argsort(-fitness)
            flat, fitness = flat[order], fitness[order]
            old = old.replace(z=old.z[order])
        if self.parts:
            flat = flat.reshape(self.parts, -1, flat.shape[-1])
            scores = jnp.mean(fitness.reshape(self.parts, -1), axis=-1)
            leader = jnp.argmax(scores).astype(jnp.int32)
        new, _ = algorithm.tell(key, flat, -fitness, old, params)  # evosax minimizes
        if self.population_based:
            first = algorithm.init(key, flat, -fitness, params)
            new = _where(state.told, new, first)
        new = State(_like(new, old), state.start, jnp.ones((), bool), leader)
        return _where(informative & ~_breaks(new, state), new, state)

    def center(self, state: State) -> Genome:
        inner = state.evosax
        if not self.population_based:
            mean = inner.mean[state.leader] if self.parts else inner.mean
            return self._unflatten(state, mean)
        if self.options.name == "PSO":  # its particles fly past what they have found
            members, fitness = inner.population_best, inner.fitness_best
        else:
            members, fitness = inner.population, inner.fitness
        best = self._unflatten(state, members[jnp.argmin(fitness)])
        return _where(state.told, best, state.start)

    def _evosax_of(self, state: State) -> tuple[Any, Any]:
        return self.evosax(sum(leaf.size for leaf in jax.tree.leaves(state.start)))

    def _flatten(self, genome: Genome) -> Array:
        leaves = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), genome)
        return ravel_pytree(leaves)[0]

    def _unflatten(self, state: State, flat: Array) -> Genome:
        start = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), state.start)
        origin, unravel = ravel_pytree(start)
        return _like(unravel(origin + flat if self.relative else flat), state.start)


def _finite(fitness: Array) -> tuple[Array, Array]:
    """Put non-finite values just below the finite ones; also tell if there are any.

    Finite ones are bounded, so that the sum of their squares is finite, too.
    """
    fitness = fitness.astype(jnp.float32)
    limits = jnp.finfo(fitness.dtype)
    finite = jnp.isfinite(fitness)
    fitness = jnp.clip(fitness, -_MOST_FITNESS, _MOST_FITNESS)
    worst = jnp.min(fitness, where=finite, initial=limits.max)
    # The next number below may be subnormal, which many devices take for zero.
    below = jnp.minimum(jnp.nextafter(worst, -jnp.inf), worst - limits.tiny)
    below = jnp.maximum(below, limits.min)
    return jnp.where(finite, fitness, below), jnp.any(finite)


def _breaks(new: Any, old: Any) -> Array:
    """Whether `new` has anything else in place of a finite number.

    A standard deviation that underflows ends so, and one that grows without bound.
    """
    broken = jax.tree.map(
        lambda x, y: jnp.any(~jnp.isfinite(x) & jnp.isfinite(y)), new, old
    )
    return jnp.any(jnp.stack(jax.tree.leaves(broken)))


def _strong(leaf: Any) -> Array:
    leaf = jnp.asarray(leaf)
    return jnp.asarray(leaf, leaf.dtype)


def _like(new: Any, old: Any) -> Any:
    """Return `new` with the dtypes of `old`, all strong."""
    return jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), new, old)


def _where(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(functools.partial(jnp.where, condition), new, old)
