"""Policies: small flax networks with an action head and its imitation losses.

The head follows from the action space: logits for `Discrete`, a Gaussian with a learned
standard deviation that does not depend on the state for `Box`. To add a network, write
a frozen dataclass with a method ``build(spec) -> Policy``, and register it in the
entry-point group ``neuroevo.policies``; `head` provides its action head and losses.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import jax
import jax.numpy as jnp
from annotated_types import MinLen

from neuroevo.differences import Difference
from neuroevo.errors import UserError
from neuroevo.policies.ensembles import ensemble
from neuroevo.policies.heads import head
from neuroevo.policies.options import (
    Activation,
    Convolutions,
    Layers,
    Width,
    check_convolutions,
)
from neuroevo.spaces import Spec, pad
from neuroevo.types import (
    Array,
    InitMemory,
    Key,
    Memory,
    Output,
    Params,
    Policy,
)

if TYPE_CHECKING:
    from neuroevo.policies.flax_network import Network


@dataclasses.dataclass(frozen=True)
class MLP(Layers):
    """Fully connected network; flattens observations of any shape."""

    hidden: tuple[Width, ...] = (64, 64)
    """Width of each hidden layer; without any, the policy is linear."""
    vary_widths: tuple[Width, ...] = ()
    """In a search, each network's hidden layers have one of these widths."""
    vary_depths: tuple[Width, ...] = ()
    """In a search, each network has one of these numbers of hidden layers."""
    vary_activations: tuple[Activation, ...] = ()
    """In a search, each network has one of these nonlinearities."""

    def build(self, spec: Spec) -> Policy:
        """Return the policy for the observations and actions of `spec`."""
        if self == self.settled():
            return build(self, spec)
        return varied(self, spec)

    def settled(self) -> "MLP":
        """Return the options without what varies in a search."""
        return dataclasses.replace(
            self, vary_widths=(), vary_depths=(), vary_activations=()
        )


@dataclasses.dataclass(frozen=True)
class CNN(Layers, Convolutions):
    """Convolutional network for images, sized for MinAtar's 10x10 (arXiv 1903.03176).

    Convolutions are 3x3 with stride 1 and, as in MinAtar's own networks, no padding.
    """

    channels: Annotated[tuple[Width, ...], MinLen(1)] = (16,)
    """Number of filters of each convolution."""
    hidden: tuple[Width, ...] = (128,)
    """Width of each hidden layer after the convolutions."""
    activation: Activation = "relu"
    """Nonlinearity of the convolutions and hidden layers."""

    def build(self, spec: Spec) -> Policy:
        """Return the policy for the images and actions of `spec`.

        Raises:
            UserError: if the observation is not an image (height, width, channels), or
                if it is too small for the convolutions.
        """
        check_convolutions("cnn", self.channels, self.padding, spec.observation)
        return build(self, spec)


def build(
    options: Layers,
    spec: Spec,
    kind: str = "Network",
    init_memory: InitMemory | None = None,
    **fields: Any,
) -> Policy:
    """Return the policy of a network for `spec`, or of an ensemble of them.

    Args:
        options: the layers.
        spec: observations and actions.
        kind: the network, a module of `flax_network`.
        init_memory: for a network with memory, returns it at the start of an episode.
        **fields: further fields of the module.
    """
    import flax.linen as nn  # help does without flax

    network = make_network(options, spec, kind, **fields)
    activation = getattr(nn, options.activation)
    act, losses = head(spec.action, options.action)

    def init(key: Key) -> Mapping[str, Any]:
        return network.init(key, jnp.zeros(spec.observation), activation)["params"]

    def apply(params: Mapping[str, Any], observation: Array, *memory: Memory) -> Any:
        return network.apply({"params": params}, observation, activation, *memory)

    def near(params: Params, difference: Difference, *args: Any) -> Any:
        from neuroevo.policies.near import apply_near

        observation, *memory = args
        unfused = network.unfused()
        return apply_near(unfused, params, difference, observation, activation, *memory)

    policy = Policy(
        init,
        apply,
        act,
        losses,
        init_memory=init_memory,
        apply_near=near if network.layered else None,
    )
    return policy if options.ensemble == 1 else ensemble(policy, options.ensemble)


def flexible(options: MLP, activations: Sequence[Activation], spec: Spec) -> Policy:
    """Return the policy of `options`, whose parameters select the kind of network.

    Beside those of the network, it has the parameters ``activation``, an index into
    `activations`, and ``depth``, the number of hidden layers in use. They are floats
    without a derivative, so that training keeps them as they are. One program thus
    serves several networks: narrower ones, too, with zeros appended to their
    parameters. Every activation is zero at zero, so that the zeros neither change the
    outputs nor have a gradient.
    """
    import flax.linen as nn

    single = dataclasses.replace(options, ensemble=1)
    plain = build(single, spec)
    network = make_network(single, spec)
    functions = [getattr(nn, name) for name in activations]

    def init(key: Key) -> Mapping[str, Any]:
        depth = jnp.float32(len(options.hidden))
        return {**plain.init(key), "activation": jnp.float32(0), "depth": depth}

    def apply(params: Mapping[str, Any], observation: Array) -> Output:
        own = {name: part for name, part in params.items() if name not in _SELECTING}
        index = params["activation"].astype(jnp.int32)

        def activation(x: Array) -> Array:
            return jax.lax.select_n(index, *(f(x) for f in functions))

        return network.apply({"params": own}, observation, activation, params["depth"])

    policy = plain._replace(init=init, apply=apply, apply_near=None)
    return policy if options.ensemble == 1 else ensemble(policy, options.ensemble)


_SELECTING = ("activation", "depth")


def varied(options: MLP, spec: Spec) -> Policy:
    """Return the policy whose every fresh network is of a kind drawn at random."""
    activations = options.vary_activations or (options.activation,)
    depths = options.vary_depths or (len(options.hidden),)
    kinds = [options.hidden]
    if options.vary_widths or options.vary_depths:
        widths = options.vary_widths or tuple(dict.fromkeys(options.hidden))
        if len(widths) != 1 and not options.vary_widths:
            raise UserError(
                "policy.vary_depths: expected hidden layers of one width, got "
                f"{options.hidden}; use --policy.vary-widths"
            )
        kinds = [(width,) * max(depths) for width in widths]
    plain = dataclasses.replace(options.settled(), ensemble=1)
    widest = dataclasses.replace(plain, hidden=max(kinds))
    policy = flexible(widest, activations, spec)
    as_wide = build(widest, spec).init

    def fresh(hidden: tuple[int, ...], key: Key) -> Mapping[str, Any]:
        like = jax.eval_shape(as_wide, key)
        network = build(dataclasses.replace(plain, hidden=hidden), spec)
        return jax.tree.map(lambda x, to: pad(x, to.shape), network.init(key), like)

    def init(key: Key) -> Mapping[str, Any]:
        key, *draws = jax.random.split(key, 4)
        kind, depth, activation = (
            jax.random.randint(draw, (), 0, len(some))
            for draw, some in zip(draws, (kinds, depths, activations), strict=True)
        )
        inits = [functools.partial(fresh, hidden) for hidden in kinds]
        return {
            **jax.lax.switch(kind, inits, key),
            "activation": activation.astype(jnp.float32),
            "depth": jnp.asarray(depths, jnp.float32)[depth],
        }

    policy = policy._replace(init=init)
    return policy if options.ensemble == 1 else ensemble(policy, options.ensemble)


def make_network(
    options: Layers, spec: Spec, kind: str = "Network", **fields: Any
) -> "Network":
    """Return the flax module of a kind in `flax_network` for `options` and `spec`."""
    from neuroevo.policies import flax_network

    return getattr(flax_network, kind)(
        action=spec.action,
        channels=tuple(map(int, getattr(options, "channels", ()))),
        hidden=tuple(map(int, options.hidden)),
        kernel_init=options.kernel_init,
        log_std_init=options.log_std_init,
        padding=getattr(options, "padding", "valid"),
        **fields,
    )
