"""Policies that remember what they saw earlier in an episode.

All of them take the torso of `networks.MLP`, or with `channels` that of `networks.CNN`.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import jax.numpy as jnp
from annotated_types import Interval

from neuroevo.policies import networks
from neuroevo.policies.ensembles import ensemble
from neuroevo.policies.options import (
    Convolutions,
    Layers,
    Width,
    check_convolutions,
)
from neuroevo.spaces import Spec
from neuroevo.types import Memory, Output, Params, Policy


@dataclasses.dataclass(frozen=True)
class _Cell:
    """Options of a recurrent cell."""

    units: Width = 32
    """Number of units of the recurrent cell, which follows the hidden layers."""


@dataclasses.dataclass(frozen=True)
class GRU(Layers, Convolutions, _Cell):
    """Gated recurrent units (Cho et al., 2014, arXiv 1406.1078)."""

    def build(self, spec: Spec) -> Policy:
        """Return the policy for the observations and actions of `spec`."""
        return _recurrent(self, "gru", "GRUCell", spec)


@dataclasses.dataclass(frozen=True)
class LSTM(Layers, Convolutions, _Cell):
    """Long short-term memory (Hochreiter and Schmidhuber, Neural Comput. 9, 1997)."""

    def build(self, spec: Spec) -> Policy:
        """Return the policy for the observations and actions of `spec`."""
        return _recurrent(self, "lstm", "OptimizedLSTMCell", spec)


@dataclasses.dataclass(frozen=True)
class Plastic(Layers, Convolutions):
    """Weights that change in an episode by evolved Hebbian rules (arXiv 2007.02686).

    Each weight has a rule of its own, as in Najarro and Risi, "Meta-Learning through
    Hebbian Plasticity in Random Networks", NeurIPS 2020. Its initial value is a
    parameter, too; in the paper, it is drawn anew for each episode. Convolutions do not
    change.
    """

    hidden: tuple[Width, ...] = (32,)
    """Width of each hidden layer."""

    def build(self, spec: Spec) -> Policy:
        """Return the policy for the observations and actions of `spec`."""
        _check(self, "plastic", spec)
        layers = [*(f"hidden_{i}" for i in range(len(self.hidden))), "output"]

        def init_memory(params: Params) -> Memory:
            return {name: params[name]["kernel"] for name in layers}

        return networks.build(self, spec, "Plastic", init_memory)


@dataclasses.dataclass(frozen=True)
class _Stack:
    """Options of a stack of observations."""

    frames: Annotated[int, Interval(ge=2, le=2**16)] = 4
    """Number of observations, from the latest; at first, zeros take the place of those
    before the episode."""


@dataclasses.dataclass(frozen=True)
class Frames(Layers, Convolutions, _Stack):
    """A network that sees the last few observations at once, along their last axis."""

    hidden: tuple[Width, ...] = (64, 64)
    """Width of each hidden layer."""

    def build(self, spec: Spec) -> Policy:
        """Return the policy for the observations and actions of `spec`."""
        _check(self, "frames", spec)
        shape, count = spec.observation or (1,), self.frames
        wide = (*shape[:-1], count * shape[-1])
        single = dataclasses.replace(self, ensemble=1)
        seeing = networks.build(single, spec._replace(observation=wide))

        def stacking(network: Callable[..., Output] | None) -> Any:
            assert network is not None  # of layers

            def apply(*args: Any) -> tuple[Output, Memory]:
                *params, observation, memory = args
                stack = [*memory, observation.reshape(shape)]
                output = network(*params, jnp.concatenate(stack, axis=-1))
                return output, jnp.stack(stack[1:])

            return apply

        def init_memory(params: Params) -> Memory:
            return jnp.zeros((count - 1, *shape))

        policy = seeing._replace(
            apply=stacking(seeing.apply),
            apply_near=stacking(seeing.apply_near),
            init_memory=init_memory,
        )
        return policy if self.ensemble == 1 else ensemble(policy, self.ensemble)


def _recurrent(options: GRU | LSTM, name: str, cell: str, spec: Spec) -> Policy:
    """Return the policy with a recurrent cell of flax."""
    _check(options, name, spec)
    units = int(options.units)

    def init_memory(params: Params) -> Memory:
        from neuroevo.policies.flax_network import blank

        return blank(cell, units)

    return networks.build(
        options, spec, "Recurrent", init_memory, cell=cell, units=units
    )


def _check(options: Convolutions, name: str, spec: Spec) -> None:
    if options.channels:
        check_convolutions(name, options.channels, options.padding, spec.observation)
