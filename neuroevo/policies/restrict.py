"""A policy for one spec, made from a network for a larger one."""

from typing import Any

import jax

from neuroevo.errors import UserError
from neuroevo.spaces import Spec, common_spec, cut, in_words, outputs, pad
from neuroevo.types import Memory, Observation, Output, Params, Policy


def restrict(policy: Policy, wide: Spec, own: Policy, spec: Spec) -> Policy:
    """Return `policy`, made for the spec `wide`, as a policy for the smaller `spec`.

    The result pads its observations, cuts the outputs to the actions of `spec`, and
    then acts like `own`, a policy made for `spec`. Its parameters are those of
    `policy`.

    Raises:
        UserError: if `spec` does not fit into `wide`.
    """
    same_kind = type(spec.action) is type(wide.action)
    if not same_kind or common_spec([spec, wide]) != wide:
        raise UserError(
            f"the data set is for networks with {in_words(wide)}: an environment with "
            f"{in_words(spec)} does not fit; expected one that is no larger"
        )

    def own_part(output: Output) -> Output:
        return jax.tree.map(lambda x: cut(x, outputs(spec)), output)

    def apply(params: Params, observation: Observation, *memory: Memory) -> Any:
        padded = pad(observation, wide.observation)
        if not memory:
            return own_part(policy.apply(params, padded))
        output, after = policy.apply(params, padded, *memory)
        return own_part(output), after

    return Policy(
        policy.init, apply, own.act, own.losses, init_memory=policy.init_memory
    )
