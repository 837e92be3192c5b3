"""Networks of flax whose parameters are given as a difference to shared ones.

A layer ``x @ (kernel + left.T @ right)`` is ``x @ kernel + (left @ x) @ right``, in
which all policies share the kernel: many of them cost hardly more than one network on
many observations (Sarkar et al., "Evolution Strategies at the Hyperscale", 2025, arXiv
2511.16652).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from neuroevo.differences import Difference, add, is_factors
from neuroevo.types import Array, Params

_DIFFERENCE = "difference"  # a collection of flax, beside "params"
_KERNEL = "kernel"


def apply_near(
    network: nn.Module, params: Params, difference: Difference, *args: Any
) -> Any:
    """Return what ``network.apply`` returns for parameters plus a difference.

    Args:
        network: a module in which every kernel is one of `nn.Dense` or `nn.Conv`.
        params: its parameters.
        difference: what to add. `Factors` of kernels are never multiplied.
        *args: what the module is called with.
    """

    def near(path: tuple, x: Array, change: Any) -> Array:
        is_kernel = path[-1].key == _KERNEL and is_factors(change)
        return x if is_kernel else add(x, change)

    own = jax.tree_util.tree_map_with_path(near, params, difference)
    with nn.intercept_methods(_add_product):
        return network.apply({"params": own, _DIFFERENCE: difference}, *args)


def _add_product(
    call: Callable[..., Any], args: tuple, options: Any, context: Any
) -> Any:
    """Return the output of a layer with what the factors of its kernel add to it."""
    y, layer = call(*args, **options), context.module
    is_layer = isinstance(layer, nn.Dense | nn.Conv)
    if not is_layer or not layer.has_variable(_DIFFERENCE, _KERNEL):
        return y
    change = layer.get_variable(_DIFFERENCE, _KERNEL)
    if not is_factors(change):
        return y
    (x,), (left, right) = args, change
    if isinstance(layer, nn.Dense):
        return y + (left @ x) @ right
    rank = len(left)
    narrow = layer.clone(features=rank, use_bias=False, name=None, parent=None)
    kernel = left.T.reshape(*layer.kernel_size, -1, rank)
    return y + narrow.apply({"params": {_KERNEL: kernel}}, x) @ right
