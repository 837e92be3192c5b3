"""``neuroevo distill``: pairs that train networks to act like a teacher."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from neuroevo.cli.common import Files, Quiet, help_without, layers_of, say
from neuroevo.cli.launch import Debugging, Distributed, Processes, connect, search
from neuroevo.cli.train import Directory, with_settings
from neuroevo.config.command import ALL, Command, Line
from neuroevo.config.ranges import Count, CountOrZero
from neuroevo.config.schema import DISTILLATION, Config, Settings


@dataclasses.dataclass(frozen=True)
class Source:
    """What to distill."""

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TEACHER")]
    """A run, a genome or policy file, zoo:NAME, a checkpoint of brax's PPO, a file of
    rows, or the name of labeled data."""


@dataclasses.dataclass(frozen=True)
class Distillation:
    """What comes before and after the gradients."""

    TITLE: ClassVar[str] = "distillation"

    start: str | None = None
    """Pairs to go on from, with their parts: a file, a run or zoo:NAME."""
    demonstrations: Count = 8
    """Episodes that the teacher plays, to be imitated."""
    refine: CountOrZero = 0
    """Generations of evolution that follow, from the best pairs."""
    out: Path | None = None
    """New genome file for the best pairs, with a card that says how they were made."""


@dataclasses.dataclass(frozen=True)
class Options(
    Processes,
    Distributed,
    Quiet,
    Settings,
    Debugging,
    Distillation,
    Directory,
    Files,
    Source,
):
    """Options of ``distill``."""


COMMAND = Command(
    "neuroevo distill TEACHER [OPTIONS]",
    Options,
    "Find pairs that train networks to act like a teacher, by gradients through the "
    "training.",
    parts=ALL,
)


def run(line: Line) -> int:
    """Distill a teacher, and return the exit code."""
    help_without(line.options.source, COMMAND, line, DISTILLATION)
    from neuroevo.run import recorder
    from neuroevo.store.directory import check_new, default_path
    from neuroevo.store.files import check_new_file
    from neuroevo.studies import demonstrations, distill

    def check(config: Config) -> None:
        connect(config.settings)
        if config.settings.out:
            check_new_file(config.settings.out, (".npz",))
        if config.settings.run_dir:
            check_new(config.settings.run_dir)
        path = config.settings.run_dir or default_path(
            config.names, config.settings.seed
        )
        recorder.check(config.loggers, path)

    with distill.prepared(
        line.options.source,
        layers_of(line.options),
        line.words,
        start=line.options.start,
        command=COMMAND,
        check=check,
    ) as found:
        options, config = found.config.settings, with_settings(found.config)
        if found.lesson:
            say(demonstrations.describe(found.lesson))
        path = options.run_dir or default_path(config.names, options.seed)
        code, run = search(
            config,
            path,
            options,
            start=found.start,
            numbered=options.run_dir is None,
        )
        path = run.path or path
        if options.refine and not code:
            start, config = distill.refinement(run, options.refine)
            if path.name in ("", ".."):  # such as --run-dir .
                path = path.resolve()
            path = path.with_name(f"{path.name}-refined")
            say(f"evolution goes on from the best pairs in {path}")
            code, run = search(config, path, options, start=start, numbered=True)
    if options.out and not code:
        distill.save(run, options.out, options.source, found.lesson)
        say(f"the best pairs are in {options.out}")
    return code
