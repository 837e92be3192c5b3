"""Initial kernels of networks, and the product of an input with a kernel."""

import contextlib
import contextvars
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neuroevo.types import Array, Key


def orthogonal(
    key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32, *, gain: float = 1.0
) -> Array:
    """Return a random (semi-)orthogonal kernel, without a QR decomposition.

    LAPACK's QR is very slow or hangs in programs for several CPU devices. A product of
    Householder reflections of Gaussian vectors, each one entry shorter than the last,
    has the same (Haar) distribution as the orthogonal factor of a QR decomposition
    (Stewart, "The efficient generation of random orthogonal matrices", SIAM J. Numer.
    Anal. 17, 1980) and costs no more.

    Args:
        key: PRNG key.
        shape: shape of the kernel; the last axis counts outputs, and all other axes are
            flattened, as in flax.
        dtype: type of the result.
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
