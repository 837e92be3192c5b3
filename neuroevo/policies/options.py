"""Options that networks share, each group once.

A policy's options inherit the groups that it has, and may change a default.
"""

import dataclasses
import math
from typing import Annotated, Literal

from annotated_types import Ge, Interval, Predicate

from neuroevo.errors import UserError
from neuroevo.policies.heads import ActionChoice
from neuroevo.spaces import Shape

Activation = Literal["tanh", "relu", "gelu", "silu", "elu"]
KernelInit = Literal["orthogonal", "lecun"]
Padding = Literal["valid", "same"]
Width = Annotated[int, Ge(1)]  # units or filters of a layer


@dataclasses.dataclass(frozen=True)
class Convolutions:
    """Convolutions of 3x3 with stride 1, for images."""

    channels: tuple[Width, ...] = ()
    """Number of filters of each convolution of an image; without any, it is
    flattened."""
    padding: Padding = "valid"
    """Convolutions without padding, or with zeros around an image, which keep its
    size."""


@dataclasses.dataclass(frozen=True)
class Hidden:
    """Fully connected layers."""

    hidden: tuple[Width, ...] = ()
    """Width of each hidden layer."""


@dataclasses.dataclass(frozen=True)
class Common:
    """What all networks have."""

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


@dataclasses.dataclass(frozen=True)
class Layers(Common, Hidden):
    """Options of a network with hidden layers."""


def check_convolutions(
    name: str, channels: tuple[int, ...], padding: Padding, shape: Shape
) -> None:
    """Raise a `UserError` unless the policy `name` can convolve observations.

    Args:
        name: the name of the policy.
        channels: the number of filters of each convolution.
        padding: its option of this name.
        shape: the shape of an observation.
    """
    without = "--policy mlp" if name == "cnn" else "no --policy.channels"
    if len(shape) != 3:
        what = name if name == "cnn" else f"{name} with --policy.channels"
        raise UserError(
            f"policy {what} needs image observations (height, width, channels), but "
            f"this environment's have shape {shape}; use {without}"
        )
    if padding == "valid" and min(shape[:2]) <= 2 * len(channels):
        raise UserError(
            f"policy.channels: an image of shape {shape} leaves room for "
            f"{(min(shape[:2]) - 1) // 2} convolutions of 3x3, got "
            f"{len(channels)}; use fewer, --policy.padding same or {without}"
        )
