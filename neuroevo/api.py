"""Evolve in a few lines of Python."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from neuroevo import devices as sharding
from neuroevo import multihost as processes
from neuroevo.config import resolve as config
from neuroevo.errors import UserError, unknown
from neuroevo.run import build
from neuroevo.run import loop as training
from neuroevo.solution import Solution
from neuroevo.spaces import Spec
from neuroevo.store import directory as runs
from neuroevo.store import genome_file, zoo
from neuroevo.terminal.live import make_display
from neuroevo.types import Genome, Logger


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
    custom, options = _custom_parts(options)
    loggers, options = _custom_loggers(log, options)
    layers = []
    if resume:
        written = processes.from_main(lambda: runs.read_config(path))
        written = {k: v for k, v in written.items() if k not in custom}
        layers.append(config.Layer(str(path / runs.CONFIG), written))
    first = None if resume else read_start(start)
    layers += start_layers(first)
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


def read_start(path: str | Path | None) -> genome_file.GenomeFile | None:
    """Return the genome that a run is to start from, if any."""
    return runs.read_genome(zoo.locate(path)) if path else None


def start_layers(file: genome_file.GenomeFile | None) -> list[config.Layer]:
    """Return what the genome to start from says of its parts, as a layer.

    Its states mean what they do under the statistics that are in the file: these stay
    constant, unless another normalization is asked for.
    """
    if file is None:
        return []
    values = {part: file.meta[part] for part in config.PARTS if part in file.meta}
    if genome_file.statistics(file.arrays):
        values["normalization"] = "constant"
    return [config.Layer(str(file.path), values)]


def load(path: str | Path, **options: Any) -> Solution:
    """Return the solution in a genome file, or the best one of a run directory.

    ``"zoo:NAME"`` is a genome that comes with the package. Options override what the
    file says, or say what it does not; see `evolve`. Of a merged file, ``env`` chooses
    one of the environments.

    Raises:
        UserError: if the file does not fit them.
    """
    custom, options = _custom_parts(options)
    layers = [config.Layer("load", options)]
    return make_solution(*read_solution(zoo.locate(path), layers, custom=custom))


def read_solution(
    path: Path,
    layers: Sequence[config.Layer],
    arguments: Sequence[str] = (),
    *,
    custom: Mapping[str, Any] | None = None,
    **options: Any,
) -> tuple[config.Config, genome_file.GenomeFile]:
    """Return a genome file and the configuration to decode it with; see `configure`."""
    file = runs.read_genome(path)
    return configure(file, layers, arguments, custom=custom, **options)


def configure(
    file: genome_file.GenomeFile,
    layers: Sequence[config.Layer] = (),
    arguments: Sequence[str] = (),
    *,
    custom: Mapping[str, Any] | None = None,
    **options: Any,
) -> tuple[config.Config, genome_file.GenomeFile]:
    """Return the configuration to decode the genome in `file` with, and that file.

    The configuration is the file's own, overridden by `layers` and `arguments`. Where
    these name the environment of a merged file, the file is what concerns that one.
    """
    if tasks := genome_file.split(file):
        name, layers, arguments = config.take_name("env", layers, arguments)
        if name is None:
            raise UserError(
                f"{file.path}: merged from several tasks; expected one of them as env: "
                f"{', '.join(tasks)}"
            )
        if name not in tasks:
            raise unknown(f"env of {file.path}", str(name), tasks)
        file = tasks[name]
    named = config.PARTS.keys() - (custom or {}).keys()
    own = {part: file.meta[part] for part in named if part in file.meta}
    layers = [config.Layer(str(file.path), own), *map(config.without_settings, layers)]
    return config.resolve(layers, arguments, custom=custom, **options), file


def make_solution(resolved: config.Config, file: genome_file.GenomeFile) -> Solution:
    """Return the genome in `file` with the parts that decode and evaluate it."""
    return finish(*prepare(resolved, file))


def prepare(
    resolved: config.Config, file: genome_file.GenomeFile
) -> tuple[config.Config, build.Parts, Genome]:
    """Return the parts that decode and evaluate the genome in `file`, and the genome.

    Nothing is compiled, and the configuration is made to fit the file.

    Raises:
        UserError: if the file does not fit them.
    """
    build.set_up_jax(resolved)
    environment = resolved.parts["env"].build()
    spec = genome_file.to_spec(file)
    try:
        encoding = fit(
            resolved.parts["encoding"], file.arrays, spec or environment.spec
        )
    except UserError as error:
        raise UserError(f"{file.path}: {error}") from None
    parts = {k: v for k, v in resolved.parts.items() if k != "strategy"}
    names = dict(resolved.names)
    observation = genome_file.statistics(file.arrays)
    if observation and names["normalization"] not in ("constant", "running"):
        names["normalization"] = "constant"
        parts["normalization"] = config.PARTS["normalization"].get("constant")()
    resolved = config.Config(names, parts | {"encoding": encoding}, resolved.settings)
    built = build.build_parts(resolved, environment, observation=observation, spec=spec)
    sharding.select(resolved.devices)  # a mistake is told before anything is compiled
    genome = genome_file.to_genome(
        file, build.shapes(built.encoding.init), built.encoding.constants
    )
    return build.resolve_auto(resolved, built), built, genome


def fit(encoding: Any, arrays: Mapping[str, Any], spec: Spec | None = None) -> Any:
    """Return an encoding's options, changed by what a genome's `arrays` determine.

    Raises:
        UserError: if they are no genome of the encoding, or none for `spec`.
    """
    return encoding.fit_to(arrays, spec) if hasattr(encoding, "fit_to") else encoding


def finish(resolved: config.Config, parts: build.Parts, genome: Genome) -> Solution:
    """Return what `prepare` prepared, ready to be decoded and evaluated."""
    devices = sharding.select(resolved.devices)
    key = jax.random.key(resolved.settings.seed)
    engine = build.build_engine(resolved, parts, devices)
    answer = build.answer(parts, genome, key)
    return Solution(resolved, parts, engine, answer, key)


def _custom_parts(
    options: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split `options` into the parts made in Python, made buildable, and the rest."""
    custom = {
        part: value if hasattr(value, "build") else _Fixed(value)
        for part, value in options.items()
        if part in config.PARTS and not isinstance(value, str | Mapping)
    }
    return custom, {k: v for k, v in options.items() if k not in custom}


def _custom_loggers(
    log: Any, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split loggers into those made in Python, by name, and `options` for the rest."""
    if log is None:
        return {}, dict(options)
    many = isinstance(log, list | tuple) and not isinstance(log, Logger)
    loggers = log if many else [log]
    names = [each for each in loggers if isinstance(each, str)]
    made = [each for each in loggers if not isinstance(each, str)]
    made = [each if hasattr(each, "build") else _Fixed(each) for each in made]
    custom = {getattr(each, "name", type(each).__name__): each for each in made}
    return custom, {**options, "log": names}


class _Fixed:
    """A part that was made in Python: a value, or a function that returns one."""

    def __init__(self, value: Any):
        self._value = value
        self.name = getattr(value, "__name__", type(value).__name__)

    def build(self, *args: Any, **kwargs: Any) -> Any:
        return self._value(*args, **kwargs) if callable(self._value) else self._value
