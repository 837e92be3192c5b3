"""The low-rank encoding: factors of what is added to a fixed network's weights.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv
2106.09685: of each matrix, a change of low rank is searched for.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Ge, Interval

from genomes import weights
from neuroevo.core import keys
from neuroevo.errors import UserError
from neuroevo.spaces import Spec
from neuroevo.types import Array, Encoding, Key, Params, Policy

_Genome = Mapping[str, Mapping[str, Array]]  # by the name of an array of weights


@dataclasses.dataclass(frozen=True)
class LowRank:
    """Factors of low rank around a fixed network (Hu et al., 2022)."""

    rank: Annotated[int, Ge(1)] = 2
    """Rank of what is added to a matrix; of smaller ones, all of it."""
    seed: Annotated[int, Interval(ge=0, le=2**32 - 1)] = 0
    """Seed of the fixed network."""

    suggests: ClassVar[Mapping[str, object]] = weights.suggestions(std=0.5)

    def build(self, policy: Policy, spec: Spec) -> Encoding:
        """Return the encoding for the parameters of `policy`.

        Raises:
            UserError: if no matrix is large enough for the rank.
        """
        del spec
        like = jax.eval_shape(policy.init, keys.abstract())
        units = weights.scales(policy)
        leaves = jax.tree_util.tree_leaves_with_path(like)
        shapes = {weights.name_of(path): leaf.shape for path, leaf in leaves}
        sides = {name: _sides(shape) for name, shape in shapes.items()}
        largest = max((min(s) for s in sides.values() if s), default=0)
        if self.rank > largest:
            raise UserError(
                f"encoding.rank {self.rank}: expected at most {largest}, the shorter "
                "side of the policy's largest matrix"
            )

        def init(key: Key) -> _Genome:
            genome = {}
            for i, (name, side) in enumerate(sides.items()):
                if not side:
                    genome[name] = {"change": jnp.zeros(shapes[name])}
                    continue
                rank = min(self.rank, *side)
                # One factor starts at zero, so that the search starts at the network.
                right = jax.random.normal(jax.random.fold_in(key, i), (rank, side[1]))
                genome[name] = {"left": jnp.zeros((side[0], rank)), "right": right}
            return genome

        def start(key: Key) -> Params:
            return weights.fixed(policy, self.seed, key)[0]

        def decode(genome: _Genome, start: Params) -> Params:
            def moved(path: tuple, origin: Array, unit: float) -> Array:
                own = genome[weights.name_of(path)]
                if "change" in own:
                    change = own["change"]
                else:
                    rank = own["left"].shape[1]
                    change = own["left"] @ own["right"] / math.sqrt(rank)
                return origin + unit * change.reshape(origin.shape)

            return jax.tree_util.tree_map_with_path(moved, start, units)

        return Encoding(init, decode, start)


def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sides of weights as a matrix, outputs last; () for vectors."""
    return (math.prod(shape[:-1]), shape[-1]) if len(shape) > 1 else ()
