"""Genome files: arrays and a JSON description in an `.npz`, never executable."""

import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.errors import UserError
from neuroevo.types import Genome

FORMAT = "neuroevo-genome"
VERSION = 1
OBSERVATION_ARRAYS = ("obs_mean", "obs_var")


class GenomeFile(NamedTuple):
    """The content of a genome file; `meta` is empty in a file without one."""

    path: Path
    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]


def save(path: Path, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write a genome file, in one step: a reader never sees half of it."""
    described = {"format": FORMAT, "version": VERSION} | dict(meta)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez(
            file,
            meta=np.array(json.dumps(described)),
            **{name: np.asarray(array) for name, array in arrays.items()},
        )
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load(path: Path) -> GenomeFile:
    """Read a genome file, with or without `meta`.

    Raises:
        UserError: if it is not an `.npz` of plain arrays, or of a newer version.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise ValueError("a single array, not an .npz archive")
            arrays = {name: content[name] for name in content.files}
        meta = json.loads(str(arrays.pop("meta", "{}")))
        if not isinstance(meta, dict):
            raise ValueError("its meta is not a JSON object")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a genome (.npz)") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: not a genome file (.npz): {reason}") from None
    if meta and meta.get("format") != FORMAT:
        raise UserError(
            f"{path}: expected format {FORMAT!r}, got {meta.get('format')!r}"
        )
    if meta.get("version", 1) > VERSION:
        raise UserError(
            f"{path}: written in version {meta['version']} of the genome format; this "
            f"neuroevo reads up to {VERSION}: upgrade it"
        )
    return GenomeFile(Path(path), arrays, meta)


def to_arrays(genome: Genome) -> dict[str, jax.Array]:
    """Return the leaves of a genome by path (``Dense_0/kernel``)."""
    leaves, _ = jax.tree.flatten_with_path(genome)
    return {_name(path): leaf for path, leaf in leaves}


def to_genome(file: GenomeFile, like: Genome, constants: Mapping[str, Any]) -> Genome:
    """Return the genome in `file`, in the structure and with the shapes of `like`.

    Arrays of the same size are reshaped (flattened images, say). Where the file holds
    values for the encoding's `constants`, they join the genome and override those.

    Raises:
        UserError: if it does not fit, with what differs.
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
        f"{name} of shape {leaf.shape}, not {file.arrays[name].shape}"
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
    genome = jax.tree.unflatten(
        structure,
        [
            jnp.asarray(file.arrays[name], leaf.dtype).reshape(leaf.shape)
            for name, leaf in wanted.items()
        ],
    )
    overriding = constants.keys() & file.arrays.keys()
    for name in overriding:
        if file.arrays[name].shape != constants[name].shape:
            raise UserError(
                f"{file.path}: expected {name} of shape {constants[name].shape}, not "
                f"{file.arrays[name].shape}"
            )
    if overriding:
        genome = genome | {name: jnp.asarray(file.arrays[name]) for name in overriding}
    return genome


def _fits(array: np.ndarray, leaf: Any) -> bool:
    numeric = np.issubdtype(array.dtype, np.number)
    return (
        numeric
        and array.shape[:1] == leaf.shape[:1]
        and (array.size == math.prod(leaf.shape))
    )


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
