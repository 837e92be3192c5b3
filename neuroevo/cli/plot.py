"""``neuroevo plot``: learning curves and archives for print."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import annotated_types as at

from neuroevo.cli.common import Runs, missing, read_records
from neuroevo.config.command import Command, Line
from neuroevo.errors import UserError
from neuroevo.views.names import AXES, METRICS

Inches = Annotated[float, at.Interval(gt=0, lt=100)]


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What to draw."""

    out: Path | None = None
    """New file to write, .png, .svg or .pdf."""
    metric: Literal[tuple(METRICS)] = "center_return"  # type: ignore[valid-type]
    """Metric by which to compare several runs."""
    archive: bool = False
    """Draw the archive of a run instead: fitness over what its elites do."""
    x: Literal[tuple(AXES)] = "env_steps"  # type: ignore[valid-type]
    """Horizontal axis."""
    size: tuple[Inches, Inches] = (3.4, 2.4)
    """Width and height in inches."""


@dataclasses.dataclass(frozen=True)
class Options(Drawn, Runs):
    """Options of ``plot``."""


COMMAND = Command(
    "neuroevo plot RUN [RUN ...] --out CURVES.pdf",
    Options,
    "Draw learning curves, or an archive, for print.",
)


def run(line: Line) -> int:
    """Draw learning curves, and return the exit code."""
    from neuroevo.views import figures, plots

    options = line.options
    if not options.runs:
        raise missing("RUN", COMMAND)
    if options.archive and len(options.runs) > 1:
        raise UserError(f"--archive: expected one RUN, got {len(options.runs)}")
    found = read_records(options.runs)
    if options.out is None:
        raise missing("--out", COMMAND)
    figures.check_path(options.out)
    if options.archive:
        from neuroevo.store.directory import require_archive
        from neuroevo.views import archives

        archives.draw(require_archive(found[0].path), options.out, options.size)
        print(options.out)
        return 0
    plots.draw(
        found, options.out, metric=options.metric, x=options.x, size=options.size
    )
    print(options.out)
    return 0
