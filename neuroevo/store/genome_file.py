"""Genome files: arrays and a JSON description in an `.npz`, without executable code."""

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, MultiDiscrete, Spec
from neuroevo.store import npz
from neuroevo.store.files import atomic_write, to_json
from neuroevo.types import Genome

FORMAT = "neuroevo-genome"
VERSION = 1
OBSERVATION_ARRAYS = ("obs_mean", "obs_var")


class GenomeFile(NamedTuple):
    """The content of a genome file, or the equivalent for a genome in memory.

    Attributes:
        path: the file.
        arrays: the arrays by name.
        meta: the description; empty for a file without one.
        made: for a genome in memory, its parts that were made in Python.
    """

    path: Path
    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]
    made: Mapping[str, Any] = MappingProxyType({})


def save(path: Path, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write a genome file, in one step."""
    text = meta_to_json({"format": FORMAT, "version": VERSION} | dict(meta))
    content = {"meta": np.array(text)} | dict(arrays)
    if "meta" in arrays:
        raise UserError(f"{path}: expected arrays of a genome, none of them named meta")
    atomic_write(path, lambda file: npz.write(file, content))


def meta_to_json(meta: Mapping[str, Any]) -> str:
    """Return `meta` as strict JSON, with infinities as options spell them."""
    return to_json(meta, not_finite=str)


def load(path: Path) -> GenomeFile:
    """Read a genome file, with or without `meta`.

    Raises:
        UserError: if it is not an `.npz` of plain arrays, or has a newer version.
    """
    return GenomeFile(path, *read(path, FORMAT, "a genome (.npz)"))


def read(
    path: Path, format: str, expected: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of a file and its description, which may be empty.

    Args:
        path: the file.
        format: the format that its description must name, if it has one.
        expected: the kind of file that is expected, for messages.

    Raises:
        UserError: if it is not an `.npz` of plain arrays, or of another kind.
    """
    arrays = npz.read(path, expected)
    meta = _read_meta(path, arrays.pop("meta", None), expected)
    if meta and meta.get("format") != format:
        raise UserError(
            f"{path}: expected format {format!r}, got {meta.get('format')!r:.60}"
        )
    version, kind = meta.get("version", VERSION), format.removeprefix("neuroevo-")
    if not isinstance(version, int) or version > VERSION:
        raise UserError(
            f"{path}: written in version {version!r:.60} of the {kind} format; this "
            f"neuroevo reads versions up to {VERSION}: upgrade neuroevo"
        )
    return arrays, meta


_MOST_META = 2**20  # characters


def _read_meta(path: Path, array: np.ndarray | None, expected: str) -> dict[str, Any]:
    """Return the description in the array `meta`; empty if there is none."""
    if array is None:
        return {}
    try:
        if array.dtype.kind != "U" or array.shape:
            raise ValueError("expected a text")
        text = array.item()
        if len(text) > _MOST_META:
            raise ValueError(f"expected at most {_MOST_META} characters")
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not {expected}: its meta: {error}") from None
    if not isinstance(meta, dict):
        raise UserError(f"{path}: not {expected}: its meta is not a JSON object")
    return meta


# Merged files: several environments share the genome, each with its own description and
# arrays. The format calls them tasks.
_TASKS = "tasks"
_OF_A_TASK = ("env", "normalization")


def join(path: Path, files: Mapping[str, GenomeFile]) -> GenomeFile:
    """Return the content of one file for several environments that share a genome.

    Args:
        path: the path of the merged file.
        files: the files by the names of their environments; they differ only in the
            environment and its normalization.
    """
    first = next(iter(files.values()))
    arrays = {k: v for k, v in first.arrays.items() if k not in OBSERVATION_ARRAYS}
    for name, file in files.items():
        for key in OBSERVATION_ARRAYS:
            if key in file.arrays:
                arrays[f"{_TASKS}/{name}/{key}"] = file.arrays[key]
    meta = {k: v for k, v in first.meta.items() if k not in _OF_A_TASK}
    tasks = {n: {k: file.meta[k] for k in _OF_A_TASK} for n, file in files.items()}
    return GenomeFile(path, arrays, meta | {_TASKS: tasks})


def split(file: GenomeFile) -> dict[str, GenomeFile]:
    """Return the parts of a merged file, by the names of its environments.

    The result is empty for a file that is not merged.

    Raises:
        UserError: if the file does not describe its environments by name.
    """
    tasks = file.meta.get(_TASKS, {})
    if not isinstance(tasks, dict) or not all(
        isinstance(task, dict) and task.keys() == set(_OF_A_TASK)
        for task in tasks.values()
    ):
        raise UserError(
            f"{file.path}: expected environments by name as {_TASKS} in its meta, each "
            f"with {' and '.join(_OF_A_TASK)}, got {tasks!r:.60}"
        )
    shared = {k: v for k, v in file.arrays.items() if not k.startswith(f"{_TASKS}/")}
    meta = {k: v for k, v in file.meta.items() if k != _TASKS}
    found = {}
    for name, task in tasks.items():
        prefix = f"{_TASKS}/{name}/"
        own = {
            k.removeprefix(prefix): v
            for k, v in file.arrays.items()
            if k.startswith(prefix)
        }
        found[name] = GenomeFile(file.path, shared | own, meta | task)
    return found


def from_spec(spec: Spec) -> dict[str, Any]:
    """Return `spec` as plain data, for `meta`."""
    match spec.action:
        case Discrete(n):
            action: dict[str, Any] = {"discrete": n}
        case MultiDiscrete(counts):
            action = {"multi_discrete": list(counts)}
        case box:
            action = {"box": list(box.shape)}
    return {"observation": list(spec.observation), "action": action}


def to_spec(file: GenomeFile) -> Spec | None:
    """Return the ``spec`` in `meta`, for which networks are made, or None.

    Raises:
        UserError: if it is not a valid spec.
    """
    match file.meta.get("spec"):
        case None:
            return None
        case {"observation": [*o], "action": {"discrete": n}} if _are_sizes(*o, n):
            return Spec(tuple(o), Discrete(n))
        case {"observation": [*o], "action": {"multi_discrete": [n, *rest]}} if (
            _are_sizes(*o, n, *rest)
        ):
            return Spec(tuple(o), MultiDiscrete((n, *rest)))
        case {"observation": [*o], "action": {"box": [*a]}} if _are_sizes(*o, *a):
            return Spec(tuple(o), Box(tuple(a)))
    raise UserError(
        f"{file.path}: expected the shapes of observations and actions as spec in its "
        f"meta, got {file.meta['spec']!r:.80}"
    )


def _are_sizes(*values: Any) -> bool:
    return all(type(value) is int and value > 0 for value in values)


def statistics(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statistics of observations among `arrays`."""
    return {name: arrays[name] for name in OBSERVATION_ARRAYS if name in arrays}


def to_arrays(genome: Genome) -> dict[str, jax.Array]:
    """Return the leaves of a genome by path (``Dense_0/kernel``)."""
    leaves, _ = jax.tree.flatten_with_path(genome)
    return {_name(path): leaf for path, leaf in leaves}


def to_genome(
    file: GenomeFile, like: Genome, constants: Collection[str] = ()
) -> Genome:
    """Return the genome in `file`, in the structure and with the shapes of `like`.

    Arrays of the same size are reshaped, for example flattened images. The file may
    also contain `constants` of the encoding.

    Raises:
        UserError: if the genome does not fit, with what differs.
    """
    leaves, structure = jax.tree.flatten_with_path(like)
    wanted = {_name(path): leaf for path, leaf in leaves}
    optional = {*constants, *OBSERVATION_ARRAYS}
    missing = [
        f"{name} {leaf.shape}"
        for name, leaf in wanted.items()
        if name not in file.arrays
    ]
    surplus = sorted(file.arrays.keys() - wanted.keys() - optional)
    differing = [
        f"{name} of shape {leaf.shape}, not {_kind(file.arrays[name])}"
        for name, leaf in wanted.items()
        if name in file.arrays and not _fits(file.arrays[name], leaf)
    ]
    complaints = [
        *(["lacks " + ", ".join(missing)] if missing else []),
        *(["has no use for " + ", ".join(surplus)] if surplus else []),
        *(["expected " + "; ".join(differing)] if differing else []),
    ]
    if complaints:
        raise UserError(
            f"{file.path}: does not fit the environment, encoding and policy: "
            + "; ".join(complaints)
        )
    return jax.tree.unflatten(
        structure, [_to_leaf(file, name, leaf) for name, leaf in wanted.items()]
    )


def to_constants(
    file: GenomeFile, constants: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Return the `constants` of an encoding that `file` overrides, with its values.

    Raises:
        UserError: if a value cannot replace that of the encoding.
    """
    own = [name for name in constants if name in file.arrays]
    for name in own:
        _check_constant(file, name, constants[name])
    return {name: file.arrays[name].astype(constants[name].dtype) for name in own}


def _to_leaf(file: GenomeFile, name: str, like: Any) -> jax.Array:
    """Return an array in `file` with the shape and type of `like`."""
    with np.errstate(over="ignore"):  # for a number too large for the type
        array = np.asarray(file.arrays[name]).astype(like.dtype).reshape(like.shape)
    if not np.isfinite(array).all():
        raise UserError(
            f"{file.path}: expected finite numbers, but {name} has others (nan, inf)"
        )
    return jnp.asarray(array)


def _check_constant(file: GenomeFile, name: str, like: np.ndarray) -> None:
    """Raise a `UserError` unless a constant in `file` can replace `like`.

    Integers are labels; `like` contains every valid label.
    """
    array = file.arrays[name]
    if array.shape != like.shape:
        raise UserError(
            f"{file.path}: expected {name} of shape {like.shape}, not {array.shape}"
        )
    labels = np.issubdtype(like.dtype, np.integer)
    if array.dtype.kind not in ("iu" if labels else "fiu"):
        raise UserError(
            f"{file.path}: expected {name} of type {like.dtype}, not {array.dtype}"
        )
    if labels and (array.min() < like.min() or array.max() > like.max()):
        raise UserError(
            f"{file.path}: expected {name} from {like.min()} to {like.max()}, one for "
            f"each action of the environment, not {array.min()} to {array.max()}"
        )


def _kind(array: np.ndarray) -> str:
    return str(array.shape) if array.dtype.kind in "fiu" else f"{array.dtype}"


def _fits(array: np.ndarray, leaf: Any) -> bool:
    return (
        array.dtype.kind in "fiu"
        and array.shape[:1] == leaf.shape[:1]
        and array.size == math.prod(leaf.shape)
    )


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
