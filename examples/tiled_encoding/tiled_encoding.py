"""The tiled encoding: each matrix of weights is a small tile, repeated.

A plug-in for neuroevo. Its entry point, in ``pyproject.toml``, names the class below;
the fields are its options.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Ge

import neuroevo


@dataclasses.dataclass(frozen=True)
class Tiled:
    """A small tile for each array of weights, repeated to its size."""

    side: Annotated[int, Ge(1)] = 8
    """Longest side of a tile."""

    # One policy: decoding is deterministic, so a second one would repeat the first.
    suggests: ClassVar[Mapping[str, object]] = {
        "strategy": "SNES",
        "strategy.std": 0.5,
        "population": 128,
        "policies": 1,
        "episodes": 4,
    }

    def build(self, policy: neuroevo.Policy, spec: neuroevo.Spec) -> neuroevo.Encoding:
        """Return the encoding of the parameters of `policy`."""
        shapes = jax.eval_shape(policy.init, jax.random.key(0))

        def init(key):
            def tile(leaf):
                return jnp.zeros([min(self.side, side) for side in leaf.shape])

            return jax.tree.map(tile, shapes)

        def decode(genome, key):
            def fill(tile, leaf):
                repeats = [
                    math.ceil(side / own)
                    for side, own in zip(leaf.shape, tile.shape, strict=True)
                ]
                whole = jnp.tile(tile, repeats)[tuple(map(slice, leaf.shape))]
                return whole / math.sqrt(math.prod(leaf.shape[:-1]))

            return jax.tree.map(fill, genome, shapes)

        return neuroevo.Encoding(init, decode)
