"""Chooses the display of a run that suits stderr."""

import sys

from rich.console import Console

from neuroevo.run.events import Display, Header, Silent
from neuroevo.terminal.console import make_console
from neuroevo.terminal.live import LiveDisplay
from neuroevo.terminal.plain import LineDisplay, PlainDisplay


def make_display(
    header: Header, quiet: bool = False, console: Console | None = None
) -> Display:
    """Return a live display if stderr is a terminal, and plain lines otherwise."""
    console = console or make_console(stderr=True)
    if quiet or not console.is_interactive or console.is_dumb_terminal:
        return PlainDisplay(header, console.file, quiet)
    return LiveDisplay(header, console)


def make_line(header: Header) -> Display:
    """Return one line of progress in a terminal or notebook, and warnings elsewhere."""
    if sys.stderr.isatty():
        return LineDisplay(header, sys.stderr, make_console(stderr=True).width - 1)
    if _in_notebook():
        return LineDisplay(header, sys.stderr)
    return Silent()


def _in_notebook() -> bool:
    """Return whether this process runs in a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")
