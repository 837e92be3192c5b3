"""``neuroevo inspect``: show the pairs of a data set."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroevo.cli.common import (
    Cache,
    Chosen,
    Files,
    Genome,
    Renderer,
    read_solution,
    say,
)
from neuroevo.config.command import DECODING, Command, Line
from neuroevo.errors import UserError

if TYPE_CHECKING:
    from neuroevo.views.pairs import Pairs


@dataclasses.dataclass(frozen=True)
class Picture:
    """What to draw."""

    picture: Path | None = None
    """New file for a picture of the pairs, .png, .svg or .pdf."""
    renderer: Renderer = "outlines"
    """How to draw bodies; MuJoCo's renderer needs EGL or OSMesa."""


@dataclasses.dataclass(frozen=True)
class Options(Cache, Picture, Files, Chosen, Genome):
    """Options of ``inspect``."""


COMMAND = Command(
    "neuroevo inspect RUN|GENOME.npz [OPTIONS]",
    Options,
    "Show the pairs of a data set, or the arrays of another genome.",
    parts=DECODING,
)


def run(line: Line) -> int:
    """Show a genome, and return the exit code."""
    try:
        resolved, file, options = read_solution(COMMAND, line)
    except UserError as error:
        return _show_raw(line, error)
    from neuroevo import loading
    from neuroevo.store.files import atomic_write
    from neuroevo.views import figures, pair_pictures, pairs

    if options.picture is not None:
        figures.check_path(options.picture)
        if "states" not in file.arrays:
            raise UserError(
                f"{file.path}: expected a data set to draw, but it has no states"
            )
    solution = loading.make_solution(resolved, file)
    found = pairs.read_pairs(solution)
    _show(file.arrays, found)
    if found is not None and options.picture is not None:
        kind = options.picture.suffix.removeprefix(".")
        picture = pair_pictures.make_picture(
            solution, found, renderer=options.renderer, kind=kind
        )
        atomic_write(options.picture, picture)
    return 0


def _show_raw(line: Line, error: UserError) -> int:
    """Show what can be shown without parts made in Python; raise any other `error`."""
    from neuroevo import loading
    from neuroevo.views import pairs

    if not isinstance(error, loading.UnregisteredPart) or line.options.picture:
        raise error
    file = loading.read_source(line.options.genome, line.options.which)
    _show(file.arrays, pairs.plain_pairs(file.arrays))
    say(f"showing the genome without names of features and actions: {error}")
    return 0


def _show(arrays: Mapping[str, Any], found: "Pairs | None") -> None:
    """Print the pairs of a data set, or the arrays of another genome."""
    from neuroevo.terminal import genomes
    from neuroevo.terminal.console import make_console

    console = make_console()
    if found is None:
        genomes.render_arrays(arrays, console)
        return
    known = found.observations is not None
    states = found.states if found.observations is None else found.observations
    genomes.render_dataset(
        {**arrays, "states": states, **found.targets},
        console,
        max_rows=len(states),
        max_columns=None,
        features=found.features,
        actions=found.actions,
        counts=found.counts,
        order=found.names,
        title=found.title,
        units=known,
    )
