"""Makes one array of floats of whatever an environment shows.

Networks see one float32 array. An environment may show any pytree of numbers: dicts,
tuples, named tuples; floats, integers, bools.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neuroevo.errors import UserError, type_in_words
from neuroevo.types import Array


def flatten(observation: Any, counts: Any = None, *, name: str | None = None) -> Array:
    """Return an observation as one float32 array.

    A single array keeps its shape, and a single number gets the shape (1,). Several
    arrays are flattened and put one after the other, in the order of
    ``jax.tree.leaves``: a dict's by key.

    Args:
        observation: a pytree of numbers.
        counts: a pytree with the same paths: n where an integer is one of ``0 … n -
            1``, which becomes n numbers (one-hot), and 0 for other numbers. None: there
            are no such integers.
        name: name of the environment, for messages.

    Raises:
        UserError: if the observation contains anything but real numbers, or nothing.

    Example:
        >>> seen = {"goal": jnp.array([0.5, 2.0]), "kind": 1, "lit": True}
        >>> flatten(seen).tolist()
        [0.5, 2.0, 1.0, 1.0]
        >>> flatten(seen, {"goal": 0, "kind": 3, "lit": 0}).tolist()
        [0.5, 2.0, 0.0, 1.0, 0.0, 1.0]
    """
    leaves = [_floats(leaf, n) for _, leaf, n in _leaves(observation, counts, name)]
    if len(leaves) == 1:
        return leaves[0]
    return jnp.concatenate([leaf.reshape(-1) for leaf in leaves])


def names(observation: Any, counts: Any = None) -> tuple[str, ...] | None:
    """Return names of the features that `flatten` makes, along the last axis.

    Args:
        observation: as for `flatten`; its arrays may be abstract.
        counts: as for `flatten`.

    Returns:
        Names by path; None for a single array, which has no path.

    Example:
        >>> seen = {"goal": jnp.array([0.5, 2.0]), "kind": 1}
        >>> names(seen, {"goal": 0, "kind": 3})
        ('goal[0]', 'goal[1]', 'kind=0', 'kind=1', 'kind=2')
    """
    leaves = _leaves(observation, counts, None)
    if len(leaves) == 1:
        path, leaf, n = leaves[0]
        # Along the last axis alone, as for the channels of an image.
        return tuple(_names(path, jnp.shape(leaf)[-1:], n)) if path else None
    each = (_names(path, jnp.shape(leaf), n) for path, leaf, n in leaves)
    return tuple(itertools.chain.from_iterable(each))


def _leaves(observation: Any, counts: Any, name: str | None) -> list[tuple]:
    """Return the path, the array and the count of each leaf."""
    found = _by_path(observation)
    whose = f"environment {name}: its observation" if name else "the observation"
    if not found:
        raise UserError(f"{whose} is empty; expected at least one number")
    for path, leaf in found.items():
        if not _is_real(leaf):
            at = f" at {path}" if path else ""
            raise UserError(
                f"{whose} has {type_in_words(leaf)}{at}; expected arrays of real "
                "numbers"
            )
    known = dict.fromkeys(found, 0) if counts is None else _by_path(counts)
    if known.keys() != found.keys():
        raise UserError(
            f"{whose} has {_list(found)}; its declared space has {_list(known)}"
        )
    return [(path, leaf, int(known[path])) for path, leaf in found.items()]


def _by_path(tree: Any) -> dict[str, Any]:
    """Return the leaves by path; dicts and named tuples have the same paths."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator="."): x for p, x in leaves}


def _list(paths: Iterable[str]) -> str:
    return ", ".join(path or "one array" for path in paths) or "nothing"


def _is_real(leaf: Any) -> bool:
    if isinstance(leaf, bool | int | float):
        return True
    dtype = getattr(leaf, "dtype", None)
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    return dtype is not None and any(jnp.issubdtype(dtype, kind) for kind in kinds)


def _floats(leaf: Any, n: int) -> Array:
    if n:
        return jax.nn.one_hot(leaf, n, dtype=jnp.float32)
    return jnp.atleast_1d(jnp.asarray(leaf, jnp.float32))


def _names(path: str, shape: Sequence[int], n: int) -> list[str]:
    """Return a name for each number that an array becomes."""
    if math.prod(shape) == 1:
        places = [""]
    else:
        ranges = itertools.product(*map(range, shape))
        places = [f"[{', '.join(map(str, place))}]" for place in ranges]
    values = [f"={value}" for value in range(n)] if n else [""]
    return [f"{path}{place}{value}" for place in places for value in values]
