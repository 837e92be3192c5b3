"""Makes what an environment takes of a policy's actions.

Numbers in [-1, 1] are scaled to the bounds of the environment, and one array becomes
the parts of actions that have several.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, MultiDiscrete, best, choices, split
from neuroevo.types import Action

UNBOUNDED = 1e30  # in size: beyond it numbers stand for "anything" (3.4e38, say)
_FAR = 99.0  # how far an action with one bound can get away from it


class Taker(NamedTuple):
    """Actions of policies, and what becomes of them."""

    space: Discrete | MultiDiscrete | Box
    convert: Callable[[Action], Any]


def join(takers: Sequence[Taker]) -> Taker:
    """Return the actions whose parts go to several `takers`; they become a list.

    Discrete actions alone become a `MultiDiscrete`, and boxes alone a `Box`. If there
    are both, they become a `Box` in which each discrete choice has as many numbers as
    values: the largest number decides.

    Example:
        >>> gear = Taker(Discrete(3), lambda action: action)
        >>> pedal = Taker(Box((2,)), scale_to(0.0, 1.0, (2,), float, "car"))
        >>> both = join([gear, pedal])
        >>> both.space
        Box(shape=(5,))
        >>> drive = both.convert(jnp.array([-1.0, 0.5, 0.2, 1.0, -1.0]))
        >>> [part.tolist() for part in drive]
        [1, [1.0, 0.0]]
    """
    spaces = [taker.space for taker in takers]
    sizes = [
        math.prod(space.shape) if isinstance(space, Box) else sum(choices(space))
        for space in spaces
    ]
    if any(isinstance(space, Box) for space in spaces):

        def convert(action: Action) -> list[Any]:
            parts = zip(takers, split(action, sizes), strict=True)
            return [taker.convert(_read(taker.space, part)) for taker, part in parts]

        return Taker(Box((sum(sizes),)), convert)
    counts = [choices(space) for space in spaces]

    def convert_choices(action: Action) -> list[Any]:
        parts = split(action, [len(each) for each in counts])
        return [
            taker.convert(part[..., 0] if isinstance(taker.space, Discrete) else part)
            for taker, part in zip(takers, parts, strict=True)
        ]

    return Taker(MultiDiscrete(sum(counts, ())), convert_choices)


def _read(space: Discrete | MultiDiscrete | Box, part: Action) -> Action:
    """Return the action that the numbers (…, n) of a box stand for."""
    if isinstance(space, Box):
        return part.reshape(*part.shape[:-1], *space.shape)
    return best(part, space)


def scale_to(
    low: Any, high: Any, shape: tuple[int, ...], dtype: Any, name: str
) -> Callable[[Action], Action]:
    """Return a function that scales actions in [-1, 1] to the range between two bounds.

    For a box of floats, the function is affine. For a box of integers, each integer
    from `low` to `high`, inclusive, has an equal share of [-1, 1]. A float with one
    bound alone is at most 99 away from it, and 1 where the action is 0: the distance is
    (1 + a) / (1 - a) for an action a and a lower bound.

    Args:
        low: lower bounds, of `shape` or one for all.
        high: upper bounds, of `shape` or one for all.
        shape: shape of an action.
        dtype: type of the box.
        name: name of the environment, for messages.

    Raises:
        UserError: if a number has no bound, an integer not both, or a bound is NaN, or
            if the lower one exceeds the upper.
    """
    low, high = (
        np.broadcast_to(np.asarray(bound, np.float64), shape) for bound in (low, high)
    )
    half_bounded = (np.abs(low) <= UNBOUNDED) ^ (np.abs(high) <= UNBOUNDED)
    half_bounded &= ~(np.isnan(low) | np.isnan(high))
    half_bounded &= not np.issubdtype(np.dtype(dtype), np.integer)
    for side, bound in (("low", low), ("high", high)):
        for index in np.argwhere(~(np.abs(bound) <= UNBOUNDED) & ~half_bounded):
            found = bound[tuple(index)]
            problem = "not a number" if np.isnan(found) else f"{found:g}, unbounded"
            raise UserError(
                f"environment {name}: the {side} bound of action {_show(index)}is "
                f"{problem}; expected a finite bound of magnitude at most "
                f"{UNBOUNDED:g}, to which actions in [-1, 1] can be scaled"
            )
    for index in np.argwhere(low > high):
        at = tuple(index)
        raise UserError(
            f"environment {name}: the bounds of action {_show(index)}are {low[at]:g} "
            f"and {high[at]:g}; expected the lower one first"
        )
    if np.issubdtype(np.dtype(dtype), np.integer):
        values = high - low + 1

        def to_integers(action: Action) -> Action:
            share = jnp.floor((action + 1) / 2 * values.astype(np.float32))
            share = jnp.clip(share, 0, values.astype(np.float32) - 1)
            return (share + low.astype(np.float32)).astype(dtype)

        return to_integers
    if half_bounded.any():
        return _scale_to_one(low, high, half_bounded)
    bottom, half = low.astype(np.float32), ((high - low) / 2).astype(np.float32)
    return lambda action: bottom + (action + 1) * half


def _scale_to_one(
    low: np.ndarray, high: np.ndarray, half_bounded: np.ndarray
) -> Callable[[Action], Action]:
    """Return `scale_to` for numbers of which some have one bound alone."""
    up = half_bounded & (np.abs(low) <= UNBOUNDED)
    bound = np.where(up, low, high).astype(np.float32)
    bottom, top = (np.where(half_bounded, 0, x).astype(np.float32) for x in (low, high))
    most = (_FAR - 1) / (_FAR + 1)  # the action that is this far away

    def scale(action: Action) -> Action:
        away = jnp.minimum(jnp.where(up, action, -action), most)
        far = (1 + away) / (1 - away)
        one = jnp.where(up, bound + far, bound - far)
        return jnp.where(half_bounded, one, bottom + (action + 1) * (top - bottom) / 2)

    return scale


def _show(index: np.ndarray) -> str:
    return f"{', '.join(map(str, index))} " if len(index) else ""
