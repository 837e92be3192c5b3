"""Where text goes: streams and consoles that write what their encoding can hold."""

import codecs
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

_ERRORS = "neuroevo.ascii"
_BLOCKS = dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#", strict=True))
# Of one character where that is possible: what has been laid out stays in its place.
_ASCII = str.maketrans(
    _BLOCKS
    | {"±": "+/-", "×": "x", "→": "->", "…": "...", "–": "-", "—": "-", "·": "-"}
    | {"⚠": "!", "≥": ">=", "≤": "<=", "ñ": "n", "‘": "'", "’": "'", "“": '"', "”": '"'}
)


def to_ascii(text: str) -> str:
    r"""Return `text` in ASCII: our signs by what stands for them, others escaped.

    Example:
        >>> to_ascii("12.5 ± 3 → ü")
        '12.5 +/- 3 -> \\xfc'
    """
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode()


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return to_ascii(error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _replace)


def tolerate(*streams: Any) -> None:
    """Let text streams replace what their encoding cannot hold instead of failing."""
    for stream in streams:
        if hasattr(stream, "reconfigure"):  # pytest's and a notebook's hold everything
            stream.reconfigure(errors=_ERRORS)


class Terminal(Console):
    """A console that takes text as it is, in ASCII if there is no more.

    A closed pipe raises a BrokenPipeError, for the command to end.
    """

    def on_broken_pipe(self) -> None:
        """Leave it to the caller."""
        raise BrokenPipeError

    def render_str(self, text: str, **options: Any) -> Text:
        """Return `text`, before it is measured, in what the stream can hold."""
        return super().render_str(to_ascii(text) if is_ascii(self) else text, **options)


def is_ascii(console: Console) -> bool:
    """Return whether a console holds nothing but ASCII for sure."""
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
