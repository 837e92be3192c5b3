"""What a policy sees and does, and how one spec fits into another.

One network serves tasks of different shapes: observations are padded, outputs cut.

As "Behaviour Distillation" makes multi-task data sets (HaDES, Lupu et al., ICLR 2024,
arXiv 2406.15042): what a task lacks is zero, and nothing else tells the tasks apart.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Shape = tuple[int, ...]
Array = jax.Array | np.ndarray


class Discrete(NamedTuple):
    """`n` actions, the integers ``0 … n - 1``."""

    n: int


class Box(NamedTuple):
    """Continuous actions of a `shape`, each in ``[-1, 1]``; tasks rescale them."""

    shape: tuple[int, ...]


class Spec(NamedTuple):
    """What a policy sees and what it must return."""

    observation: tuple[int, ...]  # shape of one observation (float32)
    action: Discrete | Box


def common_shape(shapes: Sequence[Shape]) -> Shape:
    """Return the smallest shape that arrays of all `shapes` can be padded to.

    It is the largest along each axis; for shapes of different rank, of the flat arrays.
    """
    if len(set(map(len, shapes))) > 1:
        shapes = [(math.prod(shape),) for shape in shapes]
    return tuple(map(max, zip(*shapes, strict=True)))


def common_spec(specs: Sequence[Spec]) -> Spec:
    """Return the smallest spec that all of `specs` fit into.

    The actions are all discrete, and then as many as the most of them, or all `Box`.
    """
    actions = [spec.action for spec in specs]
    if isinstance(actions[0], Discrete):
        action = Discrete(max(action.n for action in actions))
    else:
        action = Box(common_shape([action.shape for action in actions]))
    return Spec(common_shape([spec.observation for spec in specs]), action)


def pad(x: Array, shape: Shape, value: float = 0.0) -> Array:
    """Return `x` with `value` appended along each axis, up to `shape`.

    An `x` of another rank than `shape` is flattened first. numpy arrays remain so.
    """
    x = x.reshape(-1) if x.ndim != len(shape) else x
    if x.shape == shape:
        return x
    widths = [(0, wide - own) for own, wide in zip(x.shape, shape, strict=True)]
    return (jnp if isinstance(x, jax.Array) else np).pad(
        x, widths, constant_values=value
    )


def cut(x: Array, shape: Shape) -> Array:
    """Return the array of `shape` that `pad` made `x` from."""
    if x.ndim != len(shape):
        return x[: math.prod(shape)].reshape(shape)
    return x[tuple(map(slice, shape))]


def outputs(spec: Spec) -> Shape:
    """Return the shape of what a network has to say of the actions."""
    action = spec.action
    return (action.n,) if isinstance(action, Discrete) else action.shape


def describe(spec: Spec) -> str:
    """Return a spec in words."""
    action = spec.action
    actions = (
        f"{action.n} discrete actions"
        if isinstance(action, Discrete)
        else f"continuous actions of shape {action.shape}"
    )
    return f"observations of shape {spec.observation} and {actions}"
