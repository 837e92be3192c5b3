"""Optimizers that train a policy, and loops, both of which can be differentiated.

They compute what those of optax compute. Their derivatives are finite as well where a
gradient is exactly zero, as that of a unit that is never active.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from neuroevo.types import Array

if TYPE_CHECKING:
    import optax

T = TypeVar("T")

REFERENCE_FAN_IN = 64
"""Inputs of a kernel up to which `scale_by_fan_in` leaves its updates as they are."""


def scale_by_adam(*, eps: float) -> "optax.GradientTransformation":
    """Return Adam's rule without a learning rate, as ``optax.scale_by_adam``.

    Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv
    1412.6980.
    """
    import optax

    adam = optax.scale_by_adam(eps=eps)

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        count = state.count + 1
        mu = optax.tree.update_moment(gradients, state.mu, 0.9, 1)
        nu = optax.tree.update_moment_per_elem_norm(gradients, state.nu, 0.999, 2)
        mu_hat = optax.tree.bias_correction(mu, 0.9, count)
        nu_hat = optax.tree.bias_correction(nu, 0.999, count)
        updates = jax.tree.map(lambda m, v: m / (sqrt(v) + eps), mu_hat, nu_hat)
        return updates, state._replace(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(adam.init, update)


class PerInput(NamedTuple):
    """The state of `scale_by_fan_in`: a factor for each array of the parameters."""

    factors: Any


def scale_by_fan_in() -> "optax.GradientTransformation":
    """Return a rule that divides the update of a wide kernel by its number of inputs.

    With Adam, every weight moves about as far in a step, so that the weighted sum of a
    unit's inputs moves in proportion to their number. With this rule, the sum moves as
    far whatever their number is, and networks of all widths learn about as fast (Yang
    et al., "Tensor Programs V", 2022, arXiv 2203.03466). Biases, and kernels of at most
    `REFERENCE_FAN_IN` inputs, are updated as without it. Inputs whose weights are all
    zero at first do not count: narrow networks may be padded with them.
    """
    import optax

    def factor(x: Array) -> Array:
        if x.ndim < 2:
            return jnp.ones(())
        used = jnp.any(x != 0, axis=-1)
        count = jnp.where(jnp.any(used), used.sum(), used.size)
        return jnp.minimum(1.0, REFERENCE_FAN_IN / count)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        return jax.tree.map(jnp.multiply, updates, state.factors), state

    return optax.GradientTransformation(
        lambda params: PerInput(jax.tree.map(factor, params)), update
    )


def clip_by_global_norm(most: float) -> "optax.GradientTransformation":
    """Return a limit on the global norm, as ``optax.clip_by_global_norm``.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural
    networks", ICML 2013, arXiv 1211.5063.
    """
    import optax

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        norm = sqrt(optax.tree.norm(gradients, squared=True))
        small = norm < most
        divisor = jnp.where(small, 1.0, norm)
        clipped = jax.tree.map(
            lambda g: jax.lax.select(small, g, (g / divisor) * most), gradients
        )
        return clipped, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


@jax.custom_jvp
def sqrt(x: Array) -> Array:
    """Return the square root, with derivative zero at zero."""
    return jnp.sqrt(x)


@sqrt.defjvp
def _sqrt_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    root = sqrt(x)
    positive = x > 0
    return root, jnp.where(positive, 0.5 / jnp.where(positive, root, 1), 0) * dx


def loop(steps: int | Array, update: Callable[[Array, T], T], carry: T) -> T:
    """Return `carry` after ``update(step, carry)`` for each of the steps from 0."""
    return jax.lax.fori_loop(0, steps, update, carry)


def checkpointed_loop(
    steps: int | Array,
    update: Callable[[Array, T], T],
    carry: T,
    most: int | None = None,
) -> T:
    """Return what `loop` returns, with less memory for its derivative.

    Reverse mode keeps the carry of about every sqrt(steps)-th step, and computes what
    lies between them once more (Chen, Xu, Zhang and Guestrin, "Training deep nets with
    sublinear memory cost", arXiv 1604.06174).

    Args:
        steps: the number of steps.
        update: the step.
        carry: the start.
        most: if `steps` is traced, a number that it does not exceed.
    """
    if most is not None:
        return checkpointed_loop(most, _up_to(steps, update), carry)
    if not isinstance(steps, int):
        raise TypeError("the derivative of a traced number of steps needs its maximum")
    length = segment_length(steps)

    def segment(first: Array | int, carry: T, length: int) -> T:
        run = jax.checkpoint(
            lambda first, carry: loop(length, lambda i, c: update(first + i, c), carry)
        )
        return run(first, carry)

    count, rest = divmod(steps, length)
    carry = loop(count, lambda i, carry: segment(i * length, carry, length), carry)
    return segment(count * length, carry, rest) if rest else carry


def _up_to(
    steps: int | Array, update: Callable[[Array, T], T]
) -> Callable[[Array, T], T]:
    """Return `update` as a step that changes nothing from step `steps` on."""
    return lambda i, carry: jax.lax.cond(i < steps, update, lambda i, c: c, i, carry)


def segment_length(steps: int) -> int:
    """Return a number of steps near sqrt(steps) that divides `steps` where one does."""
    root = max(1, math.isqrt(steps))
    return next((n for n in range(root, 2 * root) if steps % n == 0), root)
