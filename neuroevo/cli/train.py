"""``neuroevo train``: evolve policies."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from neuroevo.cli.common import Files, Quiet, layers_of
from neuroevo.cli.launch import Debugging, Distributed, Processes, connect, train
from neuroevo.config import resolve
from neuroevo.config.command import ALL, Command, Line
from neuroevo.config.schema import Settings

_DEFAULT_RUN = tyro.conf.arg(
    help_behavior_hint="(default: runs/ENV-ENCODING-STRATEGY-sSEED)"
)


@dataclasses.dataclass(frozen=True)
class Beginning:
    """Start and directory of the run."""

    start: str | None = None
    """Genome to start the search from, with its parts: a file, a run or zoo:NAME."""
    run_dir: Annotated[Path | None, _DEFAULT_RUN] = None
    """New directory of the run."""


@dataclasses.dataclass(frozen=True)
class Options(Processes, Distributed, Quiet, Settings, Debugging, Beginning, Files):
    """Options of ``train``."""


COMMAND = Command(
    "neuroevo train [OPTIONS]",
    Options,
    "Evolve policies. The run stops at whichever limit comes first.",
    parts=ALL,
)


def run(line: Line) -> int:
    """Train, and return the exit code."""
    given, start = line.options, None
    layers = layers_of(given)
    if given.start is not None:
        from neuroevo import loading

        start = loading.read_source(given.start)
        layers = [*loading.start_layers(start), *layers]
    resolved = resolve.resolve(layers, line.words, command=COMMAND)
    options = resolved.settings
    names = [field.name for field in dataclasses.fields(Settings)]
    settings = Settings(**{name: getattr(options, name) for name in names})
    resolved = dataclasses.replace(resolved, settings=settings)
    connect(options)
    from neuroevo.store.directory import default_path  # help has ended before

    path = options.run_dir or default_path(resolved.names, settings.seed)
    numbered = options.run_dir is None
    return train(resolved, path, options, start=start, numbered=numbered)
