"""The subspace encoding: numbers along random directions from a fixed network.

Li, Farkhoor, Liu and Yosinski, "Measuring the Intrinsic Dimension of Objective
Landscapes", ICLR 2018, arXiv 1804.08838: far fewer numbers than weights often suffice.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Interval

from genomes import weights
from neuroevo.spaces import Spec
from neuroevo.types import Array, Encoding, Key, Params, Policy


class _Start(NamedTuple):
    """The fixed network, and where each number of a genome moves it."""

    origin: Params
    directions: Params  # dense: (size, *leaf); sparse: the move of each weight
    owner: Params | None = None  # sparse: which number of the genome moves a weight


@dataclasses.dataclass(frozen=True)
class Subspace:
    """A few directions in the space of all weights (Li et al., 2018)."""

    size: Annotated[int, Interval(ge=1, le=2**24)] = 64
    """Number of directions."""
    projection: Literal["dense", "sparse"] = "dense"
    """Every number moves all weights, or each weight is moved by one number, which
    takes no more memory than the weights do."""
    seed: Annotated[int, Interval(ge=0, le=2**32 - 1)] = 0
    """Seed of the fixed network and of the directions."""

    suggests: ClassVar[Mapping[str, object]] = weights.suggestions(std=1.0)

    def build(self, policy: Policy, spec: Spec) -> Encoding:
        """Return the encoding for the parameters of `policy`."""
        del spec
        units = jax.tree.leaves(weights.scales(policy))

        def init(key: Key) -> Array:
            del key
            return jnp.zeros(self.size)

        def start(key: Key) -> _Start:
            # Every policy has the same subspace.
            origin, drawing = weights.fixed(policy, self.seed, key)
            leaves, structure = jax.tree.flatten(origin)
            drawn = [
                self._draw(jax.random.fold_in(drawing, i), leaf.shape, unit)
                for i, (leaf, unit) in enumerate(zip(leaves, units, strict=True))
            ]
            directions, owners = (
                jax.tree.unflatten(structure, part) for part in zip(*drawn, strict=True)
            )
            sparse = self.projection == "sparse"
            return _Start(origin, directions, owners if sparse else None)

        def decode(genome: Array, start: _Start) -> Params:
            if start.owner is None:
                moves = jax.tree.map(
                    lambda each: jnp.tensordot(genome, each, axes=1), start.directions
                )
            else:
                moves = jax.tree.map(
                    lambda sign, owner: sign * genome[owner],
                    start.directions,
                    start.owner,
                )
            return jax.tree.map(jnp.add, start.origin, moves)

        return Encoding(init, decode, start)

    def _draw(
        self, key: Key, shape: tuple[int, ...], unit: float
    ) -> tuple[Array, Array]:
        """Return the directions of some weights, and which number moves each."""
        if self.projection == "dense":
            normal = jax.random.normal(key, (self.size, *shape))
            return unit / math.sqrt(self.size) * normal, jnp.zeros(())
        signs, owners = jax.random.split(key)
        return (
            unit * jax.random.rademacher(signs, shape, jnp.float32),
            jax.random.randint(owners, shape, 0, self.size),
        )
