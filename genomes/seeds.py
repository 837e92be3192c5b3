"""The seeds encoding: a network as the seeds of the mutations that made it.

Such et al., "Deep Neuroevolution: Genetic Algorithms are a Competitive Alternative for
Training Deep Neural Networks for Reinforcement Learning", 2017, arXiv 1712.06567.
However large the network, its genome is a short list of integers: the first one draws
the initial weights, each of the others what a mutation adds to them.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Gt, Interval, Predicate

from genomes import weights
from neuroevo.core import keys
from neuroevo.spaces import Spec
from neuroevo.types import Array, Encoding, Key, Params, Policy, Start


@dataclasses.dataclass(frozen=True)
class Seeds:
    """The seeds of a chain of mutations (Such et al., 2017); made for DeepGA."""

    length: Annotated[int, Interval(ge=2, le=2**16)] = 64
    """Most seeds of a genome: the initial weights, and mutations."""
    power: Annotated[float, Gt(0), Predicate(math.isfinite)] = 0.5
    """Standard deviation of a mutation, in each layer relative to a size of weights
    that keeps the size of what the layer gets."""

    suggests: ClassVar[Mapping[str, object]] = weights.search_of("DeepGA")

    def build(self, policy: Policy, spec: Spec) -> Encoding:
        """Return the encoding for the parameters of `policy`.

        Its genomes are integers, as floats: zero and those after it are not in use.
        """
        del spec
        units = jax.tree.leaves(weights.scales(policy))

        def init(key: Key) -> Array:
            del key
            return jnp.zeros(self.length).at[0].set(1.0)

        def decode(genome: Array, start: Start) -> Params:
            del start
            seeds = jnp.round(jnp.abs(genome)).astype(jnp.uint32)
            root = keys.mutations()

            def mutate(i: Array, params: Params) -> Params:
                leaves, structure = jax.tree.flatten(params)
                drawn = jax.random.split(
                    jax.random.fold_in(root, seeds[i]), len(leaves)
                )
                moved = [
                    x + self.power * unit * _normal(key, x)
                    for key, x, unit in zip(drawn, leaves, units, strict=True)
                ]
                return jax.tree.unflatten(structure, moved)

            used = jnp.cumprod(seeds > 0).sum()
            origin = policy.init(jax.random.fold_in(root, seeds[0]))
            return jax.lax.fori_loop(1, used, mutate, origin)

        return Encoding(init, decode)


def _normal(key: Key, like: Array) -> Array:
    return jax.random.normal(key, like.shape, like.dtype)
