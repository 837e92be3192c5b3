"""The command line: ``neuroevo train | resume | evaluate | list``."""

import dataclasses
import functools
import itertools
import json
import os
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

import neuroevo
from neuroevo import config, parsing, zoo
from neuroevo.errors import ProcessError, UserError, unknown

_USAGE = """\
usage: neuroevo COMMAND [OPTIONS]

  train     evolve policies:  neuroevo train --encoding dataset --env CartPole-v1
  resume    continue a run:   neuroevo resume RUN [--generations N]
  evaluate  measure a run or a genome file on fresh policies and episodes
  merge     one data set of several:  neuroevo merge A B --out MERGED.npz
  transfer  train other networks from a genome:  neuroevo transfer GENOME.npz
  train-policy  write the parameters of a policy trained from a genome to a file
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
        from neuroevo import processes

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
class _TrainPolicy(config.Machine):
    """Settings of ``train-policy``."""

    out: Path | None = None
    """New file to write, .npz or .safetensors."""
    seed: int = 0
    """Seed of the policy's initial parameters."""
    config: Path | None = None
    """YAML file with options of the parts; the command line wins."""
    preset: str | None = None
    """Take the options of the parts from a preset."""


@dataclasses.dataclass(frozen=True)
class _Evaluate(config.Machine):
    """Settings of ``evaluate``."""

    seeds: int = 8
    """Fresh policies decoded from the genome."""
    episodes: int = 8
    """Episodes of each policy."""
    seed: int = 0
    """Seed of the evaluation's randomness."""
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

    seeds: int = 8
    """Fresh policies of each kind."""
    episodes: int = 4
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
        sys.modules["neuroevo.processes"].leave(code)
    sys.exit(code)


def _is_distributed() -> bool:
    """Return whether there are other processes, without importing anything for it."""
    processes = sys.modules.get("neuroevo.processes")
    return processes is not None and processes.is_distributed()


def _dispatch(arguments: list[str]) -> int:
    commands: dict[str, Callable[[list[str]], int]] = {
        "train": _train,
        "resume": _resume,
        "evaluate": _evaluate,
        "merge": _merge,
        "transfer": _transfer,
        "train-policy": _train_policy,
        "list": _list,
    }
    match arguments:
        case [] | ["-h" | "--help", *_]:
            print(_USAGE, end="")
            return 0
        case ["--version", *_]:
            print(f"neuroevo {neuroevo.__version__}")
            return 0
        case [command, *rest] if command in commands:
            return commands[command](_switches(rest))
        case [command, *_]:
            raise unknown("command", command, commands)
    raise AssertionError


def _switches(arguments: list[str]) -> list[str]:
    """Let ``--json`` and the like stand for ``--json True``."""
    switches = ("--json", "--quiet", "--distributed", "--debug-nans")
    switched = []
    for argument, following in itertools.zip_longest(arguments, arguments[1:]):
        switched.append(argument)
        if argument in switches and following not in ("True", "False"):
            switched.append("True")
    return switched


def _layers(arguments: Sequence[str]) -> list[config.Layer]:
    """Return the preset and the file that `arguments` name, as layers."""
    return config.read_layers(
        parsing.option_in(arguments, "--preset"),
        parsing.option_in(arguments, "--config"),
    )


def _train(arguments: list[str]) -> int:
    from neuroevo import api, runs

    start = api.read_start(parsing.option_in(arguments, "--start"))
    layers = [*api.start_layers(start), *_layers(arguments)]
    resolved = config.resolve(layers, arguments, schema=_Train)
    options = resolved.settings
    names = [field.name for field in dataclasses.fields(config.Settings)]
    settings = config.Settings(**{name: getattr(options, name) for name in names})
    resolved = dataclasses.replace(resolved, settings=settings)
    options.connect()
    path = options.run_dir or runs.default_path(resolved.names, settings.seed)
    return _launch(resolved, path, options, start=start)


def _resume(arguments: list[str]) -> int:
    from neuroevo import processes, runs

    options = parsing.parse_command(_Resume, arguments, prog="neuroevo resume")
    options.connect()
    limits = ("generations", "max_env_steps", "max_seconds", "devices")
    changes = {name: getattr(options, name) for name in limits}
    changes = {name: value for name, value in changes.items() if value is not None}
    written = processes.from_main(lambda: runs.read_config(options.run))
    written = config.Layer(str(options.run / runs.CONFIG), written)
    resolved = config.resolve([written, config.Layer("neuroevo resume", changes)])
    return _launch(resolved, options.run, options, resume=True)


def _launch(
    resolved: config.Config,
    path: Path,
    options: _Train | _Resume,
    *,
    start=None,
    resume=False,
) -> int:
    """Train in `path`, show the result, and return the exit code."""
    import numpy as np

    from neuroevo import display, processes, reports, training

    run = training.launch(
        resolved,
        path,
        start=start,
        resume=resume,
        keep_metrics=False,
        leave=_leave,
        debug_nans=options.debug_nans,
        display=functools.partial(display.make_display, quiet=options.quiet),
    )
    interrupted = run.summary["stopped_by"] == training.INTERRUPTED
    code = 128 + run.signal if interrupted else 0
    if not processes.is_main():
        return code
    console = _console(stderr=True, force_terminal=sys.stderr.isatty())
    if interrupted:
        console.print(
            f"interrupted at generation {run.generation}, checkpoint written; "
            f"continue with: neuroevo resume {shlex.quote(str(path))}",
            soft_wrap=True,
            highlight=False,
        )
        return code
    reports.render_summary(run.summary, console)
    arrays = run.center.arrays()
    if "states" in arrays and len(arrays["states"]) <= 16:
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        reports.render_dataset(arrays, console, env=resolved.names["env"])
    return code


def _leave(number: int) -> None:
    """End the process for a second signal, if that does not interrupt it by itself."""
    time.sleep(1)
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    os.write(2, f"{show_cursor}neuroevo: interrupted\n".encode())
    os._exit(128 + number)


def _console(**options: Any) -> Any:
    """Return a console that leaves a closed pipe to `main`."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self):
            raise BrokenPipeError

    return Plain(**options)


_EVALUATE = "neuroevo evaluate RUN|GENOME.npz"


def _evaluate(arguments: list[str]) -> int:
    from neuroevo import api, genome_file, reports, runs

    path, arguments = _take_path(arguments, _EVALUATE)
    layers, options = _layers(arguments), {"schema": _Evaluate, "prog": _EVALUATE}
    if path is None:  # only --help can do without
        config.resolve(map(config.without_settings, layers), arguments, **options)
    file = runs.read_genome(path)
    tasks = genome_file.split(file)
    if not tasks or config.take_name("env", layers, arguments)[0]:
        tasks = {None: file}  # a plain genome, or one environment of a merged one
    prepared = {}
    for name, file in tasks.items():
        resolved, file = api.configure(file, layers, arguments, **options)
        prepared[name] = api.prepare(resolved, file)
    options = resolved.settings
    results = {
        name: api.finish(*each).evaluate(
            options.seeds, options.episodes, seed=options.seed
        )
        for name, each in prepared.items()
    }
    result = results.get(None)
    if options.json:
        found = {"tasks": results} if result is None else result
        print(json.dumps({"genome": str(file.path)} | found))
    elif result is None:
        reports.render_tasks(results, _console())
    else:
        reports.render_evaluation(result, _console())
    return 0


_MERGE = "neuroevo merge RUN|GENOME.npz RUN|GENOME.npz ... --out MERGED.npz"


def _merge(arguments: list[str]) -> int:
    from neuroevo import genome_file, merging, reports

    paths = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    arguments = arguments[len(paths) :]
    layers = merging.network_layers(_layers(arguments))
    options = {"schema": _Merge, "prog": _MERGE}
    if {"-h", "--help"} & set(arguments):
        config.resolve(layers, arguments, **options)
    out = parsing.option_in(arguments, "--out")
    if out is None:
        raise UserError(f"expected a file to write: {_MERGE}")
    genome_file.check_new(Path(out))
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
    results = merged.evaluate(options.seeds, options.episodes, seed=options.seed)
    if options.json:
        print(json.dumps({"genome": out, "tasks": results}))
    else:
        reports.render_tasks(results, _console())
    return 0


_TRANSFER = "neuroevo transfer RUN|GENOME.npz"


def _transfer(arguments: list[str]) -> int:
    from neuroevo import api, pictures, reports, transferring

    path, arguments = _take_path(arguments, _TRANSFER)
    layers, options = _layers(arguments), {"schema": _Transfer, "prog": _TRANSFER}
    if path is None:  # only --help can do without
        config.resolve(map(config.without_settings, layers), arguments, **options)
    resolved, file = api.read_solution(path, layers, arguments, **options)
    options = resolved.settings
    values = {name: getattr(options, name) for name in transferring.AXES.values()}
    grid = transferring.make_grid(resolved, **values)
    if options.picture is not None:
        pictures.check_path(options.picture)
    result = transferring.measure(
        api.make_solution(resolved, file),
        grid,
        seeds=options.seeds,
        episodes=options.episodes,
        seed=options.seed,
    )
    if options.picture is not None:
        pictures.draw_transfer(result, options.picture)
    if options.json:
        print(json.dumps({"genome": str(file.path)} | result))
    else:
        reports.render_transfer(result, _console())
    return 0


_TRAIN_POLICY = "neuroevo train-policy RUN|GENOME.npz --out POLICY.npz"


def _train_policy(arguments: list[str]) -> int:
    from neuroevo import api, export

    path, arguments = _take_path(arguments, _TRAIN_POLICY)
    layers, options = _layers(arguments), {"schema": _TrainPolicy}
    options["prog"] = _TRAIN_POLICY
    if path is None:  # only --help can do without
        config.resolve(map(config.without_settings, layers), arguments, **options)
    resolved, file = api.read_solution(path, layers, arguments, **options)
    out = resolved.settings.out
    if out is None:
        raise UserError(f"expected a file to write: {_TRAIN_POLICY}")
    export.check_policy_path(out)
    solution = api.make_solution(resolved, file)
    export.save_policy(solution, out, seed=resolved.settings.seed)
    print(out)
    return 0


def _take_path(arguments: list[str], usage: str) -> tuple[Path | None, list[str]]:
    """Split the leading path off `arguments`."""
    if arguments and not arguments[0].startswith("-"):
        return zoo.locate(arguments[0]), arguments[1:]
    if {"-h", "--help"} & set(arguments):
        return None, arguments
    raise UserError(f"expected a run or a genome file first: {usage}")


def _list(arguments: list[str]) -> int:
    from neuroevo import reports

    kinds = {
        "encodings": config.PARTS["encoding"],
        "envs": config.PARTS["env"],
        "strategies": config.PARTS["strategy"],
        "policies": config.PARTS["policy"],
        "normalizations": config.PARTS["normalization"],
        "presets": None,
        "zoo": zoo,
    }
    match arguments:
        case [] | ["-h" | "--help", *_]:
            print(f"usage: neuroevo list [{'|'.join(kinds)}|zoo:NAME]")
            return 0
        case [name] if name.startswith(zoo.PREFIX):
            card = zoo.card(name.removeprefix(zoo.PREFIX))
            reports.render_card(name, card, _console())
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
        rows = [(name, config.describe_preset(name)) for name in config.presets()]
    else:
        rows = kinds[kind].describe()
    reports.render_list(kind, rows, _console())
    return 0


if __name__ == "__main__":
    main()
