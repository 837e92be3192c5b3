"""How policies act: with their memory, and only what is legal."""

from typing import Any

import jax.numpy as jnp

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


def only_legal(output: Output, legal: Array | None) -> Output:
    """Return an output whose logits leave no chance to illegal actions.

    Args:
        output: logits (n,), or anything if `legal` is None.
        legal: (n,) bool; None if all actions are legal.
    """
    if legal is None:
        return output
    # A legal action has more than no chance, whatever the network says.
    least = jnp.finfo(output.dtype).min
    return jnp.where(some(legal), jnp.maximum(output, least), -jnp.inf)


def some(legal: Array) -> Array:
    """Return `legal`, or that all actions are legal if it says that none is."""
    return legal | ~legal.any()


def enforce(action: Action, legal: Array | None) -> Action:
    """Return `action`, or the first legal one instead of one that is illegal.

    Policies that choose by their logits never need it; others may not know `legal`.
    """
    if legal is None:
        return action
    legal = some(legal)
    return jnp.where(legal[action], action, jnp.argmax(legal).astype(action.dtype))


def reactive(act: Any) -> Actor:
    """Return how a function ``act(params, observation, key)`` acts, without memory."""

    def without_memory(
        params: Params, memory: Memory, observation: Observation, legal: Any, key: Key
    ) -> tuple[Action, Memory]:
        del legal  # see `enforce`
        return act(params, observation, key), memory

    return Actor(without_memory)
