"""Products of an input with a kernel, for the layers of networks."""

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neuroevo.types import Array


def convolution(
    x: Array, kernel: Array, strides: Any, padding: str, **options: Any
) -> Array:
    """Return a convolution of stride 1, with the interface that `flax.linen` needs.

    It is one matrix product of all patches of the images with the kernel. On a CPU, XLA
    takes 6 to 60 times longer for the gradient of its own convolution (measured with
    jax 0.10, from 10x10 images of 4 channels to 28x28 of 16, one kernel and several).
    Only outputs alone, for many images of many channels, take XLA less time: 22 ms
    instead of 78 for 250 images of 28x28 with 16 channels.

    Args:
        x: (D, H, W, C) images.
        kernel: (h, w, C, O) the kernel; h and w are odd.
        strides: ones; there are no others here.
        padding: ``"SAME"`` or ``"VALID"``.
        **options: the other arguments of `jax.lax.conv_general_dilated`, all as flax
            leaves them by default.
    """
    del strides, options
    height, width, _, outputs = kernel.shape
    if padding == "SAME":
        margins = [(size // 2, size // 2) for size in (height, width)]
        x = jnp.pad(x, [(0, 0), *margins, (0, 0)])
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    shifted = [
        x[:, i : i + rows, j : j + columns] for i in range(height) for j in range(width)
    ]
    return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, outputs)


def product(x: Array, kernel: Array, *args: Any, **options: Any) -> Array:
    """Return ``x @ kernel`` for a vector, with the interface of `flax.linen.Dense`."""
    del args, options
    return _vector_matrix(x, kernel)


@jax.custom_batching.custom_vmap
def _vector_matrix(x: Array, kernel: Array) -> Array:
    return x @ kernel


@_vector_matrix.def_vmap
def _vector_matrix_vmap(
    size: int, batched: Sequence[bool], x: Array, kernel: Array
) -> tuple[Array, bool]:
    """Multiply a batch of vectors with one kernel by a product of its own."""
    del size
    x_batched, kernel_batched = batched
    if not kernel_batched:
        product = jnp.matmul if _twice.get() else _rows_matrix
        return product(x, kernel), True
    plain = jax.vmap(jnp.matmul, (0 if x_batched else None, 0))
    return plain(x, kernel), True


_twice = contextvars.ContextVar("differentiated twice", default=False)


@contextlib.contextmanager
def differentiated_twice() -> Iterator[None]:
    """Leave products as they are in what is traced within the block.

    The rule for their gradient, which pays off in training, makes the derivative of the
    training itself two to four times slower, as measured on a CPU.
    """
    token = _twice.set(True)
    try:
        yield
    finally:
        _twice.reset(token)


# Rows up to which the kernel's gradient is a sum of outer products: each is one more
# term to compile. It was measured on a CPU up to this number.
_FEW = 16


@jax.custom_jvp
def _rows_matrix(x: Array, kernel: Array) -> Array:
    return x @ kernel


@_rows_matrix.defjvp
def _rows_matrix_jvp(primals, tangents):
    """Differentiate so that the kernel's gradient can be fused with the optimizer.

    For few rows, a matrix product writes the gradient to memory for little arithmetic.
    A sum of outer products, term by term, becomes part of the optimizer's own loop,
    which makes training a policy on a few pairs about 1.3 times faster on a CPU. (Left
    as a reduction, jax 0.10 computes it with a library that is four times slower.)
    """
    (x, kernel), (dx, dkernel) = primals, tangents
    if len(x) <= _FEW:
        change = jnp.stack([jnp.sum(row[:, None] * dkernel, axis=0) for row in x])
    else:
        change = x @ dkernel
    return _rows_matrix(x, kernel), dx @ kernel + change
