"""The network of a policy, in flax, which takes half a second to import."""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from neuroevo.policies.initializers import orthogonal, product
from neuroevo.spaces import Box, Discrete, MultiDiscrete, choices
from neuroevo.types import Array, Output


class Network(nn.Module):
    """Convolutions, hidden layers and output for one observation (no batch axis)."""

    action: Discrete | MultiDiscrete | Box
    channels: tuple[int, ...]
    hidden: tuple[int, ...]
    kernel_init: str
    log_std_init: float
    padding: str = "valid"

    @nn.compact
    def __call__(
        self,
        x: Array,
        activation: Callable[[Array], Array],
        depth: Array | None = None,
    ) -> Output:
        """Return the output for an observation.

        Args:
            x: the observation.
            activation: the nonlinearity.
            depth: the number of hidden layers to use; None uses all. Only layers as
                wide as the one before can be left out.
        """
        for i, width in enumerate(self.channels):
            conv = nn.Conv(
                width,
                (3, 3),
                padding=self.padding.upper(),
                kernel_init=self.kernel(math.sqrt(2)),
                name=f"conv_{i}",
            )
            x = activation(conv(x))
        x = x.ravel()
        for i, width in enumerate(self.hidden):
            dense = self.dense(width, math.sqrt(2), name=f"hidden_{i}")
            y = activation(dense(x))
            if depth is not None and i > 0 and y.shape == x.shape:
                y = jnp.where(i < depth, y, x)
            x = y
        # A small gain makes every action about equally likely at first.
        output = functools.partial(self.dense, gain=0.01, name="output")
        if not isinstance(self.action, Box):
            return output(sum(choices(self.action)))(x)
        shape = self.action.shape
        mean = output(math.prod(shape))(x).reshape(shape)
        log_std = self.param(
            "log_std", nn.initializers.constant(self.log_std_init), shape
        )
        return mean, log_std

    def dense(self, width: int, gain: float, name: str) -> nn.Dense:
        """Return a layer whose initial weights have this gain."""
        return nn.Dense(
            width, kernel_init=self.kernel(gain), dot_general=product, name=name
        )

    def kernel(self, gain: float) -> Callable[..., Array]:
        """Return the initializer of weights with this gain."""
        if self.kernel_init == "orthogonal":
            return functools.partial(orthogonal, gain=gain)
        return nn.initializers.lecun_normal()
