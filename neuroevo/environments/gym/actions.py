"""Gymnasium's action spaces as plain data, and masks of actions; it imports no JAX.

The process with the policies knows an action space by its description. Actions with
several parts, of a Dict or a Tuple, travel as records.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np


def describe_action(space: Any) -> dict[str, Any]:
    """Return the kind of an action space, and its numbers, as plain data.

    Raises:
        TypeError: for a space whose actions policies do not have.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return _several("Dict", space.spaces)
    if isinstance(space, spaces.Tuple):
        return _several("Tuple", dict(enumerate(space.spaces)))
    if isinstance(space, spaces.Discrete):
        n, start = int(space.n), int(space.start)
        return {
            "kind": "Discrete",
            "n": n,
            "start": start,
            "shape": (),
            "dtype": "int64",
        }
    if isinstance(space, spaces.MultiDiscrete):
        return {
            "kind": "MultiDiscrete",
            "n": np.ravel(space.nvec).tolist(),
            "start": np.ravel(space.start).tolist(),
            "shape": space.shape,
            "dtype": np.dtype(space.dtype).name,
        }
    if isinstance(space, spaces.MultiBinary):
        shape = tuple(np.atleast_1d(space.shape).tolist())
        count = int(np.prod(shape))
        return {
            "kind": "MultiDiscrete",
            "n": [2] * count,
            "start": [0] * count,
            "shape": shape,
            "dtype": "int8",
        }
    if isinstance(space, spaces.Box):
        return {
            "kind": "Box",
            "low": space.low.tolist(),
            "high": space.high.tolist(),
            "shape": space.shape,
            "dtype": np.dtype(space.dtype).name,
        }
    raise TypeError(
        f"its action space is a {type(space).__name__}; expected Discrete, Box, "
        "MultiDiscrete, MultiBinary, or a Dict or Tuple of these"
    )


def _several(kind: str, parts: Mapping[Any, Any]) -> dict[str, Any]:
    if not parts:
        raise TypeError("its action space is empty; expected an action")
    described = [describe_action(part) for part in parts.values()]
    return {"kind": kind, "names": list(parts), "parts": described}


def type_of(action: Any) -> tuple[np.dtype, tuple[int, ...]]:
    """Return type and shape of one action, given its description.

    Actions with several parts are records with the fields "0", "1", and so on.
    """
    if "parts" not in action:
        return np.dtype(action["dtype"]), tuple(action["shape"])
    fields = [(str(i), *type_of(part)) for i, part in enumerate(action["parts"])]
    return np.dtype(fields), ()


def taken(action: Any, record: Any) -> Any:
    """Return what an environment takes, given a record, or several at once."""
    if "parts" not in action:
        if action["kind"] == "Discrete" and not np.ndim(record):
            return int(record)
        return record
    parts = [taken(part, record[str(i)]) for i, part in enumerate(action["parts"])]
    if action["kind"] == "Tuple":
        return tuple(parts)
    return dict(zip(action["names"], parts, strict=True))


def recorded(action: Any, given: Any) -> Any:
    """Return an action of the environment as a record: the inverse of `taken`."""
    if "parts" not in action:
        return given
    each = zip(action["names"], action["parts"], strict=True)
    return tuple(recorded(part, given[name]) for name, part in each)


def choices(action: Any) -> tuple[int, ...]:
    """Return the number of values of each choice; () if some are continuous."""
    if action["kind"] == "Box":
        return ()
    if action["kind"] == "Discrete":
        return (action["n"],)
    if action["kind"] == "MultiDiscrete":
        return tuple(action["n"])
    parts = [choices(part) for part in action["parts"]]
    return sum(parts, ()) if all(parts) else ()


def first_legal(action: Any, legal: np.ndarray) -> Any:
    """Return the first action that is legal, as a record, given its description.

    Args:
        action: the description; all its parts are discrete.
        legal: (n,) bool, for all choices side by side.
    """
    values = [
        int(part.argmax())
        for part in np.split(legal, np.cumsum(choices(action))[:-1].tolist())
    ]
    return _of_values(action, values)


def _of_values(action: Any, values: list[int]) -> Any:
    """Return the record whose choices have `values`, which it takes from the list."""
    if "parts" in action:
        return tuple(_of_values(part, values) for part in action["parts"])
    if action["kind"] == "Discrete":
        return values.pop(0) + action["start"]
    each = [values.pop(0) + start for start in action["start"]]
    return np.reshape(each, action["shape"])


def legal_values(action: Any, mask: Any) -> np.ndarray:
    """Return which values are legal, (n,) bool for all choices side by side.

    Args:
        action: the description of an action.
        mask: what Gymnasium's ``space.sample`` takes as a mask: an array for a
            Discrete, a tuple of them for a MultiDiscrete, None where all are legal.

    Raises:
        TypeError: if it does not fit the action.
    """
    if not choices(action):
        raise TypeError(
            "info has an action_mask, but the action is not discrete; expected none"
        )
    return np.concatenate(_masks(action, mask))


def _masks(action: Any, mask: Any) -> list[np.ndarray]:
    if mask is None:
        return [np.ones(n, np.bool_) for n in choices(action)]
    if "parts" in action:
        names = action["names"]
        if action["kind"] == "Dict":
            fits = isinstance(mask, Mapping) and set(mask) == set(names)
        else:
            fits = isinstance(mask, tuple | list) and len(mask) == len(names)
        if not fits:
            raise TypeError(
                f"info['action_mask'] is {mask!r}; expected a {action['kind']} with "
                f"masks for {', '.join(map(str, names))}"
            )
        each = zip(names, action["parts"], strict=True)
        return [one for name, part in each for one in _masks(part, mask[name])]
    counts = choices(action)
    parts = _leaves(mask) if action["kind"] == "MultiDiscrete" else [mask]
    shapes = [np.shape(part) for part in parts]
    if shapes != [(n,) for n in counts]:
        several = " in a tuple" if action["kind"] == "MultiDiscrete" else ""
        raise TypeError(
            f"info['action_mask'] has shape {', '.join(map(str, shapes))}; expected "
            f"{', '.join(f'({n},)' for n in counts)}{several}"
        )
    return [_flags(part) for part in parts]


def _leaves(mask: Any) -> list[Any]:
    """Return the masks of several choices in order, from nested tuples or an array."""
    several = isinstance(mask, tuple | list) or np.ndim(mask) > 1
    if several and any(isinstance(each, tuple | list | np.ndarray) for each in mask):
        return sum(map(_leaves, mask), [])
    return [mask]


def _flags(mask: Any) -> np.ndarray:
    found = np.asarray(mask)
    if found.dtype == np.bool_:
        return found
    if found.dtype.kind not in "iu" or not ((found == 0) | (found == 1)).all():
        raise TypeError(
            f"info['action_mask'] is {found.tolist()}, of type {found.dtype}; expected "
            "numbers 0 and 1, or bool"
        )
    return found.astype(np.bool_)
