"""The waves of a discrete cosine transform."""

import math

import numpy as np


def lowest(size: int, count: int) -> np.ndarray:
    """Return the waves with the lowest frequencies, (size, count).

    They are orthogonal to each other, and the mean of their squares is 1.

    Example:
        >>> lowest(4, 2).astype(float).round(2).tolist()
        [[1.0, 1.31], [1.0, 0.54], [1.0, -0.54], [1.0, -1.31]]
    """
    at = (np.arange(size) + 0.5) / size
    found = np.cos(np.pi * at[:, None] * np.arange(count))
    return (found * np.where(np.arange(count), math.sqrt(2), 1)).astype(np.float32)
