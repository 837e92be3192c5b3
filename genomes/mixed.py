"""The mixed encoding: weights of some layers, and a data set that trains the others.

It is a product of two encodings, the direct one and that of state-action pairs. All
policies of a genome share the layers whose weights are genes; the rest of each policy
starts afresh and is trained on the pairs.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from genomes import weights
from genomes.dataset import Dataset
from neuroevo.core import keys
from neuroevo.errors import UserError, unknown
from neuroevo.spaces import Spec
from neuroevo.types import Array, Encoding, Genome, Key, Params, Policy, Start

_NEVER = -jnp.inf  # logarithm of a factor on the learning rate


@dataclasses.dataclass(frozen=True)
class Mixed(Dataset):
    """Weights of some layers, and state-action pairs that train the others."""

    layers: tuple[str, ...] = ("hidden_0",)
    """Layers whose weights are genes, such as hidden_0 or output."""
    frozen: bool = True
    """Whether training leaves these layers as they are, or starts from them."""

    def _of_states(
        self, policy: Policy, spec: Spec, labels: Any, rows: Any
    ) -> Encoding:
        """Return the encoding whose genome has states, and the weights of layers.

        Raises:
            UserError: if the policy has no such layer.
        """
        pairs = super()._of_states(policy, spec, labels, rows)
        member = policy.member or policy  # an ensemble's members share the genes
        like = jax.eval_shape(member.init, keys.abstract())
        for name in self.layers:
            if not isinstance(like, Mapping) or name not in like:
                known = sorted(like) if isinstance(like, Mapping) else ()
                raise unknown("encoding.layers", name, known)
        units = {
            name: jax.tree.map(lambda x: weights.scale(x.shape), like[name])
            for name in self.layers
        }

        def init(key: Key) -> Genome:
            others, own = jax.random.split(key)
            drawn = member.init(own)
            genes = {name: drawn[name] for name in self.layers}
            return {
                **pairs.init(others),
                "weights": jax.tree.map(lambda x, unit: x / unit, genes, units),
            }

        def decode(genome: Genome, start: Start) -> Params:
            rest = {name: x for name, x in genome.items() if name != "weights"}
            genes = jax.tree.map(jnp.multiply, genome["weights"], units)
            own = {name: start.params[name] for name in self.layers}
            own = jax.tree.map(_in_place_of, genes, own)
            if self.frozen:
                never = dict.fromkeys(self.layers, jnp.float32(_NEVER))
                rest["log_rates"] = {**rest.get("log_rates", {}), **never}
            params = {**start.params, **own}
            return pairs.decode(rest, start._replace(params=params))

        return pairs._replace(init=init, decode=decode)


def _in_place_of(genes: Array, params: Array) -> Array:
    """Return weights for a policy, or for each member of an ensemble."""
    if params.shape[params.ndim - genes.ndim :] != genes.shape:
        raise UserError(
            f"expected a policy whose encoding.layers have weights of {genes.shape} as "
            f"in the genome, not {params.shape}"
        )
    return jnp.broadcast_to(genes, params.shape)
