"""``neuroevo transfer``: train other networks from a genome, and measure them."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

import annotated_types as at

from neuroevo.cli.common import (
    Chosen,
    Files,
    Genome,
    Json,
    Measured,
    read_solution,
)
from neuroevo.config.command import DECODING, Command, Line
from neuroevo.config.ranges import Count, CountOrZero
from neuroevo.config.schema import Machine
from neuroevo.studies.axes import ACTIVATIONS, AXES, WIDTHS, Rate


@dataclasses.dataclass(frozen=True)
class Grid:
    """The kinds of policies: one for every combination of values."""

    TITLE: ClassVar[str] = "grid"

    widths: Annotated[tuple[Count, ...], at.MinLen(1)] = WIDTHS
    """Units of each hidden layer."""
    depths: Annotated[tuple[Count, ...], at.MinLen(1)] | None = None
    """Numbers of hidden layers; none: the genome's own."""
    activations: Annotated[tuple[str, ...], at.MinLen(1)] = ACTIVATIONS
    """Nonlinearities of the hidden layers."""
    optimizers: Annotated[tuple[str, ...], at.MinLen(1)] | None = None
    """Optimizers to train with; none: the genome's own."""
    learning_rates: Annotated[tuple[Rate, ...], at.MinLen(1)] | None = None
    """Learning rates of the first step; none: the genome's own."""
    steps: Annotated[tuple[CountOrZero, ...], at.MinLen(1)] | None = None
    """Numbers of training steps; none: the genome's own."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """What to write."""

    picture: Path | None = None
    """New file for a heat map, .png, .svg or .pdf."""


@dataclasses.dataclass(frozen=True)
class Options(Machine, Json, Measured, Grid, Picture, Files, Chosen, Genome):
    """Options of ``transfer``."""

    episodes: Count = 4


COMMAND = Command(
    "neuroevo transfer RUN|GENOME.npz [OPTIONS]",
    Options,
    "Train other networks from a genome, and measure them.",
    parts=DECODING,
    requires=("encoding.learning_rate",),  # other encodings train no networks
)


def run(line: Line) -> int:
    """Measure a genome with other networks, and return the exit code."""
    resolved, file, options = read_solution(COMMAND, line)
    from neuroevo import loading
    from neuroevo.store.files import to_json
    from neuroevo.studies import transfer
    from neuroevo.terminal import results
    from neuroevo.terminal.console import make_console
    from neuroevo.views import figures, heat_map

    values = {name: getattr(options, name) for name in AXES.values()}
    grid = transfer.make_grid(resolved, **values)
    if options.picture is not None:
        figures.check_path(options.picture)
    result = transfer.measure(
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
        results.render_transfer(result, make_console())
    return 0
