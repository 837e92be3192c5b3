"""Policies: small flax networks with an action head and its imitation losses.

The head follows from the action space: logits for `Discrete`, a Gaussian with a learned
standard deviation that does not depend on the state for `Box`. To add a network, write
a frozen dataclass with a ``build(spec) -> Policy`` and register it in the entry-point
group ``neuroevo.policies``; `head` gives it the action side.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.types import Action, Array, Key, Output, Policy

Activation = Literal["tanh", "relu", "gelu", "silu", "elu"]
KernelInit = Literal["orthogonal", "lecun"]
ActionChoice = Literal["sample", "greedy"]


@dataclasses.dataclass(frozen=True)
class MLP:
    """Fully connected network; observations of any shape are flattened."""

    hidden: tuple[int, ...] = (64, 64)
    """Width of each hidden layer; none at all makes the policy linear."""
    activation: Activation = "tanh"
    """Nonlinearity of the hidden layers."""
    kernel_init: KernelInit = "orthogonal"
    """Initial weights: orthogonal (gain sqrt(2), output 0.01) or LeCun normal."""
    action: ActionChoice = "sample"
    """Draw actions from the policy's distribution, or take its mode."""
    log_std_init: float = 0.0
    """Initial log standard deviation of continuous actions."""

    def build(self, spec: Spec) -> Policy:
        """Return the policy for the observations and actions of `spec`.

        Raises:
            UserError: if a layer has no units.
        """
        return _build(self, spec, channels=())


@dataclasses.dataclass(frozen=True)
class CNN:
    """Convolutional network for images, sized for MinAtar's 10x10 (arXiv 1903.03176).

    Convolutions are 3x3 with stride 1 and no padding, as in MinAtar's own networks.
    """

    channels: tuple[int, ...] = (16,)
    """Number of filters of each convolution."""
    hidden: tuple[int, ...] = (128,)
    """Width of each hidden layer after the convolutions."""
    activation: Activation = "relu"
    """Nonlinearity of the convolutions and hidden layers."""
    kernel_init: KernelInit = "orthogonal"
    """Initial weights: orthogonal (gain sqrt(2), output 0.01) or LeCun normal."""
    action: ActionChoice = "sample"
    """Draw actions from the policy's distribution, or take its mode."""
    log_std_init: float = 0.0
    """Initial log standard deviation of continuous actions."""

    def build(self, spec: Spec) -> Policy:
        """Return the policy for the images and actions of `spec`.

        Raises:
            UserError: if the observation is not an image (height, width, channels), if
                it is too small for the convolutions, or if a layer has no units.
        """
        shape = spec.observation
        if len(shape) != 3:
            raise UserError(
                f"policy cnn needs image observations (height, width, channels), but "
                f"this environment's have shape {shape}; use --policy mlp"
            )
        if not self.channels:
            raise UserError(
                "policy.channels is empty: name at least one convolution, or use "
                "--policy mlp"
            )
        if min(shape[:2]) <= 2 * len(self.channels):
            raise UserError(
                f"policy.channels: an image of shape {shape} leaves room for "
                f"{(min(shape[:2]) - 1) // 2} convolutions of 3x3, got "
                f"{len(self.channels)}; use fewer or --policy mlp"
            )
        return _build(self, spec, self.channels)


def _build(options: MLP | CNN, spec: Spec, channels: tuple[int, ...]) -> Policy:
    network = _network(options, spec, channels)
    activation = getattr(nn, options.activation)
    act, losses = head(spec.action, options.action)

    def init(key: Key) -> Mapping[str, Any]:
        return network.init(key, jnp.zeros(spec.observation), activation)["params"]

    def apply(params: Mapping[str, Any], observation: Array) -> Output:
        return network.apply({"params": params}, observation, activation)

    return Policy(init, apply, act, losses)


def with_activation_in_params(
    options: MLP, activations: Sequence[Activation], spec: Spec
) -> Policy:
    """Return the policy of `options` with one of `activations`, which its params name.

    The parameters are ``{"activation": i, "network": params}``. So networks of several
    activations go through one program, and narrower ones too: with zeros appended to
    their parameters, because every activation is zero at zero.
    """
    policy = options.build(spec)
    network = _network(options, spec, channels=())
    functions = [getattr(nn, name) for name in activations]

    def init(key: Key) -> Mapping[str, Any]:
        return {"activation": jnp.int32(0), "network": policy.init(key)}

    def apply(params: Mapping[str, Any], observation: Array) -> Output:
        def activation(x: Array) -> Array:
            return jax.lax.select_n(params["activation"], *(f(x) for f in functions))

        return network.apply({"params": params["network"]}, observation, activation)

    return policy._replace(init=init, apply=apply)


def _network(options: MLP | CNN, spec: Spec, channels: tuple[int, ...]) -> "_Network":
    for name, widths in (("channels", channels), ("hidden", options.hidden)):
        if any(width < 1 for width in widths):
            raise UserError(
                f"policy.{name}: every layer needs at least 1 unit, got {widths}"
            )
    return _Network(
        action=spec.action,
        channels=channels,
        hidden=options.hidden,
        kernel_init=options.kernel_init,
        log_std_init=options.log_std_init,
    )


class _Network(nn.Module):
    """Convolutions, hidden layers and output for one observation (no batch axis)."""

    action: Discrete | Box
    channels: tuple[int, ...]
    hidden: tuple[int, ...]
    kernel_init: KernelInit
    log_std_init: float

    @nn.compact
    def __call__(self, x: Array, activation: Callable[[Array], Array]) -> Output:
        for i, width in enumerate(self.channels):
            conv = nn.Conv(
                width,
                (3, 3),
                padding="VALID",
                kernel_init=self.kernel(math.sqrt(2)),
                name=f"conv_{i}",
            )
            x = activation(conv(x))
        x = x.ravel()
        for i, width in enumerate(self.hidden):
            dense = self.dense(width, math.sqrt(2), name=f"hidden_{i}")
            x = activation(dense(x))
        # A small gain makes every action about equally likely at first.
        output = functools.partial(self.dense, gain=0.01, name="output")
        if isinstance(self.action, Discrete):
            return output(self.action.n)(x)
        shape = self.action.shape
        mean = output(math.prod(shape))(x).reshape(shape)
        log_std = self.param(
            "log_std", nn.initializers.constant(self.log_std_init), shape
        )
        return mean, log_std

    def dense(self, width: int, gain: float, name: str) -> nn.Dense:
        return nn.Dense(
            width, kernel_init=self.kernel(gain), dot_general=_product, name=name
        )

    def kernel(self, gain: float) -> Callable[..., Array]:
        if self.kernel_init == "orthogonal":
            return functools.partial(orthogonal, gain=gain)
        return nn.initializers.lecun_normal()


def _product(x: Array, kernel: Array, *args: Any, **options: Any) -> Array:
    """Return ``x @ kernel`` for a vector, as `flax.linen.Dense` asks for it."""
    del args, options
    return _vector_matrix(x, kernel)


@jax.custom_jvp
def _vector_matrix(x: Array, kernel: Array) -> Array:
    return x @ kernel


@_vector_matrix.defjvp
def _vector_matrix_jvp(primals, tangents):
    """Differentiate so that the kernel's gradient comes in the kernel's own layout.

    The gradient that JAX derives is a transposed product. Written back in the other
    order it makes training a policy on few pairs two to five times as slow on a CPU.
    """
    (x, kernel), (dx, dkernel) = primals, tangents
    change = dx @ kernel + jnp.sum(x[:, None] * dkernel, axis=0)
    return _vector_matrix(x, kernel), change


def orthogonal(
    key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32, *, gain: float = 1.0
) -> Array:
    """Return a random (semi-)orthogonal kernel, without a QR decomposition.

    LAPACK's QR crawls or hangs in programs for several CPU devices. A product of
    Householder reflections of Gaussian vectors, each one entry shorter than the last,
    has the very distribution of the QR's orthogonal factor (Haar; Stewart, "The
    efficient generation of random orthogonal matrices", SIAM J. Numer. Anal. 17, 1980)
    and costs no more.

    Args:
        key: PRNG key.
        shape: the last axis counts outputs, all others are flattened, as flax does.
        dtype: of the result.
        gain: factor on the orthogonal matrix.

    Returns:
        An array of `shape` whose matrix (inputs, outputs) has orthogonal columns, or
        rows if there are fewer of them, of norm `gain`.
    """
    inputs, outputs = math.prod(shape[:-1]), shape[-1]
    rows, columns = max(inputs, outputs), min(inputs, outputs)
    # Column k is a Gaussian vector x in the coordinates k, k + 1, …; its reflection,
    # along v = x + sign(x_k) |x| e_k, maps x onto the axis e_k.
    x = jnp.tril(jax.random.normal(key, (rows, columns)))
    sign = jnp.where(jnp.diagonal(x) < 0, -1.0, 1.0)
    norm = jnp.maximum(jnp.linalg.norm(x, axis=0), jnp.finfo(x.dtype).tiny)
    v = x + jnp.eye(rows, columns) * (sign * norm)
    v = v / jnp.linalg.norm(v, axis=0)

    def reflect(i: Array, q: Array) -> Array:
        v_k = v[:, columns - 1 - i]
        return q - 2 * jnp.outer(v_k, jnp.matmul(v_k, q, precision="highest"))

    q = jax.lax.fori_loop(0, columns, reflect, jnp.eye(rows, columns))
    q = q * -sign  # now the column k of the first k reflections points along x
    if inputs < outputs:
        q = q.T
    return (gain * q).reshape(shape).astype(dtype)


# ----------------------------------------------------------------------------- heads

Loss = Callable[[Output, Array], Array]


def head(
    action: Discrete | Box, choice: ActionChoice
) -> tuple[Callable[[Output, Key], Action], dict[str, Loss]]:
    """Return ``act(output, key)`` and the imitation losses for an action space."""
    if isinstance(action, Discrete):
        acts = {"sample": _sample_categorical, "greedy": _argmax}
        losses = {
            "cross_entropy": cross_entropy,
            "cross_entropy_per_class": cross_entropy_per_class,
        }
    else:
        acts = {"sample": _sample_gaussian, "greedy": _mean}
        losses = {"nll": nll, "mse": mse}
    return acts[choice], losses


def _sample_categorical(logits: Array, key: Key) -> Action:
    return jax.random.categorical(key, logits)


def _argmax(logits: Array, key: Key) -> Action:
    del key
    return jnp.argmax(logits, axis=-1)


def _sample_gaussian(output: tuple[Array, Array], key: Key) -> Action:
    mean, log_std = output
    return mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)


def _mean(output: tuple[Array, Array], key: Key) -> Action:
    del key
    return output[0]


def cross_entropy(logits: Array, target: Array) -> Array:
    """Return the cross-entropy, the mean over D rows.

    Behavior cloning by maximum likelihood (Pomerleau, "Efficient training of
    artificial neural networks for autonomous navigation", Neural Computation 3, 1991).

    Args:
        logits: (D, n).
        target: (D,) integer labels or (D, n) probabilities.
    """
    if target.ndim < logits.ndim:
        target = jax.nn.one_hot(target, logits.shape[-1])
    return jnp.mean(optax.softmax_cross_entropy(logits, target))


def cross_entropy_per_class(logits: Array, target: Array) -> Array:
    """Return the cross-entropy, the mean over D rows and n classes.

    The convention of the code published with HaDES (Lupu et al., arXiv 2406.15042): a
    gradient n times smaller, which Adam almost undoes and plain SGD does not. The
    arguments are those of `cross_entropy`.
    """
    return cross_entropy(logits, target) / logits.shape[-1]


def nll(output: tuple[Array, Array], target: Array) -> Array:
    """Return the Gaussian negative log-likelihood, the mean over D rows.

    The loss of HaDES for continuous actions (Lupu et al., arXiv 2406.15042). It also
    fits the standard deviation, which has no lower bound: it shrinks for as long as
    training goes on.

    Args:
        output: mean and log standard deviation, each (D, *action).
        target: (D, *action).
    """
    mean, log_std = output
    error = (target - mean) * jnp.exp(-log_std)
    each = 0.5 * error**2 + log_std + 0.5 * math.log(2 * math.pi)
    return jnp.mean(_sum_per_row(each))


def mse(output: tuple[Array, Array], target: Array) -> Array:
    """Return the squared error of the mean, summed per row, the mean over D rows.

    Behavior cloning by least squares; the standard deviation keeps its initial value.
    The arguments are those of `nll`.
    """
    mean, _ = output
    return jnp.mean(_sum_per_row((target - mean) ** 2))


def _sum_per_row(x: Array) -> Array:
    return jnp.sum(x, axis=tuple(range(1, x.ndim)))
