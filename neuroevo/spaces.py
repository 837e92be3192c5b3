"""What a policy sees and does, and how one spec fits into another.

One network can serve tasks of different shapes: observations are padded with zeros, and
outputs are cut. This is how "Behaviour Distillation" makes multi-task data sets (HaDES,
Lupu et al., ICLR 2024, arXiv 2406.15042); nothing else distinguishes the environments.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.errors import UserError

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


class MultiDiscrete(NamedTuple):
    """Several discrete choices at once: the i-th is one of ``0 … counts[i] - 1``.

    Networks return the logits of all choices, one after the other.

    Example:
        >>> import neuroevo
        >>> neuroevo.MultiDiscrete((2, 3)).counts
        (2, 3)
    """

    counts: tuple[int, ...]


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
    action: Discrete | MultiDiscrete | Box


def choices(action: Discrete | MultiDiscrete | Box) -> tuple[int, ...]:
    """Return the number of values of each discrete choice; () for a `Box`.

    Example:
        >>> choices(Discrete(3)), choices(MultiDiscrete((2, 3))), choices(Box((4,)))
        ((3,), (2, 3), ())
    """
    match action:
        case Discrete(n):
            return (n,)
        case MultiDiscrete(counts):
            return counts
    return ()


def split(x: Array, counts: Sequence[int]) -> list[Array]:
    """Return the part of each choice in `x`, (…, sum of counts): (…, count) each."""
    if len(counts) <= 1:  # none if the space is unknown
        return [x]
    ends = list(itertools.accumulate(counts))
    return [x[..., end - n : end] for n, end in zip(counts, ends, strict=True)]


def by_choice(function: Callable, x: Any, counts: Sequence[int]) -> Any:
    """Return what `function` makes of each choice's part of `x`, side by side.

    Example:
        >>> halves = jnp.array([1.0, 1.0, 0.0, 0.0, 0.0])
        >>> by_choice(lambda part: part == part.max(), halves, (2, 3)).tolist()
        [True, True, True, True, True]
    """
    parts = [function(part) for part in split(x, counts)]
    numpy = jnp if isinstance(parts[0], jax.Array) else np
    return parts[0] if len(parts) == 1 else numpy.concatenate(parts, axis=-1)


def best(x: Any, action: Discrete | MultiDiscrete) -> Any:
    """Return the value with the largest number in `x`, (…, n): an action (…).

    For several choices, there is one for each, along a last axis.
    """
    found = [part.argmax(-1) for part in split(x, choices(action))]
    if isinstance(action, Discrete):
        return found[0]
    return (jnp if isinstance(x, jax.Array) else np).stack(found, axis=-1)


def one_hot(values: Any, action: Discrete | MultiDiscrete) -> Any:
    """Return actions (…) or (…, choices) as ones among zeros, (…, n), side by side."""
    counts = choices(action)
    if isinstance(action, Discrete):
        values = values[..., None]
    numpy = jnp if isinstance(values, jax.Array) else np
    parts = [values[..., i, None] == np.arange(n) for i, n in enumerate(counts)]
    return numpy.concatenate(parts, axis=-1).astype(np.float32)


def data_shape(arrays: Mapping[str, Any], action: Any = None) -> Shape:
    """Return the first axes of the arrays of a data set.

    Args:
        arrays: `states`, and targets by the names in `TARGETS`; arrays of numpy or JAX.
        action: the action space. If it is unknown, it is taken for one choice or a
            vector.

    Returns:
        ``(D,)`` for D pairs, ``(D, L)`` for D sequences of L pairs.

    Example:
        >>> states, labels = np.zeros((2, 8, 4)), np.zeros((2, 8), int)
        >>> data_shape({"states": states, "labels": labels})
        (2, 8)
        >>> data_shape({"states": states, "labels": labels[:, 0]})
        (2,)
    """
    own = {
        "labels": int(isinstance(action, MultiDiscrete)),
        "action_logits": 1,
        "actions": len(action.shape) if isinstance(action, Box) else 1,
    }
    lead = arrays["states"].shape[:2]
    sequences = any(
        arrays[name].ndim == 2 + axes and arrays[name].shape[:2] == lead
        for name, axes in own.items()
        if name in arrays
    )
    return lead if sequences else lead[:1]


TARGETS = ("labels", "action_logits", "actions")


def common_shape(shapes: Sequence[Shape]) -> Shape:
    """Return the smallest shape that arrays of all `shapes` can be padded to.

    It is the maximum along each axis. Arrays of different ranks are flattened first.
    """
    if len(set(map(len, shapes))) > 1:
        shapes = [(math.prod(shape),) for shape in shapes]
    return tuple(map(max, zip(*shapes, strict=True)))


def common_spec(specs: Sequence[Spec]) -> Spec:
    """Return the smallest spec that all of `specs` fit into.

    The actions must be all `Discrete`, all `Box`, or the same `MultiDiscrete`.

    Raises:
        UserError: for `MultiDiscrete` actions that differ.
    """
    observation = common_shape([spec.observation for spec in specs])
    counts = [spec.action.n for spec in specs if isinstance(spec.action, Discrete)]
    shapes = [spec.action.shape for spec in specs if isinstance(spec.action, Box)]
    several = [s.action for s in specs if isinstance(s.action, MultiDiscrete)]
    if several:
        if len(set(several)) > 1:
            found = ", ".join(str(each.counts) for each in several)
            raise UserError(f"expected the same choices in each task, got {found}")
        return Spec(observation, several[0])
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
    return action.shape if isinstance(action, Box) else (sum(choices(action)),)


def in_words(spec: Spec) -> str:
    """Return a spec in words.

    Example:
        >>> in_words(Spec((4,), Discrete(2)))
        'observations of shape (4,) and 2 discrete actions'
    """
    match spec.action:
        case Discrete(n):
            actions = f"{n} discrete actions"
        case MultiDiscrete(counts):
            actions = f"discrete actions of {' x '.join(map(str, counts))} values"
        case Box(shape):
            actions = f"continuous actions of shape {shape}"
    return f"observations of shape {spec.observation} and {actions}"
