"""The cosine encoding: weights as a sum of a few waves of low frequency.

Koutník, Gomez and Schmidhuber, "Evolving Neural Networks in Compressed Weight Space",
GECCO 2010: the genome holds coefficients of a discrete cosine transform.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Interval

from genomes import waves, weights
from neuroevo.core import keys
from neuroevo.spaces import Spec
from neuroevo.types import Array, Encoding, Key, Params, Policy, Start


@dataclasses.dataclass(frozen=True)
class Cosine:
    """Coefficients of low frequency for each layer (Koutník et al., 2010)."""

    coefficients: Annotated[int, Interval(ge=1, le=2**16)] = 8
    """Most coefficients along each axis of an array of weights."""

    suggests: ClassVar[Mapping[str, object]] = weights.suggestions(std=1.0)

    def build(self, policy: Policy, spec: Spec) -> Encoding:
        """Return the encoding for the parameters of `policy`."""
        del spec
        like = jax.eval_shape(policy.init, keys.abstract())
        units = weights.scales(policy)

        def init(key: Key) -> Params:
            del key
            return jax.tree.map(
                lambda x: jnp.zeros([min(n, self.coefficients) for n in x.shape]), like
            )

        def decode(genome: Params, start: Start) -> Params:
            del start
            return jax.tree.map(
                lambda found, x, unit: unit * _waves(found, x.shape),
                genome,
                like,
                units,
            )

        return Encoding(init, decode)


def _waves(coefficients: Array, shape: tuple[int, ...]) -> Array:
    """Return the numbers of `shape` that have these coefficients."""
    found = coefficients
    for axis, size in enumerate(shape):
        basis = waves.lowest(size, coefficients.shape[axis])
        found = jnp.moveaxis(jnp.tensordot(basis, found, axes=(1, axis)), 0, axis)
    return found / math.sqrt(max(1, coefficients.size))
