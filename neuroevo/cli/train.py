"""``neuroevo train``: evolve policies."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from neuroevo.cli.common import Files, Quiet, layers_of
from neuroevo.cli.launch import Debugging, Distributed, Processes, connect, train
from neuroevo.config import resolve
from neuroevo.config.command import ALL, Command, Line
from neuroevo.config.schema import Config, Settings

_DEFAULT_RUN = tyro.conf.arg(
    help_behavior_hint="(default: runs/ENV-ENCODING-STRATEGY-sSEED)"
)


@dataclasses.dataclass(frozen=True)
class Directory:
    """Directory of the run."""

    run_dir: Annotated[Path | None, _DEFAULT_RUN] = None
    """New directory of the run."""


@dataclasses.dataclass(frozen=True)
class Beginning:
    """Start of the run."""

    start: str | None = None
    """Genome to start the search from, with its parts: a file, a run or zoo:NAME."""


@dataclasses.dataclass(frozen=True)
class Options(
    Processes, Distributed, Quiet, Settings, Debugging, Directory, Beginning, Files
):
    """Options of ``train``."""


COMMAND = Command(
    "neuroevo train [OPTIONS]",
    Options,
    "Evolve policies. The run stops at whichever limit comes first.",
    parts=ALL,
)


def with_settings(resolved: Config) -> Config:
    """Return a configuration without the options of a command that a run lacks."""
    names = [field.name for field in dataclasses.fields(Settings)]
    settings = Settings(**{name: getattr(resolved.settings, name) for name in names})
    return dataclasses.replace(resolved, settings=settings)


def run(line: Line) -> int:
    """Train, and return the exit code."""
    given, start = line.options, None
    layers = layers_of(given)
    if given.start is not None:
        from neuroevo import loading

        start = loading.read_source(given.start)
        if resolve.take_name("env", layers, line.names)[0] is None:
            loading.check_module(start.path, start.meta.get("env"))
        layers = [*loading.start_layers(start), *layers]
    resolved = resolve.resolve(layers, line.words, command=COMMAND)
    options, resolved = resolved.settings, with_settings(resolved)
    connect(options)
    from neuroevo.store.directory import default_path  # help has ended before

    path = options.run_dir or default_path(resolved.names, options.seed)
    numbered = options.run_dir is None
    return train(resolved, path, options, start=start, numbered=numbered)
