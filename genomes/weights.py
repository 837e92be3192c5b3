"""What encodings of weights share: a search, sizes of weights, and a fixed network."""

import math
from collections.abc import Mapping

import jax

from neuroevo.core import keys
from neuroevo.types import Key, Params, Policy

_VECTOR = 0.1  # of biases, which start at zero


def suggestions(std: float) -> Mapping[str, object]:
    """Return the search that suits an encoding of weights, with its first step size."""
    return {**search_of("SNES"), "strategy.std": std}


def search_of(strategy: str) -> Mapping[str, object]:
    """Return the search by a strategy that suits encodings whose decoding is cheap."""
    return {
        "strategy": strategy,
        "population": 256,
        "policies": 1,  # decoding is deterministic: a second would repeat the first
        "episodes": 4,
    }


def scale(shape: tuple[int, ...]) -> float:
    """Return a size of weights with which a layer keeps the size of what it gets.

    Args:
        shape: of the weights, outputs last; vectors are biases.

    Example:
        >>> scale((4, 64)), scale((64,))
        (0.5, 0.1)
    """
    return 1 / math.sqrt(math.prod(shape[:-1])) if len(shape) > 1 else _VECTOR


def scales(policy: Policy) -> Params:
    """Return the `scale` of each array of a policy's parameters.

    The networks of an ensemble, which are stacked, have those of a single one.
    """
    like = jax.eval_shape((policy.member or policy).init, keys.abstract())
    return jax.tree.map(lambda x: scale(x.shape), like)


def fixed(policy: Policy, seed: int, key: Key) -> tuple[Params, Key]:
    """Return the parameters of a network that never changes, and a key beside it.

    Args:
        policy: the policy.
        seed: the seed of the network.
        key: any key, best an argument of the program.
    """
    # XLA would compute what depends on a constant alone, and slowly, while it compiles.
    # Of all keys, one in 2^64 would make another network.
    given = jax.random.key_data(key)
    never = (~given == 0).all().astype(given.dtype)
    data = jax.random.key_data(keys.initial_policy(seed)) ^ never
    own = jax.random.wrap_key_data(data, impl=keys.IMPLEMENTATION)
    network, other = jax.random.split(own)
    return policy.init(network), other


def name_of(path: tuple) -> str:
    """Return the name of an array of parameters by its path: ``hidden_0/kernel``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
