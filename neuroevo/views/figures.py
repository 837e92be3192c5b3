"""Figures and picture files, made with matplotlib, which is imported only to draw."""

from pathlib import Path
from typing import Any

from neuroevo.store.files import check_new_file

SUFFIXES = (".png", ".svg", ".pdf")


def check_path(path: Path) -> None:
    """Raise a `UserError` unless a new figure can be written to `path`."""
    check_new_file(path, SUFFIXES)


def new_figure(size: tuple[float, float], **options: Any) -> Any:
    """Return an empty figure of `size` in inches, without a window or global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, **options)
    FigureCanvasAgg(figure)
    return figure
