"""How far policies have played, and how much further they may play in one call."""

from typing import Any, NamedTuple

import jax
import numpy as np


class Progress(NamedTuple):
    """How far many groups of policies have played; a later call goes on from there."""

    entered: jax.Array  # int32: groups that have begun, from the first
    ended: jax.Array  # int32: groups whose outcome is known
    slots: Any  # pytree of (S, …): the groups in play
    outcomes: (
        Any  # `types.Outcome` (size, width, …): zero for groups that have not ended
    )


class Allowance(NamedTuple):
    """What a call of `Play` may spend; traced, so that no value compiles again."""

    seconds: jax.Array | np.float32
    step: jax.Array | np.float32  # estimated seconds of a step, of all slots together
    entry: (
        jax.Array | np.float32
    )  # estimated seconds until the next groups have entered


UNLIMITED = Allowance(np.float32(np.inf), np.float32(0), np.float32(0))


class Spent(NamedTuple):
    """What a call of `Play` has done."""

    steps: jax.Array  # int32
    entries: jax.Array  # int32
