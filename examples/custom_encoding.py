"""A custom encoding: search a random subspace of a network's weights.

python examples/custom_encoding.py

A genome of k numbers is a point in a fixed random k-dimensional subspace through the
network's initial weights ("Measuring the Intrinsic Dimension of Objective Landscapes",
Li et al., ICLR 2018, arXiv 1804.08838). Nothing needs to be registered. An entry point
in the group ``neuroevo.encodings`` would make the class below available on the command
line as ``--encoding``, with its fields as options.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Ge
from jax.flatten_util import ravel_pytree

import neuroevo


@dataclasses.dataclass(frozen=True)
class Subspace:
    """A few numbers, expanded to all weights by a random projection."""

    size: Annotated[int, Ge(1)] = 16
    """Dimensions of the subspace."""
    subspace_seed: int = 0
    """Seed of the initial weights and of the projection."""

    # One policy: decoding is deterministic, so a second one would repeat the first.
    suggests: ClassVar[Mapping[str, object]] = {
        "strategy": "SNES",
        "strategy.std": 3.0,
        "policies": 1,
        "episodes": 8,
    }

    def build(self, policy: neuroevo.Policy, spec: neuroevo.Spec) -> neuroevo.Encoding:
        """Return the encoding of the parameters of `policy`."""

        def init(key):
            return jnp.zeros(self.size)

        def start(key):  # computed once and shared by all candidates
            origin_key, direction_key = jax.random.split(
                jax.random.key(self.subspace_seed)
            )
            params = policy.init(origin_key)
            dims = sum(leaf.size for leaf in jax.tree.leaves(params))
            directions = jax.random.normal(direction_key, (self.size, dims))
            lengths = jnp.linalg.norm(directions, axis=1, keepdims=True)
            return params, directions / lengths

        def decode(genome, start):
            params, directions = start
            origin, unravel = ravel_pytree(params)
            return unravel(origin + genome @ directions)

        return neuroevo.Encoding(init, decode, start)


def main(size: int = 16, generations: int = 40, population: int = 64, **options):
    """Evolve a point in a subspace of the weights of a CartPole policy."""
    run = neuroevo.evolve(
        env="CartPole-v1",
        encoding=Subspace(size),
        population=population,
        generations=generations,
        display=True,
        **options,
    )
    result = run.evaluate(policies=1, episodes=32)
    print(f"{size} numbers: return {result['return_mean']:.1f} over 32 fresh episodes")
    return result


if __name__ == "__main__":
    main()
