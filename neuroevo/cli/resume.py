"""``neuroevo resume``: continue a run from its newest checkpoint."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from neuroevo.cli.common import Quiet
from neuroevo.cli.launch import (
    Debugging,
    Distributed,
    Processes,
    connect,
    say_nothing_to_do,
    train,
)
from neuroevo.config import resolve
from neuroevo.config.command import Command, Line
from neuroevo.config.layers import Layer
from neuroevo.config.ranges import Count, CountOrZero, Limit, Positive


@dataclasses.dataclass(frozen=True)
class Resumed:
    """The run to resume."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run directory."""


@dataclasses.dataclass(frozen=True)
class NewLimits:
    """Limits that replace the run's previous ones; none keeps a previous limit."""

    TITLE: ClassVar[str] = "limit"

    generations: Limit | None = None
    """Total number of generations."""
    max_env_steps: Limit | None = None
    """Total number of environment steps."""
    max_seconds: Positive | None = None
    """Total time in seconds."""
    target: float | None = None
    """Held-out return of the center to stop at."""
    patience: Count | None = None
    """Held-out evaluations in a row without a new best, after which to stop."""


@dataclasses.dataclass(frozen=True)
class NewEvaluation:
    """Size of the final evaluation; none keeps the previous one."""

    TITLE: ClassVar[str] = "evaluation"

    final_policies: CountOrZero | None = None
    """Number of fresh policies; 0: no final evaluation."""
    final_episodes: Count | None = None
    """Number of episodes of each policy."""


@dataclasses.dataclass(frozen=True)
class Devices:
    """Use of this machine."""

    TITLE: ClassVar[str] = "machine"

    devices: Count | Literal["auto"] | None = None
    """Devices to use in each process, a number or auto; none: as many as before."""


@dataclasses.dataclass(frozen=True)
class Options(
    Processes, Distributed, Devices, Quiet, NewEvaluation, NewLimits, Debugging, Resumed
):
    """Options of ``resume``."""


COMMAND = Command(
    "neuroevo resume RUN [OPTIONS]",
    Options,
    "Continue a run from its newest checkpoint.",
)
_CHANGES = tuple(
    field.name
    for changes in (NewLimits, NewEvaluation, Devices)
    for field in dataclasses.fields(changes)
)


def run(line: Line) -> int:
    """Resume a run, and return the exit code."""
    from neuroevo import multihost
    from neuroevo.run import launch
    from neuroevo.store.directory import CONFIG, resume_config

    options = line.options
    connect(options)
    path = Path(options.run)
    changes = {name: getattr(options, name) for name in _CHANGES}
    changes = {name: value for name, value in changes.items() if value is not None}
    written = multihost.from_main(lambda: resume_config(path))
    layers = [
        Layer(str(path / CONFIG), written),
        Layer("neuroevo resume", changes),
    ]
    resolved = resolve.resolve(layers)
    if end := launch.ended(resolved, path):
        if multihost.is_main():
            say_nothing_to_do(path, *end)
        return 0
    return train(resolved, path, options, resume=True)
