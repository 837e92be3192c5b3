"""The direct encoding: the genome is the policy's parameters.

The baseline of neuroevolution (Salimans et al., "Evolution Strategies as a Scalable
Alternative to Reinforcement Learning", arXiv 1703.03864).
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from genomes import weights
from neuroevo.spaces import Spec
from neuroevo.types import Encoding, Key, Params, Policy, Start


@dataclasses.dataclass(frozen=True)
class Direct:
    """The policy's own parameters (Salimans et al., 2017)."""

    init: Literal["policy", "zeros"] = "policy"
    """Start of the search: the policy's initial parameters, or all zeros."""

    # CartPole-v1 in about 40 generations.
    suggests: ClassVar[Mapping[str, object]] = weights.suggestions(std=0.2)

    def build(self, policy: Policy, spec: Spec) -> Encoding:
        """Return the encoding of the parameters of `policy`."""
        del spec

        def init(key: Key) -> Params:
            if self.init == "policy":
                return policy.init(key)
            shapes = jax.eval_shape(policy.init, key)
            return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

        def decode(genome: Params, start: Start) -> Params:
            del start
            return genome

        return Encoding(init, decode, identity=True)
