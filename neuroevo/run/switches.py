"""Pins JAX's switches, so that results do not depend on them.

Switches come from the environment (``JAX_ENABLE_X64=1``) or from the user's program,
which may need them for other computations. Hence they are changed only inside `pinned`,
and restored afterwards.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from neuroevo.core import keys

PINNED: Mapping[str, Any] = {
    **keys.SETTINGS,
    "jax_enable_x64": False,  # results are those of 32 bits
    # NaN marks values that were not evaluated or failed: see `run.debugging`.
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_disable_jit": False,  # devices share their work in compiled programs alone
    # On GPUs, JAX would multiply matrices in TF32, with ten bits of mantissa.
    "jax_default_matmul_precision": "highest",
    # The libraries of environments and strategies rely on these.
    "jax_numpy_rank_promotion": "allow",
    "jax_numpy_dtype_promotion": "standard",
}


@contextlib.contextmanager
def pinned() -> Iterator[dict[str, Any]]:
    """Set JAX's switches to fixed values in a block or, as a decorator, in a function.

    Yields:
        The previous values of the switches that were changed, by name, if they had one.

    Example:
        >>> import jax.numpy as jnp
        >>> with jax.numpy_rank_promotion("raise"), pinned() as others:
        ...     shape = (jnp.ones((2, 3)) + jnp.ones(3)).shape
        >>> shape, others
        ((2, 3), {'jax_numpy_rank_promotion': 'raise'})
    """
    others = {
        name: getattr(jax.config, name)
        for name, value in PINNED.items()
        if getattr(jax.config, name) != value
    }
    with contextlib.ExitStack() as stack:
        for name in others:
            switch = getattr(jax, name.removeprefix("jax_"))
            stack.enter_context(switch(PINNED[name]))
        yield {name: value for name, value in others.items() if value is not None}
