"""The hypernetwork encoding: a small network says what each weight is.

Its inputs are the place of a weight: its coordinates in its array, and which array it
is. With waves as its nonlinearity it is a compositional pattern-producing network
(Stanley, D'Ambrosio and Gauci, "A Hypercube-Based Encoding for Evolving Large-Scale
Neural Networks", Artificial Life 15, 2009); for gradients, Ha, Dai and Le,
"HyperNetworks", ICLR 2017, arXiv 1609.09106.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from genomes import weights
from neuroevo.core import keys
from neuroevo.spaces import Spec
from neuroevo.types import Array, Encoding, Key, Params, Policy, Start

_AXES = 4  # of a convolution; those of an ensemble have one more


@dataclasses.dataclass(frozen=True)
class Hypernetwork:
    """A small network from coordinates to weights (Stanley et al., 2009)."""

    hidden: tuple[Annotated[int, Ge(1)], ...] = (16,)
    """Width of each hidden layer of the hypernetwork."""
    activation: Literal["sin", "tanh"] = "sin"
    """Its nonlinearity."""

    suggests: ClassVar[Mapping[str, object]] = weights.suggestions(std=0.5)

    def build(self, policy: Policy, spec: Spec) -> Encoding:
        """Return the encoding for the parameters of `policy`."""
        del spec
        like = jax.eval_shape(policy.init, keys.abstract())
        leaves, structure = jax.tree.flatten(like)
        units = jax.tree.leaves(weights.scales(policy))
        axes = max(_AXES, *(len(leaf.shape) for leaf in leaves))
        places = [
            _places(i, leaf.shape, len(leaves), axes) for i, leaf in enumerate(leaves)
        ]
        activation = getattr(jnp, self.activation)
        sizes = [places[0].shape[1], *self.hidden, 1]

        def init(key: Key) -> list[dict[str, Array]]:
            drawn = jax.random.split(key, len(sizes) - 1)
            return [
                {
                    "kernel": jax.random.normal(own, (wide, narrow)) / np.sqrt(wide),
                    "bias": jnp.zeros(narrow),
                }
                for own, (wide, narrow) in zip(
                    drawn, itertools.pairwise(sizes), strict=True
                )
            ]

        def decode(genome: Any, start: Start) -> Params:
            del start
            x = np.concatenate(places)
            for layer in genome[:-1]:
                x = activation(x @ layer["kernel"] + layer["bias"])
            flat = (x @ genome[-1]["kernel"] + genome[-1]["bias"])[:, 0]
            ends = np.cumsum([len(each) for each in places])[:-1]
            parts = zip(jnp.split(flat, ends), leaves, units, strict=True)
            return jax.tree.unflatten(
                structure,
                [unit * part.reshape(leaf.shape) for part, leaf, unit in parts],
            )

        return Encoding(init, decode)


def _places(index: int, shape: tuple[int, ...], count: int, most: int) -> np.ndarray:
    """Return the inputs for the weights of an array, (weights, most + arrays).

    Args:
        index: the number of the array.
        shape: its shape; its last axes have coordinates from -1 to 1.
        count: the number of arrays.
        most: the largest number of axes of an array.
    """
    size = int(np.prod(shape))
    found = np.zeros((size, most + count), np.float32)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    for axis, values in enumerate(axes[::-1]):
        found[:, axis] = np.pi * values.ravel()
    found[:, most + index] = 1
    return found
