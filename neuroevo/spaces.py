"""What a policy sees and does, and how one spec fits into another.

One network can serve tasks of different shapes: observations are padded with zeros, and
outputs are cut. This is how "Behaviour Distillation" makes multi-task data sets (HaDES,
Lupu et al., ICLR 2024, arXiv 2406.15042); nothing else distinguishes the environments.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Shape = tuple[int, ...]
Array = TypeVar("Array", jax.Array, np.ndarray)


class Discrete(NamedTuple):
    """`n` actions, the integers ``0 … n - 1``.

    Example:
        >>> import neuroevo
        >>> neuroevo.Discrete(2).n
        2
    """

    n: int


class Box(NamedTuple):
    """Continuous actions of a `shape`, each in ``[-1, 1]``.

    An environment scales them to what it needs.

    Example:
        >>> import neuroevo
        >>> neuroevo.Box((3,)).shape
        (3,)
    """

    shape: tuple[int, ...]


class Spec(NamedTuple):
    """What a policy sees and what it must return.

    Example:
        >>> import neuroevo
        >>> neuroevo.Spec(observation=(4,), action=neuroevo.Box((2,)))
        Spec(observation=(4,), action=Box(shape=(2,)))
    """

    observation: tuple[int, ...]  # shape of one observation (float32)
    action: Discrete | Box


def common_shape(shapes: Sequence[Shape]) -> Shape:
    """Return the smallest shape that arrays of all `shapes` can be padded to.

    It is the maximum along each axis. Arrays of different ranks are flattened first.
    """
    if len(set(map(len, shapes))) > 1:
        shapes = [(math.prod(shape),) for shape in shapes]
    return tuple(map(max, zip(*shapes, strict=True)))


def common_spec(specs: Sequence[Spec]) -> Spec:
    """Return the smallest spec that all of `specs` fit into.

    The actions must be all `Discrete` or all `Box`.
    """
    observation = common_shape([spec.observation for spec in specs])
    counts = [spec.action.n for spec in specs if isinstance(spec.action, Discrete)]
    shapes = [spec.action.shape for spec in specs if isinstance(spec.action, Box)]
    action = Discrete(max(counts)) if counts else Box(common_shape(shapes))
    return Spec(observation, action)


def pad(x: Array, shape: Shape, value: float = 0.0) -> Array:
    """Return `x` with `value` appended along each axis, up to `shape`.

    If the rank of `x` differs from that of `shape`, `x` is flattened first. A numpy
    array stays a numpy array.
    """
    x = x.reshape(-1) if x.ndim != len(shape) else x
    if x.shape == shape:
        return x
    widths = [(0, wide - own) for own, wide in zip(x.shape, shape, strict=True)]
    return (jnp if isinstance(x, jax.Array) else np).pad(
        x, widths, constant_values=value
    )


def cut(x: Array, shape: Shape) -> Array:
    """Undo `pad`: return the array of `shape` from which it made `x`."""
    if x.ndim != len(shape):
        return x[: math.prod(shape)].reshape(shape)
    return x[tuple(map(slice, shape))]


def outputs(spec: Spec) -> Shape:
    """Return the shape of a network's output for the actions: logits, or means."""
    action = spec.action
    return (action.n,) if isinstance(action, Discrete) else action.shape


def in_words(spec: Spec) -> str:
    """Return a spec in words.

    Example:
        >>> in_words(Spec((4,), Discrete(2)))
        'observations of shape (4,) and 2 discrete actions'
    """
    action = spec.action
    actions = (
        f"{action.n} discrete actions"
        if isinstance(action, Discrete)
        else f"continuous actions of shape {action.shape}"
    )
    return f"observations of shape {spec.observation} and {actions}"
