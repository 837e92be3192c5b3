"""Action heads, which turn a network's output into an action, and matching losses.

The output is logits for discrete actions, and the mean and log standard deviation of a
Gaussian for a `Box`. Several discrete choices at once are independent given the output.
"""

import functools
import math
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp

from neuroevo.spaces import Box, Discrete, MultiDiscrete, best, split
from neuroevo.types import Action, Array, Head, Key, Loss

ActionChoice = Literal["sample", "greedy"]


def head(
    action: Discrete | MultiDiscrete | Box, choice: ActionChoice
) -> tuple[Head, Mapping[str, Loss]]:
    """Return the action head and the imitation losses for an action space.

    Args:
        action: the action space.
        choice: whether to draw actions or to take the most likely one.

    Returns:
        The head, and the losses by name; the first loss is the default.
    """
    if isinstance(action, Discrete):
        act = _sample_categorical if choice == "sample" else _argmax
        return act, {
            "cross_entropy": cross_entropy,
            "cross_entropy_per_class": cross_entropy_per_class,
        }
    if isinstance(action, MultiDiscrete):
        several = _sample_each if choice == "sample" else _best_of_each
        return functools.partial(several, action), {
            loss.__name__: functools.partial(_summed, action, loss)
            for loss in (cross_entropy, cross_entropy_per_class)
        }
    act_in_box = _sample_gaussian if choice == "sample" else _mean
    return act_in_box, {"nll": nll, "mse": mse, "clipped_mse": clipped_mse}


def _sample_categorical(logits: Array, key: Key) -> Action:
    return jax.random.categorical(key, logits)


def _argmax(logits: Array, key: Key) -> Action:
    del key
    return jnp.argmax(logits, axis=-1)


def _sample_each(action: MultiDiscrete, logits: Array, key: Key) -> Action:
    parts = split(logits, action.counts)
    drawn = [
        jax.random.categorical(own, part)
        for own, part in zip(jax.random.split(key, len(parts)), parts, strict=True)
    ]
    return jnp.stack(drawn)


def _best_of_each(action: MultiDiscrete, logits: Array, key: Key) -> Action:
    del key
    return best(logits, action)


def _summed(action: MultiDiscrete, loss: Loss, logits: Array, target: Array) -> Array:
    """Return the sum of a loss over the choices.

    Args:
        action: the choices.
        loss: the loss of one of them.
        logits: (D, n), n of all choices.
        target: (D, choices) integer labels or (D, n) probabilities.
    """
    if jnp.issubdtype(target.dtype, jnp.integer):
        targets = list(jnp.moveaxis(target, -1, 0))
    else:
        targets = split(target, action.counts)
    pairs = zip(split(logits, action.counts), targets, strict=True)
    return jnp.sum(jnp.stack([loss(*pair) for pair in pairs]))


def _sample_gaussian(output: tuple[Array, Array], key: Key) -> Action:
    mean, log_std = output
    return mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)


def _mean(output: tuple[Array, Array], key: Key) -> Action:
    del key
    return output[0]


def cross_entropy(logits: Array, target: Array) -> Array:
    """Return the cross-entropy, averaged over D rows.

    Behavior cloning by maximum likelihood (Pomerleau, "Efficient training of
    artificial neural networks for autonomous navigation", Neural Computation 3, 1991).

    Args:
        logits: (D, n).
        target: (D,) integer labels or (D, n) probabilities.
    """
    import optax

    if target.ndim < logits.ndim:
        target = jax.nn.one_hot(target, logits.shape[-1])
    return jnp.mean(optax.softmax_cross_entropy(logits, target))


def cross_entropy_per_class(logits: Array, target: Array) -> Array:
    """Return the cross-entropy, averaged over D rows and n classes.

    This is the convention of the code published with HaDES (Lupu et al., arXiv
    2406.15042). The gradient is n times smaller, for which Adam almost compensates, but
    plain SGD does not. The arguments are those of `cross_entropy`.
    """
    return cross_entropy(logits, target) / logits.shape[-1]


def nll(output: tuple[Array, Array], target: Array) -> Array:
    """Return the Gaussian negative log-likelihood, averaged over D rows.

    This is the loss of HaDES for continuous actions (Lupu et al., arXiv 2406.15042). It
    also fits the standard deviation, which has no lower bound: it shrinks as long as
    training continues.

    Args:
        output: mean and log standard deviation, each (D, *action).
        target: (D, *action).
    """
    mean, log_std = output
    error = (target - mean) * jnp.exp(-log_std)
    each = 0.5 * error**2 + log_std + 0.5 * math.log(2 * math.pi)
    return jnp.mean(_sum_per_row(each))


def mse(output: tuple[Array, Array], target: Array) -> Array:
    """Return the squared error of the mean, summed per row and averaged over D rows.

    Behavior cloning by least squares; the standard deviation keeps its initial value.
    The arguments are those of `nll`.
    """
    mean, _ = output
    return jnp.mean(_sum_per_row((target - mean) ** 2))


def clipped_mse(output: tuple[Array, Array], target: Array) -> Array:
    """Return the squared error of the clipped mean, as environments clip actions.

    A mean beyond the bound that its target lies at is as good as the bound. Elsewhere
    it is `mse`, whose gradient does not vanish for a mean beyond the other bound. The
    arguments are those of `nll`.
    """
    mean, _ = output
    as_good = (jnp.abs(target) >= 1) & (mean * target >= 1)
    error = jnp.where(as_good, 0.0, target - mean)
    return jnp.mean(_sum_per_row(error**2))


def _sum_per_row(x: Array) -> Array:
    return jnp.sum(x, axis=tuple(range(1, x.ndim)))
