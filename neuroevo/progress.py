"""Policies at play: how far they have come, and how far they may go in one call."""

import enum
from typing import Any, NamedTuple

import jax
import numpy as np


class Role(enum.IntEnum):
    """What policies are evaluated for.

    It makes no difference to an environment, except that the episodes of a search may
    be shorter (`tasks.growth`). With labeled data, each role has a split of its own:
    for training, for validation and for the final test.
    """

    SEARCH = 0  # the candidates of a generation, for the strategy
    CENTER = 1  # the strategy's center, during a run
    FINAL = 2  # the result


class Group(NamedTuple):
    """B groups of policies; the policies of a group share their keys."""

    params: Any  # pytree of (B, width, …): `types.Params`
    keys: jax.Array  # (B, E) one for each episode
    valid: jax.Array  # (B, width) bool: others have no return
    role: jax.Array | int = Role.SEARCH  # (B,) int32, or one for all


class Progress(NamedTuple):
    """How far many groups of policies have played; a later call goes on from there."""

    entered: jax.Array  # int32: groups that have begun, from the first
    ended: jax.Array  # int32: groups whose outcome is known
    slots: Any  # pytree of (S, …): the groups in play
    outcomes: Any  # `types.Outcome` (size, width, …): zero where not known


class Allowance(NamedTuple):
    """What a call of `Play` may spend; traced, so that no value compiles again."""

    seconds: jax.Array | np.float32
    step: jax.Array | np.float32  # estimated seconds of a step, of all slots together
    entry: jax.Array | np.float32  # estimated seconds of letting groups enter


UNLIMITED = Allowance(np.float32(np.inf), np.float32(0), np.float32(0))


class Spent(NamedTuple):
    """What a call of `Play` has done."""

    steps: jax.Array  # int32
    entries: jax.Array  # int32
