"""Pytrees of arrays: selecting, checking and mapping them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.types import Array


def take(tree: Any, index: Array | int) -> Any:
    """Return each leaf at `index` of its leading axis."""
    return jax.tree.map(lambda x: x[index], tree)


def where(condition: Array, new: Any, old: Any) -> Any:
    """Return the leaves of `new` where `condition` holds, and those of `old` elsewhere.

    The condition broadcasts against every leaf.
    """
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), new, old)


def zeros(size: int, like: Any) -> Any:
    """Return zeros like every leaf of `like`, with a leading axis of `size` instead."""
    return jax.tree.map(lambda x: jnp.zeros((size, *x.shape[1:]), x.dtype), like)


def is_finite(tree: Any) -> Array:
    """Return whether all numbers in a pytree are finite, as a boolean scalar."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    # NaN propagates through the maximum, which compiles in half the time.
    largest = [jnp.max(jnp.abs(x), initial=0) for x in leaves]
    return jnp.isfinite(jnp.array(largest)).all()


def is_key(leaf: Any) -> bool:
    """Return whether an array, or its abstract value, holds typed PRNG keys."""
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def unwrap_keys(tree: Any) -> Any:
    """Return `tree` with its keys as integers, as files and collectives need them.

    Example:
        >>> unwrap_keys({"key": jax.random.key(3), "x": 1.5 * jnp.ones(())})
        {'key': Array([0, 3], dtype=uint32), 'x': Array(1.5, dtype=float32)}
    """
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)


def wrap_keys(tree: Any, like: Any) -> Any:
    """Undo `unwrap_keys` for a tree that was like `like`, which may be abstract."""

    def wrap(leaf: Any, like: Any) -> Any:
        if not is_key(like):
            return leaf
        impl = jax.random.key_impl(jnp.empty((), like.dtype))
        return jax.random.wrap_key_data(leaf, impl=impl)

    return jax.tree.map(wrap, tree, like)


def strong(tree: Any) -> Any:
    """Drop weak types (of Python scalars), for which a loop would be traced again."""
    arrays = jax.tree.map(jnp.asarray, tree)
    return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), arrays)


_ROWS = 4096  # rows that are computed at a time


def map_rows(
    function: Callable[..., Array], rows: np.ndarray, *given: Any
) -> np.ndarray:
    """Return ``function(*given, row)`` for every row of an array on the host.

    One compiled program serves any number of rows.
    """
    mapped = _over_last(function, len(given))
    short = -len(rows) % _ROWS
    padded = np.concatenate([rows, np.repeat(rows[:1], short, axis=0)])
    parts = padded.reshape(-1, _ROWS, *rows.shape[1:])
    return np.concatenate([np.asarray(mapped(*given, x)) for x in parts])[: len(rows)]


@functools.lru_cache(maxsize=8)
def _over_last(function: Callable[..., Array], given: int) -> Callable[..., Array]:
    return jax.jit(jax.vmap(function, (*[None] * given, 0)))


def map_batches(function: Callable[[Array], Any], items: Array, batch: int) -> Any:
    """Return ``vmap(function)(items)``, computed `batch` items at a time.

    With a `batch` of one, or for one item, `function` is called without `vmap`: a batch
    of small matrix products can be slower than the products one after the other, and
    that holds for a batch of one, too.
    """
    if len(items) == 1:
        return jax.tree.map(lambda x: x[None], function(items[0]))
    if batch >= len(items):
        return jax.vmap(function)(items)
    return jax.lax.map(function, items, batch_size=None if batch == 1 else batch)
