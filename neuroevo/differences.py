"""Differences between candidates and a center that they share."""

from typing import Any, NamedTuple

import jax

# A pytree like a genome, or like parameters: of arrays to add, or `Factors`.
Difference = Any


class Factors(NamedTuple):
    """The difference ``left.T @ right`` to a matrix, given by its factors.

    The matrix has its outputs along the last axis; all others are flattened.
    """

    left: jax.Array  # (rank, inputs)
    right: jax.Array  # (rank, outputs)


def add(center: Any, difference: Difference) -> Any:
    """Return `center` plus a difference, with the matrices that its factors stand for.

    Example:
        >>> low_rank = Factors(jax.numpy.ones((1, 2)), jax.numpy.ones((1, 3)))
        >>> add({"w": jax.numpy.zeros((2, 3))}, {"w": low_rank})["w"].sum()
        Array(6., dtype=float32)
    """
    return jax.tree.map(_add, center, difference)


def _add(x: jax.Array, difference: jax.Array | Factors) -> jax.Array:
    if isinstance(difference, Factors):
        left, right = difference
        difference = (left.T @ right).reshape(x.shape)
    return x + difference.astype(x.dtype)


def is_factors(leaf: Any) -> bool:
    """Return whether a node of a pytree is `Factors`."""
    return isinstance(leaf, Factors)
