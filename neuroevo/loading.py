"""From a genome file, or a run's, to a solution that can be decoded and evaluated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from neuroevo import devices
from neuroevo.config import resolve as config
from neuroevo.config.command import TRAINING, Command, read
from neuroevo.errors import UserError, unknown
from neuroevo.run import build, switches, tuning
from neuroevo.run.parts import Parts
from neuroevo.solution import Solution
from neuroevo.spaces import Spec
from neuroevo.store import genome_file, zoo
from neuroevo.store.directory import CHUNKS, Which, read_genome
from neuroevo.traits import EncodingTraits, traits
from neuroevo.types import Genome


def read_start(path: str | Path | None) -> genome_file.GenomeFile | None:
    """Return the genome that a run is to start from, if any."""
    return read_genome(zoo.locate(path)) if path else None


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


def read_solution(
    path: Path,
    layers: Sequence[config.Layer],
    arguments: Sequence[str] = (),
    *,
    command: Command = TRAINING,
    custom: Mapping[str, Any] | None = None,
    which: Which = "best",
) -> tuple[config.Config, genome_file.GenomeFile]:
    """Return a genome file and the configuration to decode it with; see `configure`."""
    file = read_genome(path, which)
    return configure(file, layers, arguments, command=command, custom=custom)


def configure(
    file: genome_file.GenomeFile,
    layers: Sequence[config.Layer] = (),
    arguments: Sequence[str] = (),
    *,
    command: Command = TRAINING,
    custom: Mapping[str, Any] | None = None,
) -> tuple[config.Config, genome_file.GenomeFile]:
    """Return the configuration to decode the genome in `file` with, and that file.

    The configuration is the file's own, overridden by `layers` and `arguments`. Where
    these name the environment of a merged file, the file is what concerns that one.
    """
    names: Mapping[str, str] | None = None
    if tasks := genome_file.split(file):
        names = read(command, arguments).names
        name, layers, names = config.take_name("env", layers, names)
        if name is None:
            raise UserError(
                f"{file.path}: merged from several tasks; expected one of them as env: "
                f"{', '.join(tasks)}"
            )
        if name not in tasks:
            raise unknown(f"env of {file.path}", str(name), tasks)
        file = tasks[name]
    named = config.PARTS.keys() - (custom or {}).keys()
    named |= {*CHUNKS}
    own = {name: file.meta[name] for name in named if name in file.meta}
    layers = [config.Layer(str(file.path), own), *map(config.without_settings, layers)]
    resolved = config.resolve(
        layers, arguments, command=command, custom=custom, names=names
    )
    return resolved, file


def make_solution(resolved: config.Config, file: genome_file.GenomeFile) -> Solution:
    """Return the genome in `file` with the parts that decode and evaluate it."""
    return finish(*prepare(resolved, file))


class Prepared(NamedTuple):
    """All of a `Solution` but its engine: nothing has been compiled."""

    config: config.Config
    parts: Parts
    genome: Genome
    which: Which | None


@switches.pinned()
def prepare(resolved: config.Config, file: genome_file.GenomeFile) -> Prepared:
    """Return the parts that decode and evaluate the genome in `file`, and the genome.

    Nothing is compiled, and the configuration is made to fit the file.

    Raises:
        UserError: if the file does not fit them.
    """
    build.set_up_jax(resolved)
    environment = build.build_environment(resolved.parts["env"])
    spec = genome_file.to_spec(file)
    try:
        encoding = fit(
            resolved.parts["encoding"], file.arrays, spec or environment.spec
        )
    except UserError as error:
        raise UserError(f"{file.path}: {error}") from None
    parts = {k: v for k, v in resolved.parts.items() if k != "strategy"}
    names = dict(resolved.names)
    if genome_file.statistics(file.arrays) and names["normalization"] not in (
        "constant",
        "running",
    ):
        names["normalization"] = "constant"
        parts["normalization"] = config.PARTS["normalization"].get("constant")()
    resolved = config.Config(names, parts | {"encoding": encoding}, resolved.settings)
    built = build.build_parts(resolved, environment, file=file, spec=spec)
    devices.select(resolved.devices)  # reports a mistake before anything is compiled
    genome = build.genome_in(file, built)
    which = file.meta.get("which")
    which = which if which in ("best", "center") else None
    return Prepared(tuning.resolve_auto(resolved, built), built, genome, which)


def fit(encoding: Any, arrays: Mapping[str, Any], spec: Spec | None = None) -> Any:
    """Return an encoding's options, changed by what a genome's `arrays` determine.

    Raises:
        UserError: if they are no genome of the encoding, or none for `spec`.
    """
    fit_to = traits(EncodingTraits, encoding).fit_to
    return fit_to(arrays, spec) if fit_to else encoding


@switches.pinned()
def finish(
    resolved: config.Config, parts: Parts, genome: Genome, which: Which | None = None
) -> Solution:
    """Return what `prepare` prepared, ready to be decoded and evaluated."""
    selected = devices.select(resolved.devices)
    engine = build.build_engine(resolved, parts, selected)
    answer = build.answer(parts, genome)
    return Solution(resolved, parts, engine, answer, which)
