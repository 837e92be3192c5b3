"""Runs a search from the command line: code shared by ``train`` and ``resume``."""

import dataclasses
import functools
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from neuroevo.cli.common import say
from neuroevo.config.ranges import Count, CountOrZero

if TYPE_CHECKING:
    from neuroevo.config.schema import Config
    from neuroevo.run.run import Run
    from neuroevo.store.genome_file import GenomeFile


@dataclasses.dataclass(frozen=True)
class Debugging:
    """The search for the origin of values that are not finite."""

    debug_nans: bool = False
    """Stop at the first value that is not finite, and report where it came from."""


@dataclasses.dataclass(frozen=True)
class Distributed:
    """Runs of several processes."""

    TITLE: ClassVar[str] = "machine"

    in_cluster: Annotated[bool, tyro.conf.arg(name="distributed")] = False
    """Run together with the other processes of this job."""


@dataclasses.dataclass(frozen=True)
class Coordination:
    """The processes of a run without a cluster that JAX can ask."""

    coordinator: str | None = None
    """HOST:PORT at which process 0 can be reached."""
    processes: Count | None = None
    """Number of processes."""
    process: CountOrZero | None = None
    """Number of this process, from 0."""


@dataclasses.dataclass(frozen=True)
class Processes:
    """Runs of several processes, without a cluster."""

    distributed: Coordination = dataclasses.field(default_factory=Coordination)


def connect(options: Any) -> None:
    """Join the other processes of the run, if its `options` name any."""
    given = dataclasses.asdict(options.distributed)
    if options.in_cluster or set(given.values()) != {None}:
        from neuroevo import multihost

        multihost.connect(**given)


def train(
    resolved: "Config",
    path: Path,
    options: Any,
    *,
    start: "GenomeFile | None" = None,
    resume: bool = False,
    numbered: bool = False,
) -> int:
    """Train in `path`, show the result, and return the exit code."""
    return search(
        resolved, path, options, start=start, resume=resume, numbered=numbered
    )[0]


def search(
    resolved: "Config", path: Path, options: Any, **given: Any
) -> "tuple[int, Run]":
    """Train in `path`, show the result, and return the exit code and the run.

    Args:
        resolved: the configuration.
        path: directory of the run.
        options: how to show it.
        **given: further arguments of `run.launch.launch`.
    """
    from neuroevo import multihost
    from neuroevo.run import launch, loop
    from neuroevo.terminal.console import make_console
    from neuroevo.terminal.display import make_display

    run = launch.launch(
        resolved,
        path,
        keep_metrics=False,
        leave=_leave,
        debug_nans=options.debug_nans,
        display=functools.partial(make_display, quiet=options.quiet),
        **given,
    )
    interrupted = run.summary.get("stopped_by") == loop.INTERRUPTED
    code = 128 + (run.signal or 0) if interrupted and not run.ended_before else 0
    if not multihost.is_main():
        return code, run
    if run.ended_before:
        say_nothing_to_do(path, run.ended_before, run.generation)
        return 0, run
    if code:
        make_console(stderr=True).print(
            f"interrupted at generation {run.generation}, checkpoint written; "
            f"continue with: {_resume(run.path)}",
            soft_wrap=True,
            highlight=False,
        )
        return code, run
    _show(run, resolved)
    return 0, run


def say_nothing_to_do(path: Path, limit: str, generation: int) -> None:
    """Say that a run had ended before, and how to continue it."""
    say(
        f"{path}: nothing to do: the run has reached its limit ({limit}) at generation "
        f"{generation}; to continue it: {_resume(path)} --generations N"
    )


def _resume(path: Path | None) -> str:
    """Return the command that continues a run."""
    return f"neuroevo resume {shlex.quote(str(path))}"


def _show(run: "Run", resolved: "Config") -> None:
    """Show the results of a run, and its pairs if there are only a few."""
    from neuroevo.spaces import choices
    from neuroevo.terminal import genomes, results
    from neuroevo.terminal.console import make_console
    from neuroevo.traits import EnvironmentTraits, traits

    console = make_console(stderr=True)
    results.render_summary(run.summary, console)
    arrays = run.center.arrays()
    if "states" in arrays and len(arrays["states"]) <= 16:
        env = traits(EnvironmentTraits, resolved.parts["env"])
        action = run.parts.environment.spec.action
        rows = genomes.in_rows(arrays, action)
        genomes.render_dataset(
            rows.arrays,
            console,
            order=rows.names,
            title=rows.title,
            features=env.features,
            actions=env.actions,
            counts=choices(action),
        )


def _leave(number: int) -> None:
    """End the process at a second signal, unless the signal itself interrupts it."""
    time.sleep(1)
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    os.write(2, f"{show_cursor}neuroevo: interrupted\n".encode())
    os._exit(128 + number)
