"""The command line: ``neuroevo train | resume | evaluate | list``."""

import dataclasses
import functools
import itertools
import os
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import neuroevo
from neuroevo import registry
from neuroevo.config import parsing, schema
from neuroevo.config import resolve as config
from neuroevo.config.layers import describe_preset, presets, read_layers
from neuroevo.config.ranges import Count, Positive, Seed
from neuroevo.errors import ProcessError, UserError, unknown
from neuroevo.store import zoo
from neuroevo.store.files import atomic_write, to_json
from neuroevo.traits import EnvironmentTraits, traits

_USAGE = """\
usage: neuroevo COMMAND [OPTIONS]

  train     evolve policies:  neuroevo train --encoding dataset --env CartPole-v1
  resume    continue a run:   neuroevo resume RUN [--generations N]
  evaluate  measure a run or a genome file on fresh policies and episodes
  sweep     train every run of a grid, and compare them:  neuroevo sweep SWEEP.yaml
  merge     one data set of several:  neuroevo merge A B --out MERGED.npz
  transfer  train other networks from a genome:  neuroevo transfer GENOME.npz
  train-policy  write the parameters of a policy trained from a genome to a file
  inspect   show the pairs of a data set:  neuroevo inspect GENOME.npz
  render    record an episode:  neuroevo render RUN|GENOME.npz --out episode.gif
  plot      draw learning curves for print:  neuroevo plot RUN RUN ... --out curves.pdf
  report    put all there is to see of runs on one page:  neuroevo report RUN ...
  metrics   the figures of runs as CSV or Parquet:  neuroevo metrics RUN [--out FILE]
  doctor    what is installed here, and whether it works
  completion  a script that completes commands and options in your shell
  list      show what there is: encodings, envs, strategies, policies, presets

neuroevo COMMAND --help shows a command's options, with those of the chosen parts.
"""

_Positional = tyro.conf.Positional


@dataclasses.dataclass(frozen=True)
class _Processes:
    """The processes of a run, where no cluster tells."""

    coordinator: str | None = None
    """HOST:PORT that process 0 can be reached at."""
    processes: int | None = None
    """How many processes there are."""
    process: int | None = None
    """Which one this is, from 0."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Distributed:
    """Settings of a run of several processes."""

    in_cluster: Annotated[bool, tyro.conf.arg(name="distributed")] = False
    """Run together with the other processes of this job."""
    distributed: _Processes = dataclasses.field(default_factory=_Processes)

    def connect(self) -> None:
        """Join the other processes, if there are any."""
        from neuroevo import multihost as processes

        given = dataclasses.asdict(self.distributed)
        if self.in_cluster or set(given.values()) != {None}:
            processes.connect(**given)


@dataclasses.dataclass(frozen=True)
class _Train(_Distributed, config.Settings):
    """Settings of ``train``, besides those that ``config.yaml`` holds."""

    config: Path | None = None
    """YAML file with options; the command line wins."""
    preset: str | None = None
    """Start from a preset (neuroevo list presets)."""
    start: str | None = None
    """Begin at this genome, a file, a run or zoo:NAME, and with its parts."""
    run_dir: Path | None = None
    """Where the run goes (default: runs/ENV-ENCODING-STRATEGY-sSEED)."""
    quiet: bool = False
    """Plain lines instead of the live display."""
    debug_nans: bool = False
    """End at the first value that is not finite, and say where it came from."""


@dataclasses.dataclass(frozen=True)
class _Resume(_Distributed):
    """Settings of ``resume``."""

    run: _Positional[Path]
    """A run directory."""
    generations: int | None = None
    """A new limit of generations."""
    max_env_steps: int | None = None
    """A new limit of environment steps."""
    max_seconds: float | None = None
    """A new limit of seconds, those already spent included."""
    devices: str | None = None
    """Devices to use, a number or auto; it need not be as before."""
    quiet: bool = False
    """Plain lines instead of the live display."""
    debug_nans: bool = False
    """End at the first value that is not finite, and say where it came from."""


@dataclasses.dataclass(frozen=True)
class _TrainPolicy(schema.Machine):
    """Settings of ``train-policy``."""

    out: Path | None = None
    """New file to write, .npz or .safetensors."""
    seed: Seed = 0
    """Seed of the policy's initial parameters."""
    config: Path | None = None
    """YAML file with options of the parts; the command line wins."""
    preset: str | None = None
    """Take the options of the parts from a preset."""


@dataclasses.dataclass(frozen=True)
class _Evaluate(schema.Machine):
    """Settings of ``evaluate``."""

    policies: Count = 8
    """Fresh policies decoded from the genome."""
    episodes: Count = 8
    """Episodes of each policy."""
    seed: Seed | None = None
    """Seed of the policies and episodes, a run's own for those of its final evaluation;
    None for new ones every time."""
    config: Path | None = None
    """YAML file with options of the parts; the command line wins."""
    preset: str | None = None
    """Take the options of the parts from a preset."""
    json: bool = False
    """Print one JSON object on stdout and nothing else."""


@dataclasses.dataclass(frozen=True)
class _Merge(_Evaluate):
    """Settings of ``merge``."""

    out: Path | None = None
    """New genome file to write."""


@dataclasses.dataclass(frozen=True)
class _Transfer(_Evaluate):
    """Settings of ``transfer``."""

    policies: Count = 8
    """Fresh policies of each kind."""
    episodes: Count = 4
    """Episodes of each policy."""
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    """Units of each hidden layer; a kind of policy for every combination of values."""
    depths: tuple[int, ...] | None = None
    """Numbers of hidden layers; None for the genome's own."""
    activations: tuple[str, ...] = ("tanh", "relu")
    """Nonlinearities of the hidden layers."""
    optimizers: tuple[str, ...] | None = None
    """Optimizers to train with; None for the genome's own."""
    learning_rates: tuple[float, ...] | None = None
    """Learning rates of the first step; None for the genome's own."""
    steps: tuple[int, ...] | None = None
    """Numbers of training steps; None for the genome's own."""
    picture: Path | None = None
    """New file for a heat map, .png, .svg or .pdf."""


@dataclasses.dataclass(frozen=True)
class _Look(schema.Machine):
    """Settings of commands that show a genome."""

    config: Path | None = None
    """YAML file with options of the parts; the command line wins."""
    preset: str | None = None
    """Take the options of the parts from a preset."""
    renderer: Literal["outlines", "mujoco"] = "outlines"
    """How bodies are drawn; MuJoCo's renderer needs EGL or OSMesa."""
    seed: Seed = 0
    """Seed of the policy and of its episode."""


@dataclasses.dataclass(frozen=True)
class _Inspect(_Look):
    """Settings of ``inspect``."""

    picture: Path | None = None
    """New file for a picture of the pairs, .png, .svg or .pdf."""


@dataclasses.dataclass(frozen=True)
class _Render(_Look):
    """Settings of ``render``."""

    out: Path | None = None
    """New file to write, .gif, .mp4 or, for brax, .html (default: ENV.gif)."""
    policies: Count = 5
    """Fresh policies to record; the one with the middle return is shown."""
    frames: Count = 200
    """Frames at most; of a longer episode only every k-th step is shown."""
    fps: Positive = 25
    """Frames in a second."""


@dataclasses.dataclass(frozen=True)
class _Plot:
    """Settings of ``plot``."""

    out: Path | None = None
    """New file to write, .png, .svg or .pdf."""
    metric: Literal[
        "center_return", "fitness_mean", "fitness_max", "fitness_std", "failures"
    ] = "center_return"
    """What to compare several runs by."""
    x: Literal["generation", "env_steps", "seconds"] = "env_steps"
    """What it is drawn over."""
    size: tuple[float, float] = (3.4, 2.4)
    """Width and height in inches."""


@dataclasses.dataclass(frozen=True)
class _Report:
    """Settings of ``report``."""

    out: Path | None = None
    """New file to write, .html (default: report.html, in the run if it is one)."""
    episode: bool = True
    """Record an episode, which takes most of the time."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code.

    0 done, 1 our fault, 2 the user's mistake, 130 interrupted (143 by SIGTERM).
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # XLA's compiler warns of slow compilations and the like: not for our users' eyes.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        code = _dispatch(arguments)
    except UserError as error:
        print(f"neuroevo: {error}", file=sys.stderr)
        code = 2
    except ProcessError as error:
        print(f"neuroevo: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt as error:
        print("neuroevo: interrupted", file=sys.stderr)
        code = 128 + (error.args[0] if error.args else signal.SIGINT)
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception:
        if not _is_distributed():
            raise
        traceback.print_exc()
        code = 1
    if _is_distributed():
        sys.modules["neuroevo.multihost"].leave(code)
    sys.exit(code)


def _is_distributed() -> bool:
    """Return whether there are other processes, without importing anything for it."""
    processes = sys.modules.get("neuroevo.multihost")
    return processes is not None and processes.is_distributed()


def _dispatch(arguments: list[str]) -> int:
    match arguments:
        case [] | ["-h" | "--help", *_]:
            print(_USAGE, end="")
            return 0
        case ["--version", *_]:
            print(f"neuroevo {neuroevo.__version__}")
            return 0
        case [command, *rest] if command in _COMMANDS:
            function, _ = _COMMANDS[command]
            return function(_switches(rest))
        case [command, *_]:
            raise unknown("command", command, _COMMANDS)
    raise AssertionError


def _switches(arguments: list[str]) -> list[str]:
    """Let ``--json`` and the like stand for ``--json True``."""
    switches = ("--json", "--quiet", "--distributed", "--dry-run", "--debug-nans")
    switched = []
    for argument, following in itertools.zip_longest(arguments, arguments[1:]):
        switched.append(argument)
        if argument in switches and following not in ("True", "False"):
            switched.append("True")
    return switched


def _layers(arguments: Sequence[str]) -> list[config.Layer]:
    """Return the preset and the file that `arguments` name, as layers."""
    return read_layers(
        parsing.option_in(arguments, "--preset"),
        parsing.option_in(arguments, "--config"),
    )


def _train(arguments: list[str]) -> int:
    from neuroevo import loading
    from neuroevo.store.directory import default_path

    start = loading.read_start(parsing.option_in(arguments, "--start"))
    layers = [*loading.start_layers(start), *_layers(arguments)]
    resolved = config.resolve(layers, arguments, schema=_Train)
    options = resolved.settings
    names = [field.name for field in dataclasses.fields(config.Settings)]
    settings = config.Settings(**{name: getattr(options, name) for name in names})
    resolved = dataclasses.replace(resolved, settings=settings)
    options.connect()
    path, numbered = options.run_dir, options.run_dir is None
    path = path or default_path(resolved.names, settings.seed)
    return _launch(resolved, path, options, start=start, numbered=numbered)


def _resume(arguments: list[str]) -> int:
    from neuroevo import multihost as processes
    from neuroevo.store.directory import CONFIG, resume_config

    options = parsing.parse_command(_Resume, arguments, prog="neuroevo resume")
    options.connect()
    limits = ("generations", "max_env_steps", "max_seconds", "devices")
    changes = {name: getattr(options, name) for name in limits}
    changes = {name: value for name, value in changes.items() if value is not None}
    written = processes.from_main(lambda: resume_config(options.run))
    written = config.Layer(str(options.run / CONFIG), written)
    resolved = config.resolve([written, config.Layer("neuroevo resume", changes)])
    return _launch(resolved, options.run, options, resume=True)


def _launch(
    resolved: config.Config,
    path: Path,
    options: _Train | _Resume,
    *,
    start=None,
    resume=False,
    numbered=False,
) -> int:
    """Train in `path`, show the result, and return the exit code."""
    import numpy as np

    from neuroevo import multihost as processes
    from neuroevo.run import loop
    from neuroevo.run.launch import launch
    from neuroevo.terminal import display, genomes, results

    run = launch(
        resolved,
        path,
        start=start,
        resume=resume,
        numbered=numbered,
        keep_metrics=False,
        leave=_leave,
        debug_nans=options.debug_nans,
        display=functools.partial(display.make_display, quiet=options.quiet),
    )
    if run.ended_before:
        _tell(
            f"{path}: nothing to do: the run has reached its limit ({run.ended_before})"
            f" at generation {run.generation}; to go on: neuroevo resume "
            f"{shlex.quote(str(path))} --generations N"
        )
        return 0
    interrupted = run.summary["stopped_by"] == loop.INTERRUPTED
    code = 128 + run.signal if interrupted else 0
    if not processes.is_main():
        return code
    console = _console(stderr=True)
    if interrupted:
        console.print(
            f"interrupted at generation {run.generation}, checkpoint written; "
            f"continue with: neuroevo resume {shlex.quote(str(run.path))}",
            soft_wrap=True,
            highlight=False,
        )
        return code
    results.render_summary(run.summary, console)
    arrays = run.center.arrays()
    if "states" in arrays and len(arrays["states"]) <= 16:
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        env = traits(EnvironmentTraits, resolved.parts["env"])
        names = {"features": env.features, "actions": env.actions}
        genomes.render_dataset(arrays, console, **names)
    return code


def _leave(number: int) -> None:
    """End the process for a second signal, if that does not interrupt it by itself."""
    time.sleep(1)
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    os.write(2, f"{show_cursor}neuroevo: interrupted\n".encode())
    os._exit(128 + number)


def _console(**options: Any) -> Any:
    from neuroevo.terminal.console import make_console

    return make_console(**options)


@dataclasses.dataclass(frozen=True)
class _Sweep:
    """Settings of ``sweep``."""

    file: _Positional[Path]
    """A sweep file: options of train, and under sweep what varies."""
    out: Path | None = None
    """Folder for the runs (default: runs/ and the file's name)."""
    submit: Literal["slurm", "local"] | None = None
    """Submit the runs as jobs, to Slurm or all at once to this machine (submitit)."""
    dry_run: bool = False
    """Run nothing: show what there is, and what is missing."""
    quiet: bool = False
    """Plain lines instead of the live display."""
    json: bool = False
    """Print one JSON object on stdout and nothing else."""


def _sweep(arguments: list[str]) -> int:
    from neuroevo.studies import sweep as sweeping
    from neuroevo.terminal import results

    options = parsing.parse_command(_Sweep, arguments, prog="neuroevo sweep")
    sweep = sweeping.read(options.file, options.out)
    code = 0
    if options.submit and not options.dry_run:
        jobs = sweeping.submit(sweep, options.submit)
        _tell(f"submitted {len(jobs)} runs: {', '.join(job.job_id for job in jobs)}")
        if jobs and options.submit == "slurm":
            _tell(f"see how far they are: neuroevo sweep {options.file} --dry-run")
            return 0
        code = int(any([job.result() for job in jobs]))
    elif not options.dry_run:
        code = sweeping.run(sweep, _tell, quiet=options.quiet)
    rows = sweeping.table(sweep)
    report = None if options.dry_run else _compare(sweep)
    if options.json:
        found = {"sweep": str(sweep.path), "variants": rows, "report": report}
        print(to_json(found))
    else:
        results.render_sweep(str(sweep.path), rows, _console())
        if report:
            print(f"report {report}")
    return code


def _compare(sweep: Any) -> str | None:
    """Write a report of a sweep's finished runs; return where it is, if there are."""
    from neuroevo.store import record
    from neuroevo.studies import sweep as sweeping
    from neuroevo.views import comparison

    done = [trial.path for trial in sweep.trials if sweeping.is_finished(trial)]
    if not done:
        return None
    path = sweep.path / "report.html"
    html = comparison.make_comparison([record.read_record(each) for each in done])
    atomic_write(path, html)
    return str(path)


def _tell(line: str) -> None:
    print(f"neuroevo: {line}", file=sys.stderr, flush=True)


_EVALUATE = "neuroevo evaluate RUN|GENOME.npz"


def _evaluate(arguments: list[str]) -> int:
    from neuroevo import loading
    from neuroevo.store import genome_file
    from neuroevo.store.directory import read_genome
    from neuroevo.terminal import results

    path, arguments = _take_path(arguments, _EVALUATE)
    layers, options = _layers(arguments), {"schema": _Evaluate, "prog": _EVALUATE}
    if path is None:  # only --help can do without
        config.resolve(map(config.without_settings, layers), arguments, **options)
    file = read_genome(path)
    tasks = genome_file.split(file)
    if not tasks or config.take_name("env", layers, arguments)[0]:
        tasks = {None: file}  # a plain genome, or one environment of a merged one
    prepared = {}
    for name, file in tasks.items():
        resolved, file = loading.configure(file, layers, arguments, **options)
        prepared[name] = loading.prepare(resolved, file)
    options = resolved.settings
    measured = {
        name: loading.finish(*each).evaluate(
            options.policies, options.episodes, seed=options.seed
        )
        for name, each in prepared.items()
    }
    result = measured.get(None)
    if options.json:
        found = {"tasks": measured} if result is None else result
        print(to_json({"genome": str(file.path)} | found))
    elif result is None:
        results.render_environments(measured, _console())
    else:
        results.render_evaluation(result, _console())
    return 0


_MERGE = "neuroevo merge RUN|GENOME.npz RUN|GENOME.npz ... --out MERGED.npz"


def _merge(arguments: list[str]) -> int:
    from neuroevo.store.files import check_new_file
    from neuroevo.studies import merge as merging
    from neuroevo.terminal import results

    paths = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    arguments = arguments[len(paths) :]
    layers = merging.network_layers(_layers(arguments))
    options = {"schema": _Merge, "prog": _MERGE}
    if {"-h", "--help"} & set(arguments):
        config.resolve(layers, arguments, **options)
    out = parsing.option_in(arguments, "--out")
    if out is None:
        raise UserError(f"expected a file to write: {_MERGE}")
    check_new_file(Path(out))
    merged = merging.merge_files(
        merging.read_genomes(paths), layers, arguments, **options
    )
    options = next(iter(merged.tasks.values())).config.settings
    for option, (taken, *others) in merged.disagreements.items():
        others = ", ".join(str(value) for value in others)
        print(
            f"neuroevo: {option}: {taken} as in the first genome; others: {others}",
            file=sys.stderr,
        )
    merged.save(out)
    measured = merged.evaluate(options.policies, options.episodes, seed=options.seed)
    if options.json:
        print(to_json({"genome": out, "tasks": measured}))
    else:
        results.render_environments(measured, _console())
    return 0


_TRANSFER = "neuroevo transfer RUN|GENOME.npz"


def _transfer(arguments: list[str]) -> int:
    from neuroevo import loading
    from neuroevo.studies import transfer as transferring
    from neuroevo.terminal import results
    from neuroevo.views import heat_map

    resolved, file = _read(arguments, _Transfer, _TRANSFER)
    options = resolved.settings
    values = {name: getattr(options, name) for name in transferring.AXES.values()}
    grid = transferring.make_grid(resolved, **values)
    if options.picture is not None:
        heat_map.check_path(options.picture)
    result = transferring.measure(
        loading.make_solution(resolved, file),
        grid,
        policies=options.policies,
        episodes=options.episodes,
        seed=options.seed,
    )
    if options.picture is not None:
        heat_map.draw_transfer(result, options.picture)
    if options.json:
        print(to_json({"genome": str(file.path)} | result))
    else:
        results.render_transfer(result, _console())
    return 0


_TRAIN_POLICY = "neuroevo train-policy RUN|GENOME.npz --out POLICY.npz"


def _train_policy(arguments: list[str]) -> int:
    from neuroevo import api, loading
    from neuroevo.store import policy_file

    resolved, file = _read(arguments, _TrainPolicy, _TRAIN_POLICY)
    out = resolved.settings.out
    if out is None:
        raise UserError(f"expected a file to write: {_TRAIN_POLICY}")
    policy_file.check(out)
    solution = loading.make_solution(resolved, file)
    api.save_policy(solution, out, seed=resolved.settings.seed)
    print(out)
    return 0


_INSPECT = "neuroevo inspect RUN|GENOME.npz"


def _inspect(arguments: list[str]) -> int:
    from neuroevo import loading
    from neuroevo.terminal import genomes
    from neuroevo.views import heat_map, pair_pictures, pairs

    resolved, file = _read(arguments, _Inspect, _INSPECT)
    options = resolved.settings
    if options.picture is not None:
        heat_map.check_path(options.picture)
        if "states" not in file.arrays:
            raise UserError(
                f"{file.path}: expected a data set to draw, it has no states"
            )
    solution = loading.make_solution(resolved, file)
    found, console = pairs.read_pairs(solution), _console()
    if found is None:
        genomes.render_arrays(file.arrays, console)
        return 0
    known = found.observations is not None
    states = found.observations if known else found.states
    genomes.render_dataset(
        {"states": states, **found.targets},
        console,
        max_rows=len(states),
        max_columns=None,
        features=found.features,
        actions=found.actions,
        order=found.order,
        units=known,
    )
    if options.picture is not None:
        kind = options.picture.suffix.removeprefix(".")
        drawn = {"renderer": options.renderer, "kind": kind}
        options.picture.write_bytes(
            pair_pictures.make_picture(solution, found, **drawn)
        )
    return 0


_RENDER = "neuroevo render RUN|GENOME.npz"


def _render(arguments: list[str]) -> int:
    from neuroevo import loading
    from neuroevo.views import recording, video

    resolved, file = _read(arguments, _Render, _RENDER)
    options = resolved.settings
    name = resolved.names["env"].rpartition(":")[2]
    path = options.out or Path(f"{name}.gif")
    video.check_path(path, resolved)
    solution = loading.make_solution(resolved, file)
    recorded = recording.record(
        solution, seed=options.seed, policies=options.policies, frames=options.frames
    )
    video.save(recorded, path, fps=options.fps, renderer=options.renderer)
    print(f"{path}: {recorded.describe()}")
    return 0


_PLOT = "neuroevo plot RUN [RUN ...] --out CURVES.pdf"


def _plot(arguments: list[str]) -> int:
    from neuroevo.views import heat_map, plots

    paths, arguments = _take_paths(arguments)
    options = parsing.parse_command(_Plot, arguments, prog=_PLOT)
    found = _read_runs(paths, _PLOT)
    if options.out is None:
        raise UserError(f"expected a file to write: {_PLOT}")
    heat_map.check_path(options.out)
    if not all(0 < length < 100 for length in options.size):
        raise UserError(f"--size: expected inches, got {options.size}")
    plots.draw(
        found, options.out, metric=options.metric, x=options.x, size=options.size
    )
    print(options.out)
    return 0


_REPORT = "neuroevo report RUN [RUN ...]"


def _report(arguments: list[str]) -> int:
    from neuroevo import loading
    from neuroevo.store.directory import BEST
    from neuroevo.store.files import check_new_file
    from neuroevo.views import comparison, recording, report

    paths, arguments = _take_paths(arguments)
    options = parsing.parse_command(_Report, arguments, prog=_REPORT)
    found = _read_runs(paths, _REPORT)
    one = len(found) == 1
    path = options.out or (paths[0] if one else Path()) / "report.html"
    own = one and options.out is None  # is renewed
    check_new_file(path, (".html",), replace=own)
    if one:
        solution = recorded = None
        if (paths[0] / BEST).exists():
            solution = loading.make_solution(*loading.read_solution(paths[0], []))
            recorded = recording.record(solution) if options.episode else None
        html = report.make_report(found[0], solution, recorded)
    else:
        html = comparison.make_comparison(found)
    atomic_write(path, html)
    print(path)
    return 0


def _take_paths(arguments: list[str]) -> tuple[list[Path], list[str]]:
    """Split the leading paths off `arguments`."""
    paths = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    return [Path(path) for path in paths], arguments[len(paths) :]


def _read_runs(paths: Sequence[Path], usage: str) -> list[Any]:
    from neuroevo.store import record

    if not paths:
        raise UserError(f"expected runs first: {usage}")
    return [record.read_record(path) for path in paths]


def _read(arguments: list[str], schema: type, usage: str) -> tuple[config.Config, Any]:
    """Return the configuration and the genome file that a command line asks for."""
    from neuroevo import loading

    path, arguments = _take_path(arguments, usage)
    layers, options = _layers(arguments), {"schema": schema, "prog": usage}
    if path is None:  # only --help can do without
        config.resolve(map(config.without_settings, layers), arguments, **options)
    return loading.read_solution(path, layers, arguments, **options)


@dataclasses.dataclass(frozen=True)
class _Metrics:
    """Settings of ``metrics``."""

    runs: _Positional[tuple[Path, ...]]
    """Run directories."""
    out: Path | None = None
    """New file to write, .csv or .parquet; None for CSV on stdout."""


def _metrics(arguments: list[str]) -> int:
    from neuroevo.store.directory import check_run
    from neuroevo.store.metrics import collect_metrics, write_csv, write_table

    options = parsing.parse_command(_Metrics, arguments, prog="neuroevo metrics")
    if not options.runs:
        raise UserError("expected a run first: neuroevo metrics RUN [RUN …]")
    for run in options.runs:
        check_run(run)
    rows = collect_metrics(options.runs)
    if options.out is None:
        write_csv(rows, sys.stdout)
    else:
        write_table(rows, options.out)
        print(options.out)
    return 0


def _take_path(arguments: list[str], usage: str) -> tuple[Path | None, list[str]]:
    """Split the leading path off `arguments`."""
    if arguments and not arguments[0].startswith("-"):
        return zoo.locate(arguments[0]), arguments[1:]
    if {"-h", "--help"} & set(arguments):
        return None, arguments
    raise UserError(f"expected a run or a genome file first: {usage}")


@dataclasses.dataclass(frozen=True)
class _Doctor:
    """Settings of ``doctor``."""

    json: bool = False
    """Print one JSON object on stdout and nothing else."""


def _doctor(arguments: list[str]) -> int:
    from neuroevo.cli import doctor
    from neuroevo.terminal import listings

    options = parsing.parse_command(_Doctor, arguments, prog="neuroevo doctor")
    found = doctor.examine()
    try:
        found["self_test"] = doctor.self_test()
    except Exception:
        traceback.print_exc()
        found["self_test"] = None
    if options.json:
        print(to_json(found))
    else:
        listings.render_doctor(found, _console())
    return 0 if found["self_test"] else 1


def _completion(arguments: list[str]) -> int:
    from neuroevo.cli import completion

    match arguments:
        case [shell] if not shell.startswith("-"):
            pass
        case _:
            shells = "|".join(completion.SHELLS)
            print(f"usage: neuroevo completion {shells}  (see docs/command-line.md)")
            return 0
    kinds = {command: kind for command, (_, kind) in _COMMANDS.items()}
    print(completion.script(shell, kinds))
    return 0


def _list(arguments: list[str]) -> int:
    from neuroevo.terminal import listings

    kinds = {
        "encodings": config.PARTS["encoding"],
        "envs": config.PARTS["env"],
        "strategies": config.PARTS["strategy"],
        "policies": config.PARTS["policy"],
        "normalizations": config.PARTS["normalization"],
        "loggers": registry.loggers,
        "presets": None,
        "zoo": zoo,
    }
    match arguments:
        case [] | ["-h" | "--help", *_]:
            print(f"usage: neuroevo list [{'|'.join(kinds)}|zoo:NAME]")
            return 0
        case [name] if name.startswith(zoo.PREFIX):
            card = zoo.card(name.removeprefix(zoo.PREFIX))
            listings.render_card(name, card, _console())
            return 0
        case [kind] if kind in kinds:
            pass
        case [kind, surplus, *_] if kind in kinds:
            raise UserError(
                f"unexpected argument {surplus!r}: expected neuroevo list {kind}"
            )
        case [kind, *_]:
            raise unknown("list", kind, kinds)
    if kind == "presets":
        rows = [(name, describe_preset(name)) for name in presets()]
    else:
        rows = kinds[kind].summaries()
    listings.render_list(kind, rows, _console())
    return 0


# What runs a command, and its options.
_COMMANDS: dict[str, tuple[Callable[[list[str]], int], type | None]] = {
    "train": (_train, _Train),
    "resume": (_resume, _Resume),
    "evaluate": (_evaluate, _Evaluate),
    "sweep": (_sweep, _Sweep),
    "report": (_report, _Report),
    "inspect": (_inspect, _Inspect),
    "render": (_render, _Render),
    "plot": (_plot, _Plot),
    "metrics": (_metrics, _Metrics),
    "merge": (_merge, _Merge),
    "transfer": (_transfer, _Transfer),
    "train-policy": (_train_policy, _TrainPolicy),
    "list": (_list, None),
    "doctor": (_doctor, _Doctor),
    "completion": (_completion, None),
}


if __name__ == "__main__":
    main()
