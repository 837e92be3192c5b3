"""How policies act: with their memory, and only what is legal."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from neuroevo.differences import Difference
from neuroevo.spaces import by_choice, split
from neuroevo.types import (
    Action,
    Actor,
    Array,
    Key,
    Memory,
    Observation,
    Output,
    Params,
    Policy,
)


def act_with(policy: Policy) -> Actor:
    """Return how `policy` acts, given its parameters."""
    apply, init_memory = policy.apply, policy.init_memory

    def act(
        params: Params, memory: Memory, observation: Observation, legal: Any, key: Key
    ) -> tuple[Action, Memory]:
        if init_memory is None:
            output = apply(params, observation)
        else:
            output, memory = apply(params, observation, memory)
        return policy.act(only_legal(output, legal), key), memory

    return Actor(act) if init_memory is None else Actor(act, init_memory)


def near(policy: Policy, shared: Params) -> Policy:
    """Return `policy` with differences to the parameters `shared` in place of its own.

    It must have a function `apply_near`.
    """
    assert policy.apply_near is not None
    apply, init_memory = policy.apply_near, policy.init_memory

    def init_memory_of(difference: Difference) -> Memory:
        return init_memory and init_memory(shared)

    return policy._replace(
        apply=functools.partial(apply, shared),
        init_memory=init_memory and init_memory_of,
    )


def only_legal(output: Output, legal: Array | None) -> Output:
    """Return an output whose logits leave no chance to illegal actions.

    Args:
        output: logits (n,), or anything if `legal` is None.
        legal: (n,) bool, not all of them false; None if all actions are legal.
    """
    if legal is None:
        return output
    # A legal action has more than no chance, whatever the network says.
    least = jnp.finfo(output.dtype).min
    return jnp.where(legal, jnp.maximum(output, least), -jnp.inf)


def some(legal: Array, counts: Sequence[int]) -> Array:
    """Return `legal`, or that all are legal where it says that none is.

    Args:
        legal: (…, n) bool, for several choices side by side.
        counts: the number of values of each choice.
    """
    return by_choice(lambda part: part | ~part.any(-1, keepdims=True), legal, counts)


def enforce(action: Action, legal: Array, counts: Sequence[int]) -> Action:
    """Return `action`, with the first legal value instead of each that is illegal.

    Policies that choose by their logits never need it; others may not know `legal`.

    Args:
        action: () or (choices,) integers.
        legal: (n,) bool, as `some` returns it.
        counts: the number of values of each choice.
    """
    values = jnp.atleast_1d(action)
    allowed = [
        jnp.where(part[value], value, jnp.argmax(part).astype(action.dtype))
        for value, part in zip(values, split(legal, counts), strict=True)
    ]
    return jnp.stack(allowed).reshape(action.shape)


def reactive(act: Any) -> Actor:
    """Return how a function ``act(params, observation, key)`` acts, without memory."""

    def without_memory(
        params: Params, memory: Memory, observation: Observation, legal: Any, key: Key
    ) -> tuple[Action, Memory]:
        del legal  # see `enforce`
        return act(params, observation, key), memory

    return Actor(without_memory)
