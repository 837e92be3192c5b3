"""Files of rows: what policies saw, and what to do there, in an ``.npz``.

| array | shape | content |
| --- | --- | --- |
| `observations` | (R, *observation) | as the environment gives them |
| `actions` | (R, *action) or (R,) | continuous actions, or numbers of discrete ones |
|  | (R, choices) | numbers of several discrete choices at once |
| `action_logits` | (R, n) | for discrete actions, instead of their numbers |
| `weights` | (R,) | how often to draw a row, relative to others; 1 by default |
| `episode` | (R,) | which episode a row belongs to |
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from neuroevo.errors import UserError
from neuroevo.spaces import (
    Box,
    Discrete,
    Spec,
    by_choice,
    choices,
    in_words,
    one_hot,
    outputs,
)
from neuroevo.store import npz
from neuroevo.store.files import atomic_write
from neuroevo.types import Rows

OBSERVATIONS, ACTIONS, LOGITS = "observations", "actions", "action_logits"
WEIGHTS, EPISODE = "weights", "episode"
_EXPECTED = "a file of rows (.npz with observations and actions)"


def write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write rows to a file, in one step."""
    atomic_write(path, lambda file: npz.write(file, arrays))


def read(path: Path, spec: Spec | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of a file of rows by name.

    Args:
        path: the file.
        spec: observations and actions that the rows must fit, if known.

    Raises:
        UserError: if it is no such file, or does not fit; the message lists all
            differences.
    """
    arrays = npz.read(path, _EXPECTED)
    if wrong := list(_faults(arrays)):
        raise UserError(f"{path}: {'; '.join(wrong)}")
    if spec and (wrong := list(_misfits(arrays, spec))):
        raise UserError(
            f"{path}: does not fit the environment's {in_words(spec)}: "
            f"{'; '.join(wrong)}"
        )
    return arrays


def to_rows(arrays: Mapping[str, np.ndarray], spec: Spec) -> Rows:
    """Return the arrays of a file, which `read` has checked, as rows for `spec`."""
    observations = np.asarray(arrays[OBSERVATIONS], np.float32)
    count = len(observations)
    weights = np.asarray(arrays.get(WEIGHTS, np.ones(count)), np.float32)
    return Rows(
        observations.reshape(count, *spec.observation), _targets(arrays, spec), weights
    )


def _targets(arrays: Mapping[str, np.ndarray], spec: Spec) -> np.ndarray:
    if LOGITS in arrays:
        logits = np.asarray(arrays[LOGITS], np.float64)
        softmax = functools.partial(special.softmax, axis=-1)
        return by_choice(softmax, logits, choices(spec.action)).astype(np.float32)
    actions = arrays[ACTIONS]
    if isinstance(spec.action, Box):
        return np.asarray(actions, np.float32).reshape(len(actions), *spec.action.shape)
    # Probabilities, so that a teacher can later add its own to them.
    shape = () if isinstance(spec.action, Discrete) else (-1,)
    return one_hot(actions.reshape(len(actions), *shape), spec.action)


def _faults(arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Yield what is wrong with the rows, wherever they come from."""
    if OBSERVATIONS not in arrays or not arrays.keys() & {ACTIONS, LOGITS}:
        found = ", ".join(sorted(arrays)) or "nothing"
        yield f"expected {OBSERVATIONS} and {ACTIONS} (or {LOGITS}); it holds {found}"
        return
    used = {OBSERVATIONS, ACTIONS, LOGITS, WEIGHTS, EPISODE} & arrays.keys()
    lengths = {name: arrays[name].shape[:1] for name in sorted(used)}
    if len(set(lengths.values())) > 1 or () in lengths.values():
        each = ", ".join(f"{name} {list(n)}" for name, n in lengths.items())
        yield f"expected as many rows in every array, got {each}"
        return
    if not len(arrays[OBSERVATIONS]):
        yield "expected at least one row, got none"
        return
    for name in sorted(used):
        array = arrays[name]
        if array.dtype.kind not in "biuf":
            yield f"expected numbers as {name}, got {array.dtype}"
        elif bad := int((~_fits_float32(array)).any(1).sum()):
            yield f"expected finite {name}, got {bad} rows with NaN or infinity"
    weights = arrays.get(WEIGHTS)
    if weights is None or weights.dtype.kind not in "biuf":
        return
    if weights.ndim != 1:
        yield f"expected one weight for each row, got shape {weights.shape}"
    elif (weights < 0).any():
        yield f"expected weights of at least 0, got {weights.min():g}"
    elif not weights.any():
        yield "expected a weight above 0, got zeros alone"


def _fits_float32(array: np.ndarray) -> np.ndarray:
    """Return which numbers (R, n) of rows are finite in the type that networks have."""
    with np.errstate(over="ignore"):
        return np.isfinite(array.astype(np.float32).reshape(len(array), -1))


def _misfits(arrays: Mapping[str, np.ndarray], spec: Spec) -> Iterator[str]:
    """Yield the ways in which the rows do not fit `spec`."""
    shape = arrays[OBSERVATIONS].shape[1:]
    if np.prod(shape) != np.prod(spec.observation):
        yield f"its observations have shape {shape} each"
    if isinstance(spec.action, Box):
        if LOGITS in arrays:
            yield f"it holds {LOGITS}, which are of discrete actions"
        elif np.prod(arrays[ACTIONS].shape[1:]) != np.prod(spec.action.shape):
            yield f"its actions have shape {arrays[ACTIONS].shape[1:]} each"
        return
    if LOGITS in arrays:
        if arrays[LOGITS].shape[1:] != outputs(spec):
            yield f"its {LOGITS} have shape {arrays[LOGITS].shape[1:]} each"
        return
    actions, counts = arrays[ACTIONS], choices(spec.action)
    if np.prod(actions.shape[1:]) != len(counts) or actions.dtype.kind not in "biu":
        kind = f"{actions.dtype} of shape {actions.shape[1:]}"
        several = f"{len(counts)} " if len(counts) > 1 else ""
        yield f"its actions are {kind} each; expected {several}integers"
        return
    for i, (column, n) in enumerate(
        zip(actions.reshape(len(actions), -1).T, counts, strict=True)
    ):
        if column.min() < 0 or column.max() >= n:
            which = f"[{i}]" if len(counts) > 1 else ""
            found = f"its actions{which} go from {column.min()} to {column.max()}"
            yield f"{found}; expected 0 to {n - 1}"
