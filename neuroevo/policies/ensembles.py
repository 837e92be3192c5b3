"""Ensembles: policies that act on the average output of several networks."""

import functools

import jax
import jax.numpy as jnp

from neuroevo.types import Key, Observation, Output, Params, Policy


def ensemble(member: Policy, size: int) -> Policy:
    """Return the policy whose output is the mean over `size` networks of `member`.

    Logits, or means and log standard deviations, are averaged. The parameters are those
    of the members, stacked along a first axis. A decoder that learns trains every
    member by itself, from initial parameters of its own. This is the policy ensemble of
    Lei, Hu, Chang, Chen and Zhang, "Offline Behavior Distillation", NeurIPS 2024, arXiv
    2410.22728.
    """

    def init(key: Key) -> Params:
        return jax.lax.map(member.init, jax.random.split(key, size))

    def apply(params: Params, observation: Observation) -> Output:
        outputs = jax.vmap(member.apply, (0, None))(params, observation)
        return jax.tree.map(functools.partial(jnp.mean, axis=0), outputs)

    return Policy(init, apply, member.act, member.losses, member)
