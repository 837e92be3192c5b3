"""Policy files: the parameters of a trained policy, for neuroevo and other programs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neuroevo.store import genome_file
from neuroevo.store.files import atomic_write, check_new_file


def check(path: Path) -> None:
    """Raise a `UserError` unless `write` can write a new file at `path`."""
    check_new_file(path, tuple(_WRITERS))


def write(path: Path, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write the parameters of a policy by name, with a description.

    An ``.npz`` file is a genome file of the direct encoding, which every command that
    takes a genome can read. A ``.safetensors`` file has the same arrays, and the
    description as JSON under ``neuroevo`` in its metadata.

    Args:
        path: a new file with one of these suffixes.
        arrays: the parameters, and the statistics of observations if they are constant.
        meta: the description as plain data.

    Raises:
        UserError: if `path` cannot be written.
    """
    check(path)
    _WRITERS[path.suffix](path, {k: np.asarray(v) for k, v in arrays.items()}, meta)


def _write_safetensors(
    path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
) -> None:
    from safetensors.numpy import save

    text = genome_file.meta_to_json(meta)
    atomic_write(path, save(dict(arrays), metadata={"neuroevo": text}))


_Writer = Callable[[Path, Mapping[str, np.ndarray], Mapping[str, Any]], None]
_WRITERS: dict[str, _Writer] = {
    ".npz": genome_file.save,
    ".safetensors": _write_safetensors,
}
