"""``neuroevo collect``: write what a policy sees and does to a file of rows."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from neuroevo.cli.common import (
    Cache,
    Files,
    Json,
    help_without,
    layers_of,
    missing,
    say,
)
from neuroevo.config.command import Command, Line
from neuroevo.config.ranges import Count, Seed


@dataclasses.dataclass(frozen=True)
class Source:
    """The policy to watch."""

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """A run, a genome or policy file, zoo:NAME, or a checkpoint of brax's PPO."""


@dataclasses.dataclass(frozen=True)
class Written:
    """The rows to write."""

    out: Path | None = None
    """New file of rows, .npz."""
    episodes: Count = 8
    """Episodes to play."""
    seed: Seed = 0
    """Seed of the episodes."""


@dataclasses.dataclass(frozen=True)
class Options(Cache, Json, Written, Files, Source):
    """Options of ``collect``."""


COMMAND = Command(
    "neuroevo collect POLICY --out ROWS.npz",
    Options,
    "Let a policy play, and write what it saw and did, for distillation.",
    parts=("env",),
)


def run(line: Line) -> int:
    """Write rows, and return the exit code."""
    help_without(line.options.source, COMMAND, line)
    from neuroevo.config.resolve import without_settings
    from neuroevo.store import rows_file
    from neuroevo.store.files import check_new_file, to_json
    from neuroevo.studies import demonstrations

    options = line.options
    if options.out is None:
        raise missing("--out", COMMAND)
    check_new_file(options.out, (".npz",))
    lesson = demonstrations.collect(
        options.source,
        options.episodes,
        options.seed,
        [*map(without_settings, layers_of(options))],
        line.words,
        command=COMMAND,
    )
    rows_file.write(options.out, lesson.arrays)
    say(demonstrations.describe(lesson))
    if options.json:
        print(to_json({"rows": str(options.out), **demonstrations.summary(lesson)}))
    else:
        print(options.out)
    return 0
