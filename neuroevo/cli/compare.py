"""``neuroevo compare``: which setting is best over several environments."""

import dataclasses
from pathlib import Path
from typing import Literal

from neuroevo.cli.common import Json, Runs, missing, read_records
from neuroevo.config.command import Command, Line


@dataclasses.dataclass(frozen=True)
class Compared:
    """How to compare."""

    x: Literal["env_steps", "seconds", "cpu_seconds"] = "env_steps"
    """What all settings have the same amount of; CPU time hardly depends on what else
    the machine does."""
    out: Path | None = None
    """New file for a figure, .png, .svg or .pdf: scores along the budget, and their
    distribution at its end."""


@dataclasses.dataclass(frozen=True)
class Options(Json, Compared, Runs):
    """Options of ``compare``."""


COMMAND = Command(
    "neuroevo compare RUN [RUN ...] [OPTIONS]",
    Options,
    "Compare settings over environments and seeds, with intervals.",
)


def run(line: Line) -> int:
    """Compare settings, and return the exit code."""
    from neuroevo.store.files import to_json
    from neuroevo.studies import compare
    from neuroevo.terminal import results
    from neuroevo.terminal.console import make_console
    from neuroevo.views import aggregates, figures

    options = line.options
    if not options.runs:
        raise missing("RUN", COMMAND)
    found = read_records(options.runs)
    if options.out:
        figures.check_path(options.out)
    comparison = compare.compare(found, options.x)
    rows = compare.table(comparison)
    if options.out:
        aggregates.draw(comparison, options.out)
    if options.json:
        tasks = [task._asdict() for task in comparison.tasks]
        print(to_json({"x": options.x, "tasks": tasks, "settings": rows}))
        return 0
    results.render_aggregates(comparison, rows, make_console())
    if options.out:
        print(options.out)
    return 0
