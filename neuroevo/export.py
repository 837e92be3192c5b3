"""Policies for other programs: parameters by name, and what the network is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neuroevo import genome_file
from neuroevo.solution import Solution


def check_policy_path(path: Path) -> None:
    """Raise a `UserError` unless `save_policy` can write to `path`."""
    genome_file.check_new(path, tuple(_WRITERS))


def save_policy(solution: Solution, path: Path, *, seed: int = 0) -> dict[str, Any]:
    """Train a policy from the genome and write it to `path`; return its description.

    An ``.npz`` is a genome file of the direct encoding, which every command that takes
    a genome reads; a ``.safetensors`` has the same arrays, and the description as JSON
    under ``neuroevo`` in its metadata.

    Args:
        solution: the genome, with what decodes it.
        path: a new file with one of these suffixes.
        seed: of the policy's initial parameters.

    Raises:
        UserError: if `path` cannot be written.
    """
    check_policy_path(path)
    params = solution.decode(seed)
    arrays = genome_file.to_arrays(params)
    arrays |= solution.parts.task.constants(solution.answer.task)
    meta = {
        **solution.meta(),
        "encoding": {"name": "direct"},
        **genome_file.from_spec(solution.parts.spec or solution.parts.task.spec),
        "trained_from": solution.config.to_dict()["encoding"] | {"seed": seed},
    }
    _WRITERS[path.suffix](path, {k: np.asarray(v) for k, v in arrays.items()}, meta)
    return meta


def _save_safetensors(path: Path, arrays: dict[str, np.ndarray], meta: Any) -> None:
    from safetensors.numpy import save_file

    save_file(arrays, path, metadata={"neuroevo": json.dumps(meta)})


_WRITERS: dict[str, Callable[[Path, dict, Any], None]] = {
    ".npz": genome_file.save,
    ".safetensors": _save_safetensors,
}
