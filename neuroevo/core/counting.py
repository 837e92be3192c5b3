"""Counts of environment steps, which an int32 cannot hold for a large population."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from neuroevo.types import Array

_BASE = 1024


class Count(NamedTuple):
    """The number ``1024 * high + low``, exact up to 2^41."""

    high: Any  # int32
    low: Any  # int32, less than 1024


def total(lengths: Array) -> Count:
    """Return the sum of lengths (P, ...); that of each of the P fits an int32.

    Example:
        >>> int(to_int(total(jnp.full((4, 1), 2**30))))
        4294967296
    """
    each = lengths.reshape(len(lengths), -1).sum(axis=1)
    return _carried((each // _BASE).sum(), (each % _BASE).sum())


def add(one: Count, other: Count) -> Count:
    """Return the sum of two counts."""
    return _carried(one.high + other.high, one.low + other.low)


def capped(count: Count, most: int) -> Array:
    """Return a count as an int32, at most `most`."""
    fits = count.high < most // _BASE
    return jnp.where(fits, count.high * _BASE + count.low, jnp.int32(most))


def to_int(count: Count) -> np.ndarray:
    """Return counts that have been computed as int64."""
    return np.asarray(count.high, np.int64) * _BASE + np.asarray(count.low)


def _carried(high: Array, low: Array) -> Count:
    return Count(high + low // _BASE, low % _BASE)
