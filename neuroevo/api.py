"""Evolve in a few lines of Python: the functions that the package exports."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neuroevo import loading
from neuroevo import multihost as processes
from neuroevo.config import resolve as config
from neuroevo.config.custom import loggers_in, parts_in
from neuroevo.run import loop as training
from neuroevo.solution import Solution
from neuroevo.store import directory as runs
from neuroevo.store import zoo
from neuroevo.terminal.live import make_display


def evolve(
    *,
    preset: str | None = None,
    config_file: str | Path | None = None,
    run_dir: str | Path | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    display: bool = False,
    debug_nans: bool = False,
    callback: Callable[[Mapping[str, Any]], None] | None = None,
    log: Any = None,
    **options: Any,
) -> training.Run:
    """Evolve policies and return the run.

    For example ``evolve(env="hopper", encoding={"name": "dataset", "size": 4})``.

    Args:
        preset: name of a preset to start from.
        config_file: YAML file with options; wins over the preset.
        run_dir: where to keep metrics, checkpoints and results; None keeps none.
        start: a genome to begin the search at: a file, a run directory or
            ``"zoo:NAME"``. What it says of its parts are the lowest options.
        resume: continue the run in `run_dir` if there is one, with the options that it
            was started with; parts made in Python must be given again.
        display: show the run on stderr.
        debug_nans: end with an error at the first value that is not finite, which says
            where it came from.
        callback: called with the metrics of each generation.
        log: a logger or a list of them, each by its name or made in Python: a function
            of a `Session` that returns a `Logger`, or an object whose ``build`` is one.
        **options: as on the command line, which they take the names from: settings
            such as ``population=64``, and the parts ``env``, ``encoding``, ``policy``,
            ``normalization`` and ``strategy``. A part is a name, a mapping of a
            ``name`` and options, or a value made in Python, registered or not: one with
            a ``build`` method, an `Environment`, a `Policy`, or a function that returns
            an `Encoding` (of policy and spec) or a `Strategy` (of the population).

    Raises:
        UserError: for options that are unknown, or parts that do not go together.
    """
    path = Path(run_dir) if run_dir is not None else None
    resume = resume and path is not None
    resume = resume and processes.from_main(lambda: runs.is_run(path))
    custom, options = parts_in(options)
    loggers, options = loggers_in(log, options)
    layers = []
    if resume:
        written = processes.from_main(lambda: runs.read_config(path))
        written = {k: v for k, v in written.items() if k not in custom}
        layers.append(config.Layer(str(path / runs.CONFIG), written))
    first = None if resume else loading.read_start(start)
    layers += loading.start_layers(first)
    layers += config.read_layers(preset, config_file)
    layers.append(config.Layer("evolve", options))
    return training.launch(
        config.resolve(layers, custom=custom, prog="evolve"),
        path,
        start=first,
        resume=resume,
        display=make_display if display else None,
        debug_nans=debug_nans,
        callback=callback,
        loggers=loggers,
    )


def load(path: str | Path, **options: Any) -> Solution:
    """Return the solution in a genome file, or the best one of a run directory.

    ``"zoo:NAME"`` is a genome that comes with the package. Options override what the
    file says, or say what it does not; see `evolve`. Of a merged file, ``env`` chooses
    one of the environments.

    Raises:
        UserError: if the file does not fit them.
    """
    custom, options = parts_in(options)
    layers = [config.Layer("load", options)]
    return loading.make_solution(
        *loading.read_solution(zoo.locate(path), layers, custom=custom)
    )
