"""The console on which all tables and displays are printed."""

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from neuroevo.terminal.ascii import to_ascii, tolerate


class Terminal(Console):
    """A console that prints text unchanged, or in ASCII if the stream requires it.

    A closed pipe raises a BrokenPipeError, which ends the command.
    """

    def on_broken_pipe(self) -> None:
        """Leave it to the caller."""
        raise BrokenPipeError

    def render_str(self, text: str, **options: Any) -> Text:
        """Return `text` in characters that the stream supports, before measuring it."""
        return super().render_str(to_ascii(text) if is_ascii(self) else text, **options)


def is_ascii(console: Console) -> bool:
    """Return whether a console supports only ASCII."""
    return not console.encoding.startswith("utf")


def make_console(*, stderr: bool = False, **options: Any) -> Terminal:
    """Return a console on stdout or stderr; `options` are those of rich's."""
    if stderr:
        options = {"force_terminal": sys.stderr.isatty()} | options
    console = Terminal(
        stderr=stderr, markup=False, emoji=False, highlight=False, **options
    )
    if is_ascii(console):
        tolerate(console.file)
    return console
