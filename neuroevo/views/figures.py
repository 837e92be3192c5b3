"""Figures and picture files, made with matplotlib, which is imported only to draw."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from neuroevo.store.files import check_new_file

SUFFIXES = (".png", ".svg", ".pdf")
STYLE: Any = {  # of figures for print
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,  # TrueType, which publishers ask for
    "savefig.dpi": 300,
}
DATES = {"svg": "Date", "pdf": "CreationDate"}


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


@contextmanager
def print_figure(path: Path, size: tuple[float, float]) -> Iterator[Any]:
    """Yield an empty figure for print, and write it to a file at the end.

    Args:
        path: the file, in the format of its suffix.
        size: width and height in inches.
    """
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure = new_figure(size, layout="constrained")
        yield figure
        write(figure, path, path.suffix[1:])


def write(figure: Any, file: Path | BinaryIO, kind: str, **options: Any) -> None:
    """Write a figure in a format such as ``svg``: the same drawing, the same bytes."""
    import matplotlib

    date = DATES.get(kind)
    metadata = {date: None} if date else None
    with matplotlib.rc_context({"svg.hashsalt": "neuroevo"}):  # else names are random
        figure.savefig(file, format=kind, metadata=metadata, **options)
