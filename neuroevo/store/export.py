"""What other programs read: policies by their parameters, and metrics as a table."""

import csv
import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from neuroevo.errors import UserError
from neuroevo.solution import Solution
from neuroevo.store import directory as runs
from neuroevo.store import genome_file


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


def check_metrics_path(path: Path) -> None:
    """Raise a `UserError` unless `save_metrics` can write to `path`."""
    genome_file.check_new(path, (".csv", ".parquet"))
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            f"{path}: pyarrow is not installed: expected a .csv, or "
            "pip install 'neuroevo[parquet]'"
        )


def collect_metrics(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the rows of all generations of the runs in `paths`, each with its `run`.

    All rows have the same keys; what a generation did not measure is None.

    Raises:
        UserError: if one of them is not a run.
    """
    for path in paths:
        runs.read_config(path)
    rows = [
        {"run": str(path)} | row for path in paths for row in runs.read_metrics(path)
    ]
    empty = dict.fromkeys(key for row in rows for key in row)
    return [empty | row for row in rows]


def save_metrics(paths: Sequence[Path], path: Path) -> None:
    """Write the metrics of the runs in `paths` as one table to `path`.

    Args:
        paths: run directories.
        path: a new file, .csv or .parquet.

    Raises:
        UserError: if it cannot be written, or one of `paths` is not a run.
    """
    check_metrics_path(path)
    rows = collect_metrics(paths)
    if path.suffix == ".parquet":
        from pyarrow import Table, parquet

        parquet.write_table(Table.from_pylist(rows), path)
        return
    with path.open("w", newline="") as file:
        write_csv(rows, file)


def write_csv(rows: Sequence[dict[str, Any]], file: TextIO) -> None:
    """Write `rows`, which all have the same keys, as CSV under a header."""
    writer = csv.DictWriter(file, list(rows[0]) if rows else ["run", "generation"])
    writer.writeheader()
    writer.writerows(rows)
