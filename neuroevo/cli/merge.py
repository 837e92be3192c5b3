"""``neuroevo merge``: merge several data sets into one for all their environments."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from neuroevo.cli.common import Files, Json, Measured, layers_of, missing, say
from neuroevo.config.command import DECODING, Command, Line
from neuroevo.config.schema import Machine


@dataclasses.dataclass(frozen=True)
class Genomes:
    """The genomes to merge."""

    genomes: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="GENOME ...", help_behavior_hint=""),
    ]
    """Genome files, run directories or zoo:NAME, at least two."""


@dataclasses.dataclass(frozen=True)
class Written:
    """The merged genome."""

    out: Path | None = None
    """New genome file to write."""


@dataclasses.dataclass(frozen=True)
class Options(Machine, Json, Measured, Files, Written, Genomes):
    """Options of ``merge``."""


COMMAND = Command(
    "neuroevo merge RUN|GENOME.npz RUN|GENOME.npz ... --out MERGED.npz",
    Options,
    "Merge data sets of several environments into one, and measure it in each of them.",
    parts=DECODING,
    offered=("encoding", "policy"),
    requires=("encoding.learning_rate",),  # only data sets can be merged
)


def run(line: Line) -> int:
    """Merge genomes, and return the exit code."""
    from neuroevo.config.resolve import print_help
    from neuroevo.store.files import check_new_file, to_json
    from neuroevo.studies import merge
    from neuroevo.terminal import results
    from neuroevo.terminal.console import make_console

    options = line.options
    layers = merge.network_layers(layers_of(options))
    if line.help:
        print_help(COMMAND, line.words, layers)
    if options.out is None:
        raise missing("--out", COMMAND)
    check_new_file(options.out, (".npz",))
    merged = merge.merge_files(
        merge.read_genomes(options.genomes), layers, line.words, command=COMMAND
    )
    for option, (taken, *others) in merged.disagreements.items():
        listed = ", ".join(str(value) for value in others)
        say(f"{option}: {taken}, as in the first genome; others have {listed}")
    merged.save(options.out)
    measured = merged.evaluate(options.policies, options.episodes, seed=options.seed)
    if options.json:
        print(to_json({"genome": str(options.out), "tasks": measured}))
    else:
        results.render_environments(measured, make_console())
    return 0
