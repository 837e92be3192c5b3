"""Text for streams that cannot hold all of Unicode."""

import codecs
from typing import Any

_ERRORS = "neuroevo.ascii"
_BLOCKS = dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#", strict=True))
# One character long where possible, so that the layout does not change.
_ASCII = str.maketrans(
    _BLOCKS
    | {"±": "+/-", "×": "x", "→": "->", "…": "...", "–": "-", "—": "-", "·": "-"}
    | {"⚠": "!", "≥": ">=", "≤": "<=", "ñ": "n", "‘": "'", "’": "'", "“": '"', "”": '"'}
)


def to_ascii(text: str) -> str:
    r"""Return `text` in ASCII: known symbols are replaced, other characters escaped.

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
    """Let text streams replace characters that their encoding does not support."""
    for stream in streams:
        if hasattr(stream, "reconfigure"):  # pytest's and a notebook's hold everything
            stream.reconfigure(errors=_ERRORS)


def fit(text: str, stream: Any) -> str:
    """Return `text`, in ASCII unless `stream` supports Unicode."""
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower()
    return text if encoding.startswith("utf") else to_ascii(text)
