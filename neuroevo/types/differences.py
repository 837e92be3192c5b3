"""Differences between candidates and a center that they share."""

from typing import Any, NamedTuple

from neuroevo.types.arrays import Array

# A pytree like a genome, or like parameters: of arrays to add, or `Factors`.
Difference = Any


class Factors(NamedTuple):
    """The difference ``left.T @ right`` to a matrix, given by its factors.

    The matrix has its outputs along the last axis; all others are flattened.
    """

    left: Array  # (rank, inputs)
    right: Array  # (rank, outputs)
