"""``neuroevo report``: one page about runs."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from neuroevo.cli.common import Runs, missing, read_records, say
from neuroevo.config.command import Command, Line

if TYPE_CHECKING:
    from neuroevo.store.record import RunRecord


@dataclasses.dataclass(frozen=True)
class Page:
    """What to write."""

    out: Annotated[
        Path | None, tyro.conf.arg(help_behavior_hint="(default: report.html)")
    ] = None
    """New .html file to write; for a single run, the default is in its directory."""
    episode: bool = True
    """Record an episode for the page, which takes most of the time; for labeled data,
    count what a policy confuses."""


@dataclasses.dataclass(frozen=True)
class Options(Page, Runs):
    """Options of ``report``."""


COMMAND = Command(
    "neuroevo report RUN [RUN ...] [OPTIONS]",
    Options,
    "Write a page about a run, or one that compares several.",
)


def run(line: Line) -> int:
    """Write a report, and return the exit code."""
    from neuroevo.store.files import atomic_write, check_new_file
    from neuroevo.views.comparison import make_comparison

    options = line.options
    if not options.runs:
        raise missing("RUN", COMMAND)
    found = read_records(options.runs)
    one = len(found) == 1
    path = options.out or (Path(options.runs[0]) if one else Path()) / "report.html"
    own = one and options.out is None  # is renewed
    check_new_file(path, (".html",), replace=own)
    html = _about(found[0], options.episode) if one else make_comparison(found)
    atomic_write(path, html)
    print(path)
    return 0


def _about(record: "RunRecord", episode: bool) -> str:
    """Return a page about one run; if parts are missing, without what needs them."""
    from neuroevo import loading
    from neuroevo.store.directory import BEST, read_archive, read_genome
    from neuroevo.views import confusion, recording, report

    if not (record.path / BEST).exists():
        return report.make_report(record, None)
    make_report = functools.partial(
        report.make_report, archive=read_archive(record.path)
    )
    try:
        found = loading.read_solution(record.path, [])
    except loading.UnregisteredPart as error:
        note = f"the page has no drawings and no episode: {error}"
        say(note)
        return make_report(record, read_genome(record.path).arrays, note=note)
    solution = loading.make_solution(*found)
    if not episode:
        return make_report(record, solution)
    if solution.parts.task.record is None:
        confused = confusion.confusion(solution)
        return make_report(record, solution, confused=confused)
    return make_report(record, solution, recording.record(solution))
