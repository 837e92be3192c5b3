"""``neuroevo tune``: find the fastest batch sizes for a run on this machine."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from neuroevo.cli.common import Files, Json, layers_of, say
from neuroevo.config import resolve
from neuroevo.config.command import ALL, Command, Line
from neuroevo.config.ranges import Count
from neuroevo.config.schema import Machine, Search, Settings


@dataclasses.dataclass(frozen=True)
class Measured:
    """How much to measure."""

    TITLE: ClassVar[str] = "measurement"

    timed: Count = 3
    """Generations to time with each size, after one that also compiles."""


@dataclasses.dataclass(frozen=True)
class Options(Json, Machine, Search, Measured, Files):
    """Options of ``tune``."""


COMMAND = Command(
    "neuroevo tune [OPTIONS]",
    Options,
    "Find the fastest batch sizes for a run, by measuring several.",
    parts=ALL,
)


def run(line: Line) -> int:
    """Measure batch sizes, and return the exit code."""
    layers = layers_of(line.options)
    layers = [resolve.without_settings(layer, Options) for layer in layers]
    resolved = resolve.resolve(layers, line.words, command=COMMAND)
    options = resolved.settings
    fields = [*dataclasses.fields(Search), *dataclasses.fields(Machine)]
    settings = Settings(**{f.name: getattr(options, f.name) for f in fields})
    resolved = dataclasses.replace(resolved, settings=settings)
    from neuroevo.store.files import to_json
    from neuroevo.studies.tune import tune
    from neuroevo.terminal import results
    from neuroevo.terminal.console import make_console

    result = tune(resolved, options.timed, report=_report)
    if options.json:
        print(to_json(result))
    else:
        results.render_tuning(result, make_console())
    return 0


def _report(row: Mapping[str, Any]) -> None:
    say(
        f"--chunk {row['chunk']} --decode-chunk {row['decode_chunk']}: "
        f"{row['seconds']:.3g} s per generation"
    )
