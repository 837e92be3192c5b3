"""Turns a genome file or a run into a solution that can be decoded and evaluated."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, cast, get_args

import numpy as np

from neuroevo import devices
from neuroevo.config import resolve
from neuroevo.config.command import TRAINING, Command, read
from neuroevo.config.layers import Layer
from neuroevo.config.schema import DEFAULT_PARTS, PARTS, Config, Which
from neuroevo.errors import UserError, unknown
from neuroevo.run import build, switches, tuning
from neuroevo.run.parts import Parts
from neuroevo.solution import Solution
from neuroevo.store import directory, genome_file, zoo
from neuroevo.store.directory import CHUNKS, is_run, read_genome
from neuroevo.store.genome_file import GenomeFile
from neuroevo.types import Genome


class LiveRun(Protocol):
    """A run in Python."""

    @property
    def best(self) -> Solution:
        """The center with the best held-out return so far."""

    @property
    def center(self) -> Solution:
        """The strategy's current center."""


# A genome is given as a genome file, a run directory, "zoo:NAME", or a solution or run
# in Python.
Source = str | Path | Solution | LiveRun


class UnregisteredPart(UserError):
    """A genome needs a part that was made in Python and is not available."""


def in_memory(source: Source, which: Which = "best") -> Solution | None:
    """Return the solution in `source`, or None if it names a file.

    Raises:
        UserError: if `source` is neither.
    """
    if which not in get_args(Which):
        raise unknown("which", str(which), get_args(Which))
    if isinstance(source, str | Path):
        return None
    if isinstance(source, Solution):
        return source
    if isinstance(source, type) or not hasattr(type(source), which):
        raise UserError(
            'expected a genome file, a run directory, "zoo:NAME", a run or a solution, '
            f"got {source!r:.60}"
        )
    return getattr(source, which)


def read_source(source: Source, which: Which = "best") -> GenomeFile:
    """Return the content of a genome file, a run, or a genome in memory.

    Args:
        source: the source of the genome.
        which: for a run, the center with the best held-out return, or the last one.

    Raises:
        UserError: if there is no genome.
    """
    solution = in_memory(source, which)
    if solution is None:
        return read_genome(zoo.locate(cast(str | Path, source)), which)
    arrays = {name: np.asarray(array) for name, array in solution.arrays().items()}
    described = solution.config.to_dict()
    meta = {name: described[name] for name in CHUNKS} | dict(solution.meta())
    made = {
        part: options
        for part, options in solution.config.parts.items()
        if not _is_registered(part, solution.config.names[part], options)
    }
    meta["which"] = solution.which
    return GenomeFile(Path("the genome in memory"), arrays, meta, made)


def read_elite(source: Source, descriptor: Sequence[float]) -> GenomeFile:
    """Return the elite of a run that does nearly what a `descriptor` says.

    Args:
        source: a run, or its directory.
        descriptor: a number for each dimension of its archive.

    Raises:
        UserError: if there is no such elite.
    """
    if isinstance(source, str | Path):
        return directory.read_elite(Path(source), descriptor)
    if isinstance(source, type) or not hasattr(type(source), "elite"):
        raise UserError(
            f"elite: expected a run or its directory, to take it from, got "
            f"{source!r:.60}"
        )
    return read_source(cast(Any, source).elite(*descriptor))


def start_layers(file: GenomeFile | None, *, searching: bool = True) -> list[Layer]:
    """Return the parts of the genome that a run starts from, as a layer.

    The states of a data set depend on the statistics in its file. These stay constant
    unless another normalization is requested. Unless another strategy is requested, a
    search takes steps that suit the scale of the genome.

    Args:
        file: the genome, if there is one.
        searching: whether the run is a search, rather than a distillation.
    """
    if file is None:
        return []
    named = PARTS.keys() - file.made.keys()
    values = {part: file.meta[part] for part in named if part in file.meta}
    if genome_file.statistics(file.arrays):
        values["normalization"] = "constant"
    if searching:
        values["strategy"] = {
            "name": DEFAULT_PARTS["strategy"],
            "std": step_size(file),
        }
    return [Layer(str(file.path), values)]


_STEP = 0.1  # standard deviation of a search, relative to the genome that it starts at


def step_size(file: GenomeFile) -> float:
    """Return a standard deviation for a search that starts from the genome in `file`.

    It is a tenth of the root mean square of the genome's numbers.
    """
    numbers = [
        np.asarray(array, np.float64).ravel()
        for name, array in file.arrays.items()
        if name not in genome_file.OBSERVATION_ARRAYS and array.dtype.kind == "f"
    ]
    scale = np.sqrt(np.mean(np.concatenate(numbers or [np.zeros(1)]) ** 2))
    # A genome of zeros has no scale.
    return float(f"{_STEP * scale:.3g}") if 0 < scale < np.inf else 1.0


def read_solution(
    source: Source,
    layers: Sequence[Layer],
    arguments: Sequence[str] = (),
    *,
    command: Command = TRAINING,
    custom: Mapping[str, Any] | None = None,
    which: Which = "best",
) -> tuple[Config, GenomeFile]:
    """Return a genome and the configuration to decode it with; see `configure`."""
    file = read_source(source, which)
    return configure(file, layers, arguments, command=command, custom=custom)


def configure(
    file: GenomeFile,
    layers: Sequence[Layer] = (),
    arguments: Sequence[str] = (),
    *,
    command: Command = TRAINING,
    custom: Mapping[str, Any] | None = None,
) -> tuple[Config, GenomeFile]:
    """Return the configuration to decode the genome in `file` with, and that file.

    The configuration is the file's own, overridden by `layers` and `arguments`. If
    these name an environment of a merged file, the result has only the content for that
    one.

    Raises:
        UnregisteredPart: if a part was made in Python, and nothing replaces it.
        UserError: if the options are invalid.
    """
    names: Mapping[str, str] = read(command, arguments).names if arguments else {}
    chosen: Mapping[str, str] | None = None
    if environments := genome_file.split(file):
        name, layers, chosen = resolve.take_name("env", layers, names)
        if name is None:
            raise UserError(
                f"{file.path}: merged from several environments; expected one of them "
                f"as env: {', '.join(environments)}"
            )
        if name not in environments:
            raise unknown(f"env of {file.path}", str(name), environments)
        file, names = environments[name], {**names, "env": name}
    layers = list(map(resolve.without_settings, layers))
    custom = made_parts(file, layers, names, custom)
    options = {field.name for field in dataclasses.fields(command.schema)}
    named = {*PARTS, *options.intersection(CHUNKS)} - custom.keys()
    own = {name: file.meta[name] for name in named if name in file.meta}
    layers = [Layer(str(file.path), own), *layers]
    resolved = resolve.resolve(
        layers, arguments, command=command, custom=custom, names=chosen
    )
    return resolved, file


def made_parts(
    file: GenomeFile,
    layers: Sequence[Layer],
    names: Mapping[str, str] = MappingProxyType({}),
    custom: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return `custom` with the genome's own parts that were made in Python.

    Raises:
        UnregisteredPart: if such a part is neither in `custom` nor replaced by a part
            that `layers` or `names` (from a command line) name.
    """
    made = dict(custom or {})
    for part in PARTS.keys() - made.keys():
        if resolve.take_name(part, layers, names)[0] is not None:
            continue
        if part in file.made:
            made[part] = file.made[part]
            continue
        described = file.meta.get(part)
        if part == "env":
            check_module(file.path, described)  # before it is looked up
        name = described.get("name") if isinstance(described, Mapping) else described
        if isinstance(name, str) and not _is_known(part, name):
            raise UnregisteredPart(
                f"{file.path}: its {part} {name!r} is not registered: it was made in "
                f"Python, or its package is not installed; expected it as {part}=... "
                f"in Python, such as neuroevo.load({str(file.path)!r}, {part}=...)"
            )
    return made


def check_module(path: Path, env: Any) -> None:
    """Refuse an environment ``FAMILY:MODULE:ID`` that only a genome file names.

    To look it up is to import the module, thus to execute it. What a run directory
    records is imported, like what a user names.

    Args:
        path: the file.
        env: how the file describes its environment: a name, or a mapping with one.

    Raises:
        UnregisteredPart: if the module has not been imported yet.
    """
    name = env.get("name") if isinstance(env, Mapping) else env
    if not isinstance(name, str):
        return
    module = name.partition(":")[2].rpartition(":")[0]
    if module and module not in sys.modules and not is_run(path.parent):
        raise UnregisteredPart(
            f"{path}: its env {name!r:.60} would import {module:.60}, and a "
            f"genome file must not say what to execute; expected --env {name:.60} too, "
            "from whoever trusts it"
        )


def _is_known(part: str, name: str) -> bool:
    """Return whether a part of this name is registered, even if it is broken."""
    try:
        PARTS[part].get(name)
    except UserError:
        return name in PARTS[part].names()
    return True


def _is_registered(part: str, name: str, options: Any) -> bool:
    """Return whether `options` are those of the registered part `name`."""
    try:
        return isinstance(options, PARTS[part].get(name))
    except UserError:
        return False


def make_solution(resolved: Config, file: GenomeFile) -> Solution:
    """Return the genome in `file` with the parts that decode and evaluate it."""
    return finish(*prepare(resolved, file))


class Prepared(NamedTuple):
    """A `Solution` without its engine; nothing has been compiled."""

    config: Config
    parts: Parts
    genome: Genome
    which: Which | None


@switches.pinned()
def prepare(resolved: Config, file: GenomeFile) -> Prepared:
    """Return the genome in `file`, with the parts that decode and evaluate it.

    Nothing is compiled. The configuration is adjusted to the file.

    Raises:
        UserError: if the file does not fit the parts.
    """
    build.set_up_jax(resolved)
    environment = build.build_environment(resolved.parts["env"])
    spec = genome_file.to_spec(file)
    encoding = build.fit(resolved.parts["encoding"], file, spec or environment.spec)
    parts = {k: v for k, v in resolved.parts.items() if k != "strategy"}
    names = dict(resolved.names)
    if genome_file.statistics(file.arrays) and names["normalization"] not in (
        "constant",
        "running",
    ):
        names["normalization"] = "constant"
        parts["normalization"] = PARTS["normalization"].get("constant")()
    resolved = Config(names, parts | {"encoding": encoding}, resolved.settings)
    built = build.build_parts(resolved, environment, file=file, spec=spec)
    devices.select(resolved.devices)  # reports a mistake before anything is compiled
    genome = build.genome_in(file, built)
    which = file.meta.get("which")
    which = which if which in get_args(Which) else None
    return Prepared(tuning.resolve_auto(resolved, built), built, genome, which)


@switches.pinned()
def finish(
    resolved: Config, parts: Parts, genome: Genome, which: Which | None = None
) -> Solution:
    """Return the solution for the result of `prepare`, with its engine."""
    selected = devices.select(resolved.devices)
    engine = build.build_engine(resolved, parts, selected)
    answer = build.answer(parts, genome)
    return Solution(resolved, parts, engine, answer, which)
