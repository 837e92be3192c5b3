"""Policies: small flax networks with an action head and its imitation losses.

The head follows from the action space: logits for `Discrete`, a Gaussian with a learned
standard deviation that does not depend on the state for `Box`. To add a network, write
a frozen dataclass with a method ``build(spec) -> Policy``, and register it in the
entry-point group ``neuroevo.policies``; `head` provides its action head and losses.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge, Interval, MinLen, Predicate

from neuroevo.errors import UserError
from neuroevo.policies.ensembles import average, ensemble
from neuroevo.policies.heads import ActionChoice, head
from neuroevo.spaces import Spec
from neuroevo.types import Array, Key, Output, Policy

if TYPE_CHECKING:
    from neuroevo.policies.flax_network import Network

Activation = Literal["tanh", "relu", "gelu", "silu", "elu"]
KernelInit = Literal["orthogonal", "lecun"]
Width = Annotated[int, Ge(1)]  # units or filters of a layer


@dataclasses.dataclass(frozen=True)
class MLP:
    """Fully connected network; flattens observations of any shape."""

    hidden: tuple[Width, ...] = (64, 64)
    """Width of each hidden layer; without any, the policy is linear."""
    activation: Activation = "tanh"
    """Nonlinearity of the hidden layers."""
    kernel_init: KernelInit = "orthogonal"
    """Initial weights: orthogonal (gain sqrt(2), output 0.01) or LeCun normal."""
    action: ActionChoice = "sample"
    """Draw actions from the policy's distribution, or take its mode."""
    log_std_init: Annotated[float, Predicate(math.isfinite)] = 0.0
    """Initial log standard deviation of continuous actions."""
    ensemble: Annotated[int, Interval(ge=1, le=2**16)] = 1
    """Number of networks whose outputs are averaged, each trained by itself."""

    def build(self, spec: Spec) -> Policy:
        """Return the policy for the observations and actions of `spec`."""
        return _build(self, spec, channels=())


@dataclasses.dataclass(frozen=True)
class CNN:
    """Convolutional network for images, sized for MinAtar's 10x10 (arXiv 1903.03176).

    Convolutions are 3x3 with stride 1 and, as in MinAtar's own networks, no padding.
    """

    channels: Annotated[tuple[Width, ...], MinLen(1)] = (16,)
    """Number of filters of each convolution."""
    padding: Literal["valid", "same"] = "valid"
    """Convolutions without padding, or with zeros around an image, which keep its
    size."""
    hidden: tuple[Width, ...] = (128,)
    """Width of each hidden layer after the convolutions."""
    activation: Activation = "relu"
    """Nonlinearity of the convolutions and hidden layers."""
    kernel_init: KernelInit = "orthogonal"
    """Initial weights: orthogonal (gain sqrt(2), output 0.01) or LeCun normal."""
    action: ActionChoice = "sample"
    """Draw actions from the policy's distribution, or take its mode."""
    log_std_init: Annotated[float, Predicate(math.isfinite)] = 0.0
    """Initial log standard deviation of continuous actions."""
    ensemble: Annotated[int, Interval(ge=1, le=2**16)] = 1
    """Number of networks whose outputs are averaged, each trained by itself."""

    def build(self, spec: Spec) -> Policy:
        """Return the policy for the images and actions of `spec`.

        Raises:
            UserError: if the observation is not an image (height, width, channels), or
                if it is too small for the convolutions.
        """
        shape = spec.observation
        if len(shape) != 3:
            raise UserError(
                f"policy cnn needs image observations (height, width, channels), but "
                f"this environment's have shape {shape}; use --policy mlp"
            )
        if self.padding == "valid" and min(shape[:2]) <= 2 * len(self.channels):
            raise UserError(
                f"policy.channels: an image of shape {shape} leaves room for "
                f"{(min(shape[:2]) - 1) // 2} convolutions of 3x3, got "
                f"{len(self.channels)}; use fewer, --policy.padding same or --policy "
                "mlp"
            )
        return _build(self, spec, self.channels)


def _build(options: MLP | CNN, spec: Spec, channels: tuple[int, ...]) -> Policy:
    import flax.linen as nn  # help does without flax

    network = _network(options, spec, channels)
    activation = getattr(nn, options.activation)
    act, losses = head(spec.action, options.action)

    def init(key: Key) -> Mapping[str, Any]:
        return network.init(key, jnp.zeros(spec.observation), activation)["params"]

    def apply(params: Mapping[str, Any], observation: Array) -> Output:
        return network.apply({"params": params}, observation, activation)

    policy = Policy(init, apply, act, losses)
    return policy if options.ensemble == 1 else ensemble(policy, options.ensemble)


def with_activation_in_params(
    options: MLP, activations: Sequence[Activation], spec: Spec
) -> Policy:
    """Return the policy of `options`, with an activation that its parameters select.

    The parameters are ``{"activation": i, "network": params}``, where i is an index
    into `activations`, one for all members of an ensemble. Thus one program serves
    networks with several activations. It also serves narrower networks, with zeros
    appended to their parameters, because every activation is zero at zero.
    """
    import flax.linen as nn

    policy = options.build(spec)
    network = _network(options, spec, channels=())
    functions = [getattr(nn, name) for name in activations]

    def init(key: Key) -> Mapping[str, Any]:
        return {"activation": jnp.int32(0), "network": policy.init(key)}

    def apply(params: Mapping[str, Any], observation: Array) -> Output:
        def activation(x: Array) -> Array:
            return jax.lax.select_n(params["activation"], *(f(x) for f in functions))

        def of_network(params: Mapping[str, Any]) -> Output:
            return network.apply({"params": params}, observation, activation)

        if options.ensemble == 1:
            return of_network(params["network"])
        return average(jax.vmap(of_network)(params["network"]))

    return policy._replace(init=init, apply=apply)


def _network(options: MLP | CNN, spec: Spec, channels: tuple[int, ...]) -> "Network":
    from neuroevo.policies.flax_network import Network

    return Network(
        action=spec.action,
        channels=tuple(map(int, channels)),
        hidden=tuple(map(int, options.hidden)),
        kernel_init=options.kernel_init,
        log_std_init=options.log_std_init,
        padding=getattr(options, "padding", "valid"),
    )
