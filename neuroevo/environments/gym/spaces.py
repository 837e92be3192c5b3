"""What observations of Gymnasium's spaces mean for a policy; it imports no JAX."""

from collections.abc import Callable
from typing import Any

import numpy as np


class Observer:
    """Turns observations of a space into arrays of one shape and type.

    A box keeps its shape, and uint8 its type. Other spaces are flattened in the way of
    ``gymnasium.spaces.flatten``: what is discrete becomes one-hot, and the parts of
    dicts and tuples are concatenated.
    """

    def __init__(self, space: Any) -> None:
        """Prepare for the observations of `space`.

        Raises:
            TypeError: if they have no fixed shape.
        """
        from gymnasium import spaces

        self._space = space
        self._is_box = isinstance(space, spaces.Box)
        if self._is_box:
            self._declared = tuple(space.shape)
            self.shape = self._declared or (1,)
            small = space.dtype == np.uint8
            self.dtype = np.dtype(np.uint8 if small else np.float32)
        else:
            flat = spaces.flatten_space(space)
            if not isinstance(flat, spaces.Box):
                raise TypeError(
                    f"its observation space is a {type(space).__name__}, whose "
                    "observations have no fixed size; expected Box, Discrete, "
                    "MultiDiscrete, MultiBinary, or a Dict or Tuple of these"
                )
            self.shape, self.dtype = tuple(flat.shape), np.dtype(np.float32)
        if 0 in self.shape:
            raise TypeError(f"its observations are empty: they have shape {self.shape}")
        self.features = None if self._is_box else _features(space, "")
        self._flatten: Callable[..., Any] = spaces.flatten

    def __call__(self, observation: Any) -> np.ndarray:
        """Return an observation as an array.

        Raises:
            TypeError: if it does not belong to the space.
        """
        if self._is_box:
            found, declared = np.asarray(observation), self._declared
        else:
            found = np.asarray(self._flatten(self._space, observation))
            declared = self.shape
        if found.shape != declared:
            raise TypeError(
                f"an observation has shape {found.shape}, but the observation space "
                f"has shape {declared}"
            )
        return found

    def batch(self, observations: Any) -> np.ndarray:
        """Return several observations (B, …) as arrays, those of a box at once."""
        if self._is_box:
            return np.asarray(observations).reshape(-1, *self.shape)
        return np.stack([self(each) for each in observations])


def _features(space: Any, name: str) -> list[str]:
    """Return a name for each number of a flattened observation."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        parts = [_features(part, _join(name, key)) for key, part in space.items()]
        return sum(parts, [])
    if isinstance(space, spaces.Tuple):
        parts = [_features(part, _join(name, i)) for i, part in enumerate(space)]
        return sum(parts, [])
    size = spaces.flatdim(space)
    name = name or "value"
    if isinstance(space, spaces.Discrete):
        return [f"{name}={int(space.start) + i}" for i in range(size)]
    return [name] if size == 1 else [f"{name}[{i}]" for i in range(size)]


def _join(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)
