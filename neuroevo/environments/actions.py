"""Scales the actions of policies, in [-1, 1], to the bounds of an environment."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from neuroevo.errors import UserError
from neuroevo.types import Action

UNBOUNDED = 1e30  # in size: beyond it numbers stand for "anything" (3.4e38, say)


def scale_to(
    low: Any, high: Any, shape: tuple[int, ...], dtype: Any, name: str
) -> Callable[[Action], Action]:
    """Return a function that scales actions in [-1, 1] to the range between two bounds.

    For a box of floats, the function is affine. For a box of integers, each integer
    from `low` to `high`, inclusive, has an equal share of [-1, 1].

    Args:
        low: lower bounds, of `shape` or one for all.
        high: upper bounds, of `shape` or one for all.
        shape: shape of an action.
        dtype: type of the box.
        name: name of the environment, for messages.

    Raises:
        UserError: if a bound is infinite or NaN, or if the lower one exceeds the upper.
    """
    low, high = (
        np.broadcast_to(np.asarray(bound, np.float64), shape) for bound in (low, high)
    )
    for side, bound in (("low", low), ("high", high)):
        for index in np.argwhere(~(np.abs(bound) <= UNBOUNDED)):
            found = bound[tuple(index)]
            problem = "not a number" if np.isnan(found) else f"{found:g}, unbounded"
            raise UserError(
                f"environment {name}: the {side} bound of action {_show(index)}is "
                f"{problem}; expected finite bounds of magnitude at most "
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
    bottom, half = low.astype(np.float32), ((high - low) / 2).astype(np.float32)
    return lambda action: bottom + (action + 1) * half


def _show(index: np.ndarray) -> str:
    return f"{', '.join(map(str, index))} " if len(index) else ""
