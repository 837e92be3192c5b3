"""``neuroevo sweep``: train every run of a grid, and compare them."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from neuroevo.cli.common import Json, Quiet, read_records, say
from neuroevo.config.command import Command, Line

if TYPE_CHECKING:
    from neuroevo.studies.sweep import Sweep


@dataclasses.dataclass(frozen=True)
class SweepFile:
    """What to run."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SWEEP.yaml")]
    """Sweep file: options of train, and a key sweep with the options that vary."""


@dataclasses.dataclass(frozen=True)
class Swept:
    """How to run it, and where."""

    out: Annotated[
        Path | None, tyro.conf.arg(help_behavior_hint="(default: runs/SWEEP)")
    ] = None
    """Folder for the runs."""
    submit: Literal["slurm", "local"] | None = None
    """Submit the runs as jobs to Slurm, or all at once on this machine (submitit)."""
    dry_run: bool = False
    """Run nothing; list the runs and show which are missing."""


@dataclasses.dataclass(frozen=True)
class Options(Json, Quiet, Swept, SweepFile):
    """Options of ``sweep``."""


COMMAND = Command(
    "neuroevo sweep SWEEP.yaml [OPTIONS]",
    Options,
    "Train every run that a file describes, and compare them.",
)


def run(line: Line) -> int:
    """Run a sweep, and return the exit code."""
    from neuroevo.store.files import to_json
    from neuroevo.studies import sweep as sweeps
    from neuroevo.studies import sweep_jobs
    from neuroevo.terminal import results
    from neuroevo.terminal.console import make_console

    options = line.options
    sweep = sweeps.read(options.file, options.out)
    code = 0
    if options.submit and not options.dry_run:
        jobs = sweep_jobs.submit(sweep, options.submit)
        say(f"submitted {len(jobs)} runs: {', '.join(job.job_id for job in jobs)}")
        if jobs and options.submit == "slurm":
            say(f"to show their progress: neuroevo sweep {options.file} --dry-run")
            return 0
        code = int(any([job.result() for job in jobs]))
    elif not options.dry_run:
        code = sweep_jobs.run(sweep, say, quiet=options.quiet)
    rows = sweeps.table(sweep)
    report = None if options.dry_run else _compare(sweep)
    if options.json:
        found = {"sweep": str(sweep.path), "variants": rows, "report": report}
        print(to_json(found))
    else:
        results.render_sweep(str(sweep.path), rows, make_console())
        if report:
            print(f"report {report}")
    return code


def _compare(sweep: "Sweep") -> str | None:
    """Write a report of a sweep's finished runs; return its path, if there are any."""
    from neuroevo.store.files import atomic_write
    from neuroevo.studies import sweep as sweeps
    from neuroevo.views.comparison import make_comparison

    done = [str(t.path) for t in sweep.trials if sweeps.is_finished(t)]
    if not done:
        return None
    path = sweep.path / "report.html"
    atomic_write(path, make_comparison(read_records(done)))
    return str(path)
