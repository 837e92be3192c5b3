"""Initial kernels of networks."""

import math
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
