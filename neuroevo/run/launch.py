"""Runs a configuration to the end: directory, loggers, signals and the loop."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from neuroevo import devices, multihost
from neuroevo.config.schema import Config
from neuroevo.run import loop, recorder, switches
from neuroevo.run.recorder import Recorder
from neuroevo.run.run import Run
from neuroevo.run.signals import interruptible
from neuroevo.run.teaching import Teacher
from neuroevo.store import genome_file
from neuroevo.store.checkpoints import list_steps
from neuroevo.store.directory import (
    START,
    RunDirectory,
    check_new,
    read_config,
    read_summary,
)
from neuroevo.store.genome_file import GenomeFile


def launch(
    config: Config,
    path: Path | None = None,
    *,
    start: GenomeFile | None = None,
    resume: bool = False,
    numbered: bool = False,
    debug_nans: bool = False,
    keep_metrics: bool = True,
    leave: Callable[[int], None] | None = None,
    loggers: Mapping[str, Any] | None = None,
    teacher: Teacher | None = None,
    **options: Any,
) -> Run:
    """Train the run that `config` describes, in `path` if given, and return it.

    Nothing is written before the parts have been built. Nothing is written at all if
    the run already has its results and has reached a limit: see `Run.ended_before`.

    Args:
        config: the resolved configuration.
        path: the run's directory, if it has one.
        start: a genome to start from.
        resume: continue from the newest checkpoint in `path`.
        numbered: whether a new run uses ``path-2`` and so on if `path` is taken.
        debug_nans: see `loop.train`.
        keep_metrics: see `Run`.
        leave: called immediately at a second signal, whereas the main thread is
            interrupted only when no compiled program runs: see
            `signals.interruptible`.
        loggers: loggers made in Python, in addition to the configured ones.
        teacher: see `Run`.
        **options: further arguments of `loop.train`.

    Raises:
        UserError: if the parts do not fit together, or if `path` cannot hold the run.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(multihost.together())
        others = stack.enter_context(switches.pinned())
        if path and not (resume or numbered):
            multihost.from_main(lambda: check_new(path))
        if path and resume:
            start = _read_start(path)
        run = Run(config, path, start, keep_metrics, teacher)
        if run.parts.task.host is not None:
            stack.callback(run.parts.task.host.close)
        loggers = {**config.loggers, **(loggers or {})}
        multihost.from_main(lambda: recorder.check(loggers, path))
        stop = stack.enter_context(interruptible(leave))
        directory = None
        if path and multihost.is_main():
            schedule = config.settings.checkpoint
            directory = stack.enter_context(
                RunDirectory.claim(path, schedule)
                if numbered
                else RunDirectory(path, schedule, new=not resume)
            )
        if numbered:
            found = multihost.from_main(lambda: directory and str(directory.path))
            run.path = Path(found)
        if directory and not resume:
            if start:
                directory.write_start(start)
            _describe(run, directory, others)  # from here on the run can be resumed
        run.initialize(directory)
        if resume and _has_ended(run):
            return run
        if directory and resume:  # one that could not be restored keeps what it had
            _describe(run, directory, others)
        if multihost.is_main():
            options["recorder"] = stack.enter_context(_open(run, loggers))
        options = options if multihost.is_main() else {}
        loop.train(run, directory, stop=stop, debug_nans=debug_nans, **options)
    return run


class Ended(NamedTuple):
    """The end of a run: the limit that it reached, and its last generation."""

    limit: str
    generation: int


def ended(config: Config, path: Path) -> Ended | None:
    """Return how the run in `path` ended, or None if `config` lets it continue.

    Only files are read, so that nothing is built for a run that needs nothing. The
    result is also None in rare cases that only the restored run can decide.
    """

    def find() -> list[Any] | None:
        summary, steps = read_summary(path), list_steps(path)
        generation = summary.get("generations")
        if not steps or generation != steps[0]:
            return None
        now, before = config.to_dict(), read_config(path)
        used = {
            "generations": (generation, now["generations"]),
            "environment steps": (summary.get("env_steps", 0), now["max_env_steps"]),
        }
        for limit, (amount, most) in used.items():
            if most is not None and amount >= most:
                return [limit, generation]
        # The summary has more seconds than the checkpoint, and not the last returns.
        decisive = {"time": "max_seconds", "target": "target", "patience": "patience"}
        reached = str(summary.get("stopped_by"))
        option = decisive.get(reached)
        same = option is not None and now[option] == before.get(option)
        return [reached, generation] if same else None

    found = multihost.from_main(find)
    return found and Ended(*found)


def _has_ended(run: Run) -> bool:
    """Return whether the run has its results and has reached a limit.

    If so, the results become those of `run`.
    """

    def read() -> dict[str, Any]:
        return read_summary(run.path) if run.path else {}

    run.ended_before = loop.limit_reached(run)
    if run.ended_before is None:
        return False
    summary = multihost.from_main(read)
    if summary.get("generations") != run.generation:
        run.ended_before = None
        return False
    run.summary = summary
    if summary.get("best_is_final"):
        run.choose_center()
    return True


def _describe(run: Run, directory: RunDirectory, others: Mapping[str, Any]) -> None:
    """Write the configuration of the run, and facts about the machine."""
    directory.write_config(run.config.to_dict())
    directory.write_environment(
        {"devices": devices.label(run.devices), "overridden_switches": others}
    )


def _open(run: Run, loggers: Mapping[str, Any]) -> Recorder:
    """Return the open loggers of a run; `loggers` are their options by name."""
    names = run.config.names
    name = run.path.name if run.path else f"{names['env']}-{names['encoding']}"
    return Recorder(loggers, run.path, run.config.to_dict(), name)


def _read_start(path: Path) -> GenomeFile | None:
    """Return the genome that the run in `path` started from, if it was given one."""

    def read() -> list[Any] | None:
        if not (path / START).exists():
            return None
        file = genome_file.load(path / START)
        return [file.arrays, dict(file.meta)]

    found = multihost.from_main(read)
    return found and GenomeFile(path / START, *found)
