"""Ensembles: policies that act on the average output of several networks."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from neuroevo.types import Key, Memory, Observation, Params, Policy


def ensemble(member: Policy, size: int) -> Policy:
    """Return the policy whose output is the mean over `size` networks of `member`.

    Logits, or means and log standard deviations, are averaged. The parameters are those
    of the members, stacked along a first axis; so are their memories, if they have one.
    A decoder that learns trains every member by itself, from initial parameters of its
    own. This is the policy ensemble of Lei, Hu, Chang, Chen and Zhang, "Offline
    Behavior Distillation", NeurIPS 2024, arXiv 2410.22728.
    """

    def init(key: Key) -> Params:
        return jax.lax.map(member.init, jax.random.split(key, size))

    def apply(params: Params, observation: Observation, *memory: Memory) -> Any:
        axes = (0, None, 0) if memory else (0, None)
        outputs = jax.vmap(member.apply, axes)(params, observation, *memory)
        outputs, *after = outputs if memory else (outputs,)
        mean = jax.tree.map(functools.partial(jnp.mean, axis=0), outputs)
        return (mean, *after) if memory else mean

    remembers = member.init_memory and jax.vmap(member.init_memory)
    return Policy(init, apply, member.act, member.losses, member, remembers)
