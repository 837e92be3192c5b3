"""The record of a run, read from its directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neuroevo.errors import UserError
from neuroevo.returns import known
from neuroevo.store.directory import ENVIRONMENT, SUMMARY, read_config
from neuroevo.store.files import read_json
from neuroevo.store.metrics import read_metrics
from neuroevo.store.old_names import rename_results

_COUNTERS = ("generation", "env_steps", "seconds")


class RunRecord(NamedTuple):
    """The content of a run directory.

    `summary` is empty while the run is active, and after an interruption.
    """

    path: Path
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of its directory."""
        return self.path.resolve().name

    def column(self, key: str) -> np.ndarray:
        """Return the metric `key` of each generation, NaN where there is none."""
        values = [row.get(key) for row in self.rows]
        return np.array([np.nan if known(v) is None else v for v in values], float)


def read_record(path: Path) -> RunRecord:
    """Return the record of a run.

    Raises:
        UserError: if `path` is not a run, or has no metrics yet.
    """
    config = read_config(path)
    rows = [
        row
        for row in read_metrics(path)
        if all(known(row.get(axis)) is not None for axis in _COUNTERS)
    ]
    if not rows:
        raise UserError(f"{path}: no metrics yet; expected at least one generation")
    summary, environment = (read_json(path / name) for name in (SUMMARY, ENVIRONMENT))
    return RunRecord(path, config, rows, rename_results(summary), environment)
