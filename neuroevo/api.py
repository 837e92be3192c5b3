"""Evolve and distill in a few lines of Python; `neuroevo.analysis` has the rest."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from neuroevo import loading, multihost
from neuroevo.config import ranges, resolve
from neuroevo.config.command import Command
from neuroevo.config.custom import loggers_in, parts_in
from neuroevo.config.layers import Layer, read_layers
from neuroevo.config.schema import Machine, Which
from neuroevo.errors import UserError
from neuroevo.loading import Source
from neuroevo.run.launch import launch
from neuroevo.run.run import Run
from neuroevo.run.signals import Interrupted
from neuroevo.solution import Solution
from neuroevo.store import policy_file, rows_file
from neuroevo.store.directory import (
    CONFIG,
    check_new,
    is_run,
    resume_config,
)
from neuroevo.store.files import check_new_file
from neuroevo.studies import demonstrations as demonstrating
from neuroevo.studies import distill as distillation
from neuroevo.terminal.display import make_display, make_line
from neuroevo.views import home

home.provide()


def evolve(
    *,
    preset: str | None = None,
    config_file: str | Path | None = None,
    run_dir: str | Path | None = None,
    start: Source | None = None,
    resume: bool = False,
    display: bool | None = None,
    debug_nans: bool = False,
    callback: Callable[[Mapping[str, Any]], None] | None = None,
    log: Any = None,
    **options: Any,
) -> Run:
    """Evolve policies and return the run.

    Args:
        preset: name of a preset to start from.
        config_file: YAML file with options; wins over the preset.
        run_dir: directory for metrics, checkpoints and results; None writes nothing.
        start: a genome to start the search from: a genome file, a run directory,
            ``"zoo:NAME"``, a run or a solution. Its parts are defaults, which all other
            options override.
        resume: continue the run in `run_dir` if there is one, with the options that it
            was started with; parts made in Python must be passed again.
        display: whether to show the run on stderr; by default one line of progress is
            shown in a terminal or a notebook.
        debug_nans: stop at the first value that is not finite, with an error that says
            where it came from.
        callback: a function that is called with the metrics of each generation.
        log: a logger or a list of loggers. Each is a name, a function of a `Session`
            that returns a `Logger`, or an object that has such a function as ``build``.
        **options: the options of the command line, under the same names: settings such
            as ``population=64``, and the parts ``env``, ``encoding``, ``policy``,
            ``normalization`` and ``strategy``. A part is a name, a mapping with a
            ``name`` and options, or a value made in Python: an object with a ``build``
            method, an `Environment`, an `Objective`, a `Policy`, or a function that
            returns an `Encoding` (of policy and spec) or a `Strategy` (of the
            population). Parts made in Python need not be registered. Instead of
            ``env``, any ``fitness``, a function of ``(apply, params, key)`` that
            returns a number, with the ``spec`` of the networks that it measures: their
            observations and actions.

    Raises:
        UserError: for unknown options, or parts that do not fit together.
        KeyboardInterrupt: for Ctrl-C or SIGTERM, after a checkpoint; its attribute
            `run` is the run up to that point. A second signal raises it at once.

    Example:
        >>> run = neuroevo.evolve(
        ...     env={"name": "CartPole-v1", "max_steps_in_episode": 10},
        ...     encoding={"name": "dataset", "size": 2, "steps": 4},
        ...     policy={"name": "mlp", "hidden": [4]},
        ...     population=4,
        ...     generations=2,
        ...     run_dir="runs/first",
        ... )
        >>> [row["generation"] for row in run.metrics]
        [1, 2]
    """
    path = Path(run_dir) if run_dir is not None else None
    custom, options = parts_in(options)
    loggers, options = loggers_in(log, options)
    recorded = _recorded(path, custom) if resume and path else []
    resume = bool(recorded)
    first = None if resume or start is None else loading.read_source(start)
    given = [*read_layers(preset, config_file), Layer("evolve", options)]
    if first:
        custom = loading.made_parts(first, given, custom=custom)
    layers = [*recorded, *loading.start_layers(first), *given]
    run = launch(
        resolve.resolve(layers, custom=custom),
        path,
        start=first,
        resume=resume,
        display=_display(display),
        debug_nans=debug_nans,
        callback=callback,
        loggers=loggers,
    )
    if run.signal:
        raise Interrupted(run)
    return run


def distill(
    teacher: Source | Callable,
    *,
    start: Source | None = None,
    demonstrations: int = 8,
    preset: str | None = None,
    config_file: str | Path | None = None,
    run_dir: str | Path | None = None,
    display: bool | None = None,
    callback: Callable[[Mapping[str, Any]], None] | None = None,
    log: Any = None,
    **options: Any,
) -> Run:
    """Find pairs that train networks to act like a teacher, and return the run.

    The gradient of the loss on what the teacher does goes through the training on the
    pairs (data-set distillation, Wang et al., 2018, arXiv 1811.10959). To continue a
    run, use ``neuroevo resume``, or `evolve` with its `run_dir`.

    Args:
        teacher: a run, a genome or policy file, ``"zoo:NAME"``, a checkpoint of brax's
            PPO, a file of rows, the name of labeled data such as ``"digits"``, or a
            function of (observation, key) that returns an action.
        start: pairs to go on from: a genome file, ``"zoo:NAME"``, a run or a solution.
            Its parts are defaults, which other options override.
        demonstrations: episodes that the teacher plays, unless there are `rows`.
        preset: as for `evolve`.
        config_file: as for `evolve`.
        run_dir: as for `evolve`.
        display: as for `evolve`.
        callback: as for `evolve`.
        log: as for `evolve`.
        **options: as for `evolve`, with other defaults: four starts (``population``),
            greedy policies, a constant normalization from what the teacher sees.

    Raises:
        UserError: for a teacher that does not fit, or invalid options.

    Example:
        >>> run = neuroevo.distill(
        ...     "zoo:cartpole-d2",
        ...     demonstrations=1,
        ...     encoding={"size": 2, "steps": 4},
        ...     policy={"hidden": [4]},
        ...     strategy={"steps": 2},
        ...     population=2,
        ...     generations=1,
        ... )
        >>> run.metrics[-1]["loss"] > 0
        True
    """
    shown = _display(display)
    episodes = ranges.argument("demonstrations", demonstrations, ranges.Count)
    path = Path(run_dir) if run_dir is not None else None
    custom, options = parts_in(options)
    loggers, options = loggers_in(log, options)
    layers = [*read_layers(preset, config_file), Layer("distill", options)]
    check = partial(multihost.from_main, partial(check_new, path)) if path else None
    with distillation.prepared(
        teacher,
        layers,
        start=start,
        episodes=episodes,
        custom=custom,
        check=lambda config: check() if check else None,
    ) as found:
        run = launch(
            found.config,
            path,
            start=found.start,
            display=shown,
            callback=callback,
            loggers=loggers,
            teacher=found.teacher,
        )
    if run.signal:
        raise Interrupted(run)
    return run


def collect(
    policy: Source | Callable,
    out: str | Path | None = None,
    *,
    episodes: int = 8,
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Let a policy play, and return what it saw and did as arrays by name.

    Args:
        policy: as the teacher of `distill`.
        out: a new file of rows; None writes none.
        episodes: number of episodes.
        seed: seed of the episodes.
        **options: the environment as ``env``, if the policy is not of one.

    Returns:
        ``observations`` as the environment gives them, ``actions`` or
        ``action_logits`` without chance, and ``episode``, the number of each row's
        episode.

    Raises:
        UserError: for a policy that does not fit, before anything is written.

    Example:
        >>> rows = neuroevo.collect("zoo:cartpole-d2", episodes=1)
        >>> rows["observations"].shape[1:], rows["action_logits"].shape[1:]
        ((4,), (2,))
    """
    episodes = ranges.argument("episodes", episodes, ranges.Count)
    if out is not None:
        check_new_file(Path(out), (".npz",))
    custom, options = parts_in(options)
    layers = [Layer("collect", options)]
    lesson = demonstrating.collect(
        policy,
        episodes,
        ranges.argument("seed", seed, ranges.Seed),
        layers,
        command=Command("neuroevo.collect", Machine, parts=("env",)),
        custom=custom,
    )
    if out is not None:
        rows_file.write(Path(out), lesson.arrays)
    return dict(lesson.arrays)


def _display(wanted: bool | None) -> Callable | None:
    """Return what makes the display of a run, if it is to have one."""
    if wanted not in (None, True, False):
        raise UserError(f"display: expected True, False or None, got {wanted!r:.60}")
    return {None: make_line, True: make_display, False: None}[wanted]


def _recorded(path: Path, custom: Mapping[str, Any]) -> list[Layer]:
    """Return the options that the run in `path` was started with, if there is one.

    Parts made in Python are left out.
    """
    if not multihost.from_main(partial(is_run, path)):
        return []
    written = multihost.from_main(partial(resume_config, path))
    written = {k: v for k, v in written.items() if k not in custom}
    return [Layer(str(path / CONFIG), written)]


def load(
    source: Source,
    *,
    which: Which = "best",
    elite: Sequence[float] | None = None,
    **options: Any,
) -> Solution:
    """Return the solution that a genome file or a run holds.

    Args:
        source: a genome file, a run directory, ``"zoo:NAME"`` for a bundled genome, or
            a run or solution in Python.
        which: for a run, ``"best"`` selects the center with the best held-out return,
            and ``"center"`` the last center.
        elite: for a run with an archive, a descriptor: the elite that does nearly what
            it says.
        **options: parts and settings as for `evolve`. They override the file, or supply
            what it lacks. For a merged file, ``env`` selects one of the environments.

    Returns:
        The solution, ready to be decoded and evaluated.

    Raises:
        UserError: if the genome does not fit the options.

    Example:
        >>> solution = neuroevo.load("zoo:cartpole-d2")
        >>> solution.genome["states"].shape
        (2, 4)
        >>> neuroevo.load("runs/first", which="center").which
        'center'
    """
    custom, options = parts_in(options)
    if not custom and not options and elite is None:
        solution = loading.in_memory(source, which)
        if solution is not None:
            return solution
    layers = [Layer("load", options)]
    if elite is not None:
        found = loading.configure(
            loading.read_elite(source, elite), layers, custom=custom
        )
    else:
        found = loading.read_solution(source, layers, custom=custom, which=which)
    return loading.make_solution(*found)


def save_policy(genome: Source, path: str | Path, *, seed: int = 0) -> dict[str, Any]:
    """Train a policy from a genome, write it to a file, and return its description.

    An ``.npz`` file is a genome file of the direct encoding, which every command that
    takes a genome can read. A ``.safetensors`` file has the same arrays, and the
    description as JSON under ``neuroevo`` in its metadata.

    Args:
        genome: as for `load`.
        path: a new file with one of these suffixes.
        seed: which policy to write: the one that ``decode(seed)`` returns.

    Returns:
        The description: how the policy was trained and what its network looks like.

    Raises:
        UserError: if `path` cannot be written, or if the policy's parameters are not
            finite.

    Example:
        >>> about = neuroevo.save_policy(run, "policy.npz", seed=3)
        >>> about["trained_from"]["seed"]
        3
        >>> sorted(np.load("policy.npz").keys())[:2]
        ['hidden_0/bias', 'hidden_0/kernel']
    """
    path = Path(path)
    policy_file.check(path)
    arrays, meta = load(genome).trained(seed)
    policy_file.write(path, arrays, meta)
    return meta
