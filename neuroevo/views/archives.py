"""Archives of elites: their fitness over the first two dimensions of the descriptor."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neuroevo.store.archive_file import ArchiveFile
from neuroevo.terminal.formatting import format_amount
from neuroevo.views.colors import color
from neuroevo.views.figures import print_figure


class Map(NamedTuple):
    """What is drawn of an archive: one axis or two.

    Attributes:
        fitness: in each cell, NaN in empty ones; the best over all other dimensions.
        names: of the dimensions.
        edges: those of the cells, one array for each axis.
        title: what it shows, in words.
    """

    fitness: np.ndarray
    names: tuple[str, ...]
    edges: list[np.ndarray]
    title: str


def map_of(archive: ArchiveFile) -> Map:
    """Return what is drawn of an archive."""
    grid, fitness = archive.grid, archive.fitness_by_cell
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cells that are empty in all dimensions
        fitness = np.nanmax(fitness, axis=tuple(range(2, fitness.ndim)))
    edges = [
        np.linspace(low, high, cells + 1)
        for low, high, cells in zip(grid.low, grid.high, grid.cells, strict=True)
    ][:2]
    elites = f"{format_amount(len(archive.fitness), 'elite')}, {archive.coverage:.0%}"
    title = f"{elites} of the cells"
    if others := grid.names[2:]:
        title += f"; the best over {', '.join(others)}"
    return Map(fitness, grid.names[:2], edges, title)


def draw(archive: ArchiveFile, path: Path, size: tuple[float, float]) -> None:
    """Draw the fitness of the elites over what they do, and write it to a file.

    Args:
        archive: the archive.
        path: the file to write, in the format of its suffix.
        size: width and height in inches.
    """
    shown = map_of(archive)
    with print_figure(path, size) as figure:
        axes = figure.add_subplot()
        axes.set_xlabel(_in_words(shown.names[0]))
        axes.set_title(shown.title, fontsize="medium", wrap=True)
        if len(shown.names) == 1:
            axes.stairs(shown.fitness, *shown.edges, color=color(0), baseline=None)
            axes.set_ylabel("fitness")
        else:
            values = np.ma.masked_invalid(shown.fitness.T)
            image = axes.pcolormesh(*shown.edges, values, cmap="cividis")
            axes.set_facecolor("lightgray")
            axes.set_ylabel(_in_words(shown.names[1]))
            figure.colorbar(image, label="fitness")


def plot(archive: ArchiveFile) -> Any:
    """Return an interactive plot of the same."""
    import plotly.graph_objects as go

    shown = map_of(archive)
    x, *y = [(edges[1:] + edges[:-1]) / 2 for edges in shown.edges]
    names = [_in_words(name) for name in shown.names]
    if y:
        hover = f"{names[0]} %{{x:.3g}}, {names[1]} %{{y:.3g}}: %{{z:.4g}}"
        trace: Any = go.Heatmap(
            x=x,
            y=y[0],
            z=shown.fitness.T,
            colorscale="Cividis",
            colorbar={"title": "fitness"},
            hovertemplate=f"{hover}<extra></extra>",
            hoverongaps=False,
        )
    else:
        trace = go.Scatter(x=x, y=shown.fitness, line={"shape": "hvh"})
    figure = go.Figure(trace)
    figure.update_layout(
        template="plotly_white", margin={"l": 5, "r": 5, "t": 10, "b": 5}
    )
    figure.update_xaxes(title_text=names[0], automargin=True)
    second = names[1] if y else "fitness"
    figure.update_yaxes(title_text=second, automargin=True)
    return figure


def _in_words(name: str) -> str:
    return name.replace("-", " ")
