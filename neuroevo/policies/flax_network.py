"""The networks of policies, in flax, which takes half a second to import."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from neuroevo.policies.initializers import orthogonal
from neuroevo.policies.products import convolution, product
from neuroevo.spaces import Box, Discrete, MultiDiscrete, choices
from neuroevo.types import Array, Output

Nonlinearity = Callable[[Array], Array]
Weights = Mapping[str, Array]  # of the plastic layers, by name


class Network(nn.Module):
    """Convolutions, hidden layers and output for one observation (no batch axis)."""

    action: Discrete | MultiDiscrete | Box
    channels: tuple[int, ...]
    hidden: tuple[int, ...]
    kernel_init: str
    log_std_init: float
    padding: str = "valid"

    # Whether all kernels are those of layers of flax, see `policies.near`.
    layered: ClassVar[bool] = True

    def unfused(self) -> "Network":
        """Return the network with the same parameters, each kernel in its own layer."""
        return self

    @nn.compact
    def __call__(
        self, x: Array, activation: Nonlinearity, depth: Array | None = None
    ) -> Output:
        """Return the output for an observation.

        Args:
            x: the observation.
            activation: the nonlinearity.
            depth: the number of hidden layers to use; None uses all. Only layers as
                wide as the one before can be left out.
        """
        return self.head(self.torso(x, activation, depth), self.dense)

    def torso(
        self, x: Array, activation: Nonlinearity, depth: Array | None = None
    ) -> Array:
        """Return what the last hidden layer makes of an observation."""
        x = self.convolve(x, activation)
        for i, width in enumerate(self.hidden):
            dense = self.dense(width, math.sqrt(2), name=f"hidden_{i}")
            y = activation(dense(x))
            if depth is not None and i > 0 and y.shape == x.shape:
                y = jnp.where(i < depth, y, x)
            x = y
        return x

    def convolve(self, x: Array, activation: Nonlinearity) -> Array:
        """Return a vector of what the convolutions make of an observation."""
        for i, width in enumerate(self.channels):
            conv = nn.Conv(
                width,
                (3, 3),
                padding=self.padding.upper(),
                kernel_init=self.kernel(math.sqrt(2)),
                conv_general_dilated=convolution,
                name=f"conv_{i}",
            )
            x = activation(conv(x))
        return x.ravel()

    def head(self, x: Array, layer: Callable[..., Callable[[Array], Array]]) -> Output:
        """Return the output for what the layers before it return.

        Args:
            x: a vector.
            layer: makes the output layer, see `dense`.
        """
        # A small gain makes every action about equally likely at first.
        output = functools.partial(layer, gain=0.01, name="output")
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


class Recurrent(Network):
    """A network with a recurrent cell between its hidden layers and its output."""

    cell: str = "GRUCell"  # of flax
    units: int = 1

    def unfused(self) -> "Recurrent":
        """Return the network with the same parameters, each kernel in its own layer."""
        return self.clone(cell=self.cell.removeprefix("Optimized"))

    @nn.compact
    def __call__(  # type: ignore[override]
        self, x: Array, activation: Nonlinearity, memory: Any = None
    ) -> tuple[Output, Any]:
        """Return the output for an observation, and the state of the cell after it."""
        memory = blank(self.cell, self.units) if memory is None else memory
        cell = getattr(nn, self.cell)(
            self.units,
            kernel_init=self.kernel(1.0),
            recurrent_kernel_init=self.kernel(1.0),  # flax's own is a QR decomposition
            name="cell",
        )
        memory, x = cell(memory, self.torso(x, activation))
        return self.head(x, self.dense), memory


def blank(cell: str, units: int) -> Any:
    """Return the state of a flax `cell` at the start of an episode."""
    zeros = jnp.zeros(units)
    return (zeros, zeros) if "LSTM" in cell else zeros


class Plastic(Network):
    """A network whose hidden and output layers are plastic."""

    layered: ClassVar[bool] = False

    @nn.compact
    def __call__(  # type: ignore[override]
        self, x: Array, activation: Nonlinearity, memory: Weights | None = None
    ) -> tuple[Output, Weights]:
        """Return the output for an observation, and the weights after it.

        Args:
            x: the observation.
            activation: the nonlinearity.
            memory: the weights of each layer; None for their initial ones.
        """
        after = {}

        def layer(
            width: int, gain: float, name: str, activation: Nonlinearity = jnp.tanh
        ) -> Callable[[Array], Array]:
            plastic = PlasticDense(width, self.kernel(gain), name=name)

            def respond(x: Array) -> Array:
                weights = None if memory is None else memory[name]
                y, after[name] = plastic(x, weights, activation)
                return y

            return respond

        x = self.convolve(x, activation)
        for i, width in enumerate(self.hidden):
            dense = layer(width, math.sqrt(2), f"hidden_{i}", activation)
            x = activation(dense(x))
        return self.head(x, layer), after


class PlasticDense(nn.Module):
    """A layer whose weights change with what passes through them.

    After each response, the weight from i to j changes by ``rate * (a * o_i * o_j + b *
    o_i + c * o_j + d)``, in which ``o`` are the activities on both sides, and all five
    factors belong to the weight. Then the largest weight is scaled to one, if it is
    larger. Weights from a constant input of one take the place of a bias.
    """

    width: int
    kernel_init: Callable[..., Array]

    @nn.compact
    def __call__(
        self, x: Array, weights: Array | None, activation: Nonlinearity
    ) -> tuple[Array, Array]:
        """Return the response before the nonlinearity, and the weights after it."""
        x = jnp.append(x, 1.0)
        shape = (len(x), self.width)
        kernel = self.param("kernel", self.kernel_init, shape)
        zeros, constant = nn.initializers.zeros, nn.initializers.constant
        a, b, c, d = (self.param(name, zeros, shape) for name in "abcd")
        rate = self.param("rate", constant(0.1), shape)
        weights = kernel if weights is None else weights
        response = x @ weights
        before, after = x[:, None], activation(response)[None]
        change = a * before * after + b * before + c * after + d
        weights = weights + rate * change
        return response, weights / jnp.maximum(1.0, jnp.max(jnp.abs(weights)))
