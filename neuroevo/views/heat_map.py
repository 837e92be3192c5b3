"""The result of ``neuroevo transfer`` as a heat map, drawn with matplotlib."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuroevo.terminal.formatting import format_value
from neuroevo.views.figures import new_figure, write


def draw_transfer(result: Mapping[str, Any], path: Path) -> None:
    """Draw the result of ``neuroevo transfer`` as a heat map of mean returns.

    The columns are the axis with the most values, the rows all other combinations.
    """
    axes = result["axes"]
    across = max(("width", *axes), key=lambda axis: len(axes[axis]))
    down = {k: v for k, v in axes.items() if k != across and len(v) > 1}
    shape = [len(values) for values in axes.values()]
    means = np.array([row["return_mean"] for row in result["rows"]]).reshape(shape)
    means = np.moveaxis(means, list(axes).index(across), -1)
    columns = [_label(value) for value in axes[across]]
    rows = [" · ".join(map(_label, each)) for each in itertools.product(*down.values())]
    fixed = [
        f"{_title(k)} {_label(v[0])}"
        for k, v in axes.items()
        if len(v) == 1 and k != across
    ]
    draw_heat_map(
        path,
        means.reshape(len(rows), len(columns)),
        rows=rows,
        columns=columns,
        titles=(" · ".join(map(_title, down)), _title(across)),
        title=f"return on {result['env']}\n{', '.join(fixed)}".strip(),
    )


def draw_heat_map(
    path: Path,
    values: np.ndarray,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    titles: tuple[str, str],
    title: str,
) -> None:
    """Draw (R, C) values as colored cells with the numbers in them.

    The colors are those of cividis, which looks nearly the same to color-blind readers
    (Nuñez, Anderton and Renslow, PLOS ONE 13, 2018). A cell that is not finite is gray.

    Args:
        path: the file to write, in the format of its suffix.
        values: (R, C) the values of the cells.
        rows: labels of the R rows.
        columns: labels of the C columns.
        titles: titles of the rows and of the columns.
        title: title of the picture.
    """
    left = max(len(label) for label in rows)
    size = (max(4.5, 2.5 + 0.08 * left + 0.8 * len(columns)), 1.6 + 0.35 * len(rows))
    figure = new_figure(size, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(np.ma.masked_invalid(values), cmap="cividis", aspect="auto")
    axes.set_facecolor("lightgray")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylabel(titles[0])
    axes.set_xlabel(titles[1])
    axes.set_title(title, fontsize="medium", wrap=True)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(values):
        bright = not np.isfinite(value) or _brightness(image, value) > 0.5
        color = "black" if bright else "white"
        text = format_value(value)
        axes.text(column, row, text, ha="center", va="center", color=color)
    figure.colorbar(image, label="mean return")
    write(figure, path, path.suffix[1:], dpi=150)


def _brightness(image: Any, value: float) -> float:
    """Return how bright the color of `value` is, from 0 to 1 (ITU-R BT.601)."""
    return float(np.dot(image.cmap(image.norm(value))[:3], (0.299, 0.587, 0.114)))


def _title(axis: str) -> str:
    return axis.replace("_", " ")


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
