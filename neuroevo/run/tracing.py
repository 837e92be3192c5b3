"""Traces the functions of parts, and says in one line what does not fit.

The functions get abstract values (``jax.eval_shape``); nothing is computed. Errors that
a part's own code raises pass through, with a note about the call.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.errors import UserError, type_in_words

Shapes = Any  # pytree of jax.ShapeDtypeStruct


def trace(name: str, function: Callable[..., Any], *args: Any) -> Any:
    """Return the shapes of what a part's function returns.

    Raises:
        UserError: if a result contains anything but arrays and Python numbers.
    """

    def call(*args):
        results = function(*args)
        for path, leaf in jax.tree_util.tree_leaves_with_path(results):
            if not _is_array(leaf):
                fail(name, f"arrays{at_path(path)}", type_in_words(leaf))
        return results

    try:
        return jax.eval_shape(call, *args)
    except UserError:
        raise
    except Exception as error:
        error.add_note(f"neuroevo was tracing {name} with {_describe(args)}")
        raise


def results(
    name: str, function: Callable[..., Any], expected: tuple[str, ...], *args: Any
) -> tuple[Any, ...]:
    """Return the results of `trace`, if their number is that of `expected`."""
    found = trace(name, function, *args)
    if not isinstance(found, tuple | list) or len(found) != len(expected):
        several = isinstance(found, tuple | list)
        got = f"{len(found)} results" if several else short(found)
        fail(name, f"{len(expected)} results ({', '.join(expected)})", got)
    return tuple(found)


def check_array(
    name: str, what: str, found: Any, shape: tuple[int, ...], kind: str
) -> None:
    """Raise a `UserError` unless `found` is an array of the given shape and kind."""
    dtype = getattr(found, "dtype", None)
    example, *kinds = _KINDS[kind]
    fits = dtype is not None and any(jnp.issubdtype(dtype, each) for each in kinds)
    if not fits or found.shape != tuple(shape):
        wanted = jax.ShapeDtypeStruct(tuple(shape), example)
        fail(name, f"{what}, {short(wanted)}", short(found))


_KINDS: dict[str, tuple[Any, ...]] = {  # an example, and all that will do
    "real": (jnp.float32, jnp.floating, jnp.integer, jnp.bool_),
    "boolean": (jnp.bool_, jnp.bool_, jnp.floating, jnp.integer),
    "integer": (jnp.int32, jnp.integer),
    "mask": (jnp.bool_, jnp.bool_),
}


def check_like(name: str, what: str, expected: Shapes, found: Any) -> None:
    """Raise a `UserError` unless `found` has the structure and shapes of `expected`."""
    structure: Any = jax.tree.structure(expected)
    own: Any = jax.tree.structure(found)
    if structure != own:
        fail(name, f"{what}, of {_cut(structure)}", _cut(own))
    leaves = jax.tree_util.tree_leaves_with_path(expected)
    for (path, wanted), leaf in zip(leaves, jax.tree.leaves(found), strict=True):
        if (wanted.dtype, wanted.shape) != (leaf.dtype, leaf.shape):
            fail(name, f"{what}, with {short(wanted)}{at_path(path)}", short(leaf))


def check_bounds(name: str, bounds: Any, genome: Shapes) -> None:
    """Raise a `UserError` unless there are two bounds for every gene, in order."""
    if not isinstance(bounds, tuple) or len(bounds) != 2:
        fail(name, "a tuple of the lowest and the highest values", short(bounds))
    wanted: Any = jax.tree.structure(genome)
    for end in bounds:
        found: Any = jax.tree.structure(end)
        if found != wanted:
            fail(name, f"pytrees like the genome, of {_cut(wanted)}", _cut(found))
    for (path, leaf), low, high in zip(
        jax.tree_util.tree_leaves_with_path(genome),
        *map(jax.tree.leaves, bounds),
        strict=True,
    ):
        for end in (low, high):
            try:
                np.broadcast_to(end, leaf.shape)
            except ValueError:
                what = f"a number or an array of shape {leaf.shape}{at_path(path)}"
                fail(name, what, f"one of shape {np.shape(end)}")
        if not np.all(np.asarray(low) <= np.asarray(high)):
            fail(name, f"the lowest values first{at_path(path)}", "higher ones first")


def fail(name: str, expected: str, found: Any) -> NoReturn:
    """Raise a `UserError` that says what was expected, and what was found."""
    text = found if isinstance(found, str) else repr(found)
    raise UserError(f"{name}: expected {expected}; got {text}")


# --- words ----------------------------------------------------------------------------


def _is_array(value: Any) -> bool:
    """Return whether JAX accepts `value` as an array."""
    if isinstance(value, bool | int | float | complex | jax.Array):
        return True
    return isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufcV"


def short(value: Any) -> str:
    """Return the type of an array, such as ``float32[4]``, or of another value."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}{list(value.shape)}".replace("[]", "[] (a scalar)")
    return type_in_words(value)


def _describe(args: Sequence[Any]) -> str:
    return ", ".join(map(short, args))


def at_path(path: tuple[Any, ...]) -> str:
    """Return where in a pytree something is, in words."""
    return f" at {jax.tree_util.keystr(path)}" if path else ""


def _cut(structure: Any) -> str:
    text = str(structure).removeprefix("PyTreeDef(").removesuffix(")")
    return text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}"


def integer(value: Any) -> int | None:
    """Return `value` as a Python integer if it is an integer of Python or numpy."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
