"""``neuroevo export``: write an elite of an archive to a genome file."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from neuroevo.cli.common import missing, say
from neuroevo.config.command import Command, Line


@dataclasses.dataclass(frozen=True)
class Source:
    """The run to take it from."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A directory of a run with an archive."""


@dataclasses.dataclass(frozen=True)
class Written:
    """The elite to write."""

    elite: Annotated[
        tuple[float, ...], tyro.conf.arg(help_behavior_hint="", metavar="NUMBER ...")
    ] = ()
    """What it is to do: a number for each dimension of the archive."""
    out: Path | None = None
    """New file to write, .npz."""


@dataclasses.dataclass(frozen=True)
class Options(Written, Source):
    """Options of ``export``."""


COMMAND = Command(
    "neuroevo export RUN --elite NUMBER [NUMBER ...] --out ELITE.npz",
    Options,
    "Write the elite that does nearly what you ask for to a genome file.",
)


def run(line: Line) -> int:
    """Write an elite, and return the exit code."""
    from neuroevo.store import genome_file
    from neuroevo.store.directory import read_elite
    from neuroevo.store.files import check_new_file
    from neuroevo.terminal.formatting import format_value

    options = line.options
    for name in ("elite", "out"):
        if not getattr(options, name):
            raise missing(f"--{name}", COMMAND)
    check_new_file(options.out, (".npz",))
    file = read_elite(Path(options.run), options.elite)
    genome_file.save(options.out, file.arrays, file.meta)
    elite = file.meta["elite"]
    does = [f"{name} {format_value(x)}" for name, x in elite["descriptor"].items()]
    say(f"fitness {format_value(elite['fitness'])} at {', '.join(does)}")
    print(options.out)
    return 0
