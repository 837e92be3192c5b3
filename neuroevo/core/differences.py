"""Candidates as differences to a center."""

from typing import Any

import jax

from neuroevo.types import Array, Difference, Factors


def add(center: Any, difference: Difference) -> Any:
    """Return `center` plus a difference, with the matrices that its factors stand for.

    Example:
        >>> low_rank = Factors(jax.numpy.ones((1, 2)), jax.numpy.ones((1, 3)))
        >>> add({"w": jax.numpy.zeros((2, 3))}, {"w": low_rank})["w"].sum()
        Array(6., dtype=float32)
    """
    return jax.tree.map(_add, center, difference)


def _add(x: Array, difference: Array | Factors) -> Array:
    if isinstance(difference, Factors):
        left, right = difference
        difference = (left.T @ right).reshape(x.shape)
    return x + difference.astype(x.dtype)


def is_factors(leaf: Any) -> bool:
    """Return whether a node of a pytree is `Factors`."""
    return isinstance(leaf, Factors)
