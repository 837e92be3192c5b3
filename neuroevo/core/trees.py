"""Pytrees of arrays: selecting, checking and mapping them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

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


def strong(tree: Any) -> Any:
    """Drop weak types (of Python scalars), for which a loop would be traced again."""
    return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), tree)


def map_batches(function: Callable[[Array], Any], items: Array, batch: int) -> Any:
    """Return ``vmap(function)(items)``, computed `batch` items at a time.

    With a `batch` of one it is a plain loop: batching small matrix products into larger
    ones can be slower than computing them one after the other.
    """
    if batch >= len(items):
        return jax.vmap(function)(items)
    return jax.lax.map(function, items, batch_size=None if batch == 1 else batch)
