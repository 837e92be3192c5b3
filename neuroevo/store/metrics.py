"""Metrics of a run: one line of JSON per generation, and tables of several runs."""

import csv
import importlib.util
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from neuroevo.errors import UserError
from neuroevo.store.files import (
    atomic_write,
    check_file,
    check_new_file,
    kind_of,
    to_json,
)

METRICS = "metrics.jsonl"

# Measured only in some generations; rows that are read always have the key.
_SOMETIMES = "center_return"


def append_metrics(run: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append one line for each row; a `center_return` of None is left out."""
    with (run / METRICS).open("ab") as file:
        for row in rows:
            measured = {
                k: v for k, v in row.items() if k != _SOMETIMES or v is not None
            }
            file.write(f"{to_json(measured)}\n".encode())


def sync_metrics(run: Path) -> None:
    """Wait until the metrics of a run would survive the loss of the machine."""
    with (run / METRICS).open("ab") as file:
        os.fsync(file.fileno())


def trim_metrics(run: Path, generation: int) -> list[dict[str, Any]]:
    """Drop lines after `generation` and incomplete lines, and return the rest."""
    rows, end = [], 0
    for row, row_end in _scan(run / METRICS):
        if row["generation"] > generation:
            break
        rows.append(row)
        end = row_end
    with (run / METRICS).open("ab") as file:
        file.truncate(end)
    return rows


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's metrics; incomplete lines are ignored.

    All rows have the key `center_return`, which is None if it was not measured.
    """
    return [row for row, _ in _scan(run / METRICS)]


def _scan(file: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the rows of a metrics file, each with the byte offset of its end."""
    end = 0
    there = kind_of(file, "metrics") is not None
    if there:
        check_file(file, "metrics")
    with file.open("rb") if there else io.BytesIO() as lines:
        for line in lines:
            end += len(line)
            try:
                row = json.loads(line)
                whole = line.endswith(b"\n") and isinstance(row["generation"], int)
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if whole:
                yield row | {_SOMETIMES: row.get(_SOMETIMES)}, end


def collect_metrics(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the rows of all generations of `runs`, each with the name of its `run`.

    All rows have the same keys; a value that was not measured is None.
    """
    rows = [{"run": str(run)} | row for run in runs for row in read_metrics(run)]
    empty = dict.fromkeys(key for row in rows for key in row)
    return [empty | row for row in rows]


def check_table(path: Path) -> None:
    """Raise a `UserError` unless `write_table` can write a new file at `path`."""
    check_new_file(path, (".csv", ".parquet"))
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            f"{path}: pyarrow is not installed: expected a .csv, or "
            "pip install 'neuroevo[parquet]'"
        )


def write_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write `rows`, which all have the same keys, to a new .csv or .parquet file.

    Raises:
        UserError: if `path` cannot be written.
    """
    check_table(path)
    if path.suffix == ".parquet":
        from pyarrow import Table, parquet

        table = Table.from_pylist(list(rows))
        atomic_write(path, lambda file: parquet.write_table(table, file))
        return
    text = io.StringIO(newline="")
    write_csv(rows, text)
    atomic_write(path, text.getvalue())


def write_csv(rows: Sequence[dict[str, Any]], file: TextIO) -> None:
    """Write `rows`, which all have the same keys, as CSV with a header."""
    writer = csv.DictWriter(file, list(rows[0]) if rows else ["run", "generation"])
    writer.writeheader()
    writer.writerows(rows)
