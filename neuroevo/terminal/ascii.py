"""Text for streams that cannot hold all of Unicode."""

import codecs
from typing import Any

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


def fit(text: str, stream: Any) -> str:
    """Return `text`, in ASCII unless `stream` holds Unicode."""
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower()
    return text if encoding.startswith("utf") else to_ascii(text)
