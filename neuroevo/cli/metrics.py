"""``neuroevo metrics``: the metrics of runs as a table."""

import dataclasses
import sys
from pathlib import Path

from neuroevo.cli.common import Runs, each_once, missing
from neuroevo.config.command import Command, Line


@dataclasses.dataclass(frozen=True)
class Table:
    """Where to write."""

    out: Path | None = None
    """New file to write, .csv or .parquet; none: print CSV on stdout."""


@dataclasses.dataclass(frozen=True)
class Options(Table, Runs):
    """Options of ``metrics``."""


COMMAND = Command(
    "neuroevo metrics RUN [RUN ...] [OPTIONS]",
    Options,
    "Write the metrics of runs as one table.",
)


def run(line: Line) -> int:
    """Write metrics, and return the exit code."""
    from neuroevo.store.directory import check_run
    from neuroevo.store.metrics import collect_metrics, write_csv, write_table

    options = line.options
    if not options.runs:
        raise missing("RUN", COMMAND)
    runs = each_once(options.runs)
    for each in runs:
        check_run(each)
    rows = collect_metrics(runs)
    if options.out is None:
        write_csv(rows, sys.stdout)
    else:
        write_table(rows, options.out)
        print(options.out)
    return 0
