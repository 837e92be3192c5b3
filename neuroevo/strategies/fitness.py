"""What strategies make of the fitness of candidates."""

import jax
import jax.numpy as jnp

from neuroevo.types import Array, Key

_MOST_FITNESS = 1e15  # in magnitude
_SUBNORMAL = 2**23 - 1  # float32: the number of positive subnormal values


def bounded(fitness: Array) -> Array:
    """Return the fitness with non-finite values just below the finite ones.

    Finite ones are bounded, so that the sum of their squares is finite, too.
    """
    fitness = fitness.astype(jnp.float32)
    finite = jnp.isfinite(fitness)
    fitness = jnp.clip(fitness, -_MOST_FITNESS, _MOST_FITNESS)
    worst = jnp.min(fitness, where=finite, initial=_MOST_FITNESS)
    return jnp.where(finite, fitness, _from_level(_level(worst) - 1))


def break_ties(key: Key, fitness: Array) -> Array:
    """Put equal values in random order, by the smallest possible steps.

    Different values keep their order.
    """
    levels = _level(fitness)
    order = jnp.lexsort((jax.random.bits(key, fitness.shape), levels))
    places = jnp.arange(fitness.size, dtype=jnp.int32)
    levels = jax.lax.cummax(levels[order] - places) + places
    return jnp.zeros_like(fitness).at[order].set(_from_level(levels))


def _level(x: Array) -> Array:
    """Return the rank of a float32 among all float32 numbers, int32, with 0 for zero.

    Subnormal numbers are left out, because many devices treat them as zero.
    """
    bits = jax.lax.bitcast_convert_type(jnp.abs(x), jnp.int32)
    return jnp.where(x < 0, -1, 1) * jnp.maximum(bits - _SUBNORMAL, 0)


def _from_level(level: Array) -> Array:
    """Return the float32 of a rank; the inverse of `_level`."""
    size = jnp.abs(level)
    bits = jnp.where(size > 0, size + _SUBNORMAL, 0).astype(jnp.int32)
    x = jax.lax.bitcast_convert_type(bits, jnp.float32)
    return jnp.where(level < 0, -x, x)


def centered_ranks(fitness: Array) -> Array:
    """Return the ranks, from -1/2 for the worst to 1/2 for the best; ties share theirs.

    Example:
        >>> centered_ranks(jnp.array([5.0, -1.0, 5.0, 100.0]))
        Array([ 0. , -0.5,  0. ,  0.5], dtype=float32)
    """
    ordered = jnp.sort(fitness)
    first, end = (jnp.searchsorted(ordered, fitness, s) for s in ("left", "right"))
    return ((first + end - 1) / 2 / (fitness.size - 1) - 0.5).astype(jnp.float32)
