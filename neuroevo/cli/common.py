"""Code shared by several commands: groups of options, reading a genome, output."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from neuroevo.config.command import Command, Line
from neuroevo.config.layers import Layer, read_layers
from neuroevo.config.ranges import Count, Seed
from neuroevo.config.schema import CompilationCache, Machine, Which
from neuroevo.errors import UserError
from neuroevo.views.names import RENDERERS

if TYPE_CHECKING:
    from neuroevo.config.schema import Config
    from neuroevo.store.genome_file import GenomeFile
    from neuroevo.store.record import RunRecord

Renderer = Literal[RENDERERS]  # type: ignore[valid-type]


@dataclasses.dataclass(frozen=True)
class Genome:
    """The genome to use."""

    genome: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="GENOME")]
    """A genome file, a run directory, or zoo:NAME (neuroevo list zoo)."""


@dataclasses.dataclass(frozen=True)
class Runs:
    """The runs to use."""

    runs: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN ...", help_behavior_hint=""),
    ]
    """Run directories."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Which genome of a run to use."""

    which: Which = "best"
    """For a run: the center with the best held-out return, or the last center."""


@dataclasses.dataclass(frozen=True)
class Files:
    """Sources of options besides the command line."""

    config: Path | None = None
    """YAML file with options; the command line overrides it."""
    preset: str | None = None
    """Preset to take options from (neuroevo list presets)."""


@dataclasses.dataclass(frozen=True)
class Averaged:
    """How many networks act together."""

    ensemble: Count | None = None
    """Let this many fresh networks act as one policy, on the mean of their outputs; the
    same as --policy.ensemble."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """Size and seed of the evaluation."""

    TITLE: ClassVar[str] = "evaluation"

    policies: Count = 8
    """Fresh policies decoded from the genome."""
    episodes: Count = 8
    """Episodes of each policy."""
    seed: Seed | None = None
    """Seed of the evaluation; none draws a new seed, which the result reports."""


@dataclasses.dataclass(frozen=True)
class Json:
    """Machine-readable output."""

    TITLE: ClassVar[str] = "output"

    json: bool = False
    """Print one JSON object on stdout and nothing else."""


@dataclasses.dataclass(frozen=True)
class Quiet:
    """How to show a run."""

    TITLE: ClassVar[str] = "output"

    quiet: bool = False
    """Plain lines instead of the live display."""


@dataclasses.dataclass(frozen=True)
class Cache:
    """Use of this machine."""

    TITLE: ClassVar[str] = "machine"

    compilation_cache: CompilationCache = "auto"


def layers_of(options: Any) -> list[Layer]:
    """Return the preset and the file that a command's `options` name, as layers."""
    return read_layers(options.preset, options.config)


def solution_layers(line: Line) -> list[Layer]:
    """Return the layers of a command line that names a genome."""
    size = getattr(line.options, "ensemble", None)
    if size is None:
        return layers_of(line.options)
    named = {"name": line.names["policy"]} if "policy" in line.names else {}
    layer = Layer("--ensemble", {"policy": named | {"ensemble": size}})
    return [*layers_of(line.options), layer]


def read_solution(command: Command, line: Line) -> "tuple[Config, GenomeFile, Any]":
    """Return the configuration, the genome file and the options of a command line.

    If the command line asks for help without a genome, print help and exit.
    """
    help_without_genome(command, line)
    from neuroevo import loading
    from neuroevo.store import zoo

    resolved, file = loading.read_solution(
        zoo.locate(line.options.genome),
        solution_layers(line),
        line.words,
        command=command,
        which=line.options.which,
    )
    options = resolved.settings
    if not isinstance(options, Machine):
        settings = Machine(compilation_cache=options.compilation_cache)
        resolved = dataclasses.replace(resolved, settings=settings)
    return resolved, file, options


def missing(argument: str, command: Command) -> UserError:
    """Return the error for a command line that lacks an argument."""
    return UserError(f"{argument} is missing: expected {command.usage}")


def help_without_genome(command: Command, line: Line) -> None:
    """Print help and exit, if a command line asks for it and names no genome.

    With a genome, help lists the options of its parts.
    """
    help_without(line.options.genome, command, line)


def help_without(
    argument: Any,
    command: Command,
    line: Line,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Print help and exit, if a command line asks for it and lacks an `argument`.

    The command's own `defaults` are shown in the place of those of its options.
    """
    if line.help and not argument:
        from neuroevo.config.resolve import print_help, without_settings

        layers = map(without_settings, layers_of(line.options))
        print_help(command, line.words, [Layer(command.prog, defaults), *layers])


def say(line: str) -> None:
    """Print a line for people: on stderr, since stdout is for results."""
    print(f"neuroevo: {line}", file=sys.stderr, flush=True)


def read_records(paths: Sequence[str]) -> "list[RunRecord]":
    """Return the records of the runs in `paths`."""
    from neuroevo.store import record

    return [record.read_record(path) for path in each_once(paths)]


def each_once(paths: Sequence[str]) -> list[Path]:
    """Return `paths` without those of runs that come before, and say so.

    Statistics over runs would count such a run twice.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        first = found.setdefault(path.resolve(), path)
        if first is not path:
            say(f"{path}: the same run as {first}; it counts once")
    return list(found.values())
