"""Formats numbers for people, as text or as a small curve."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from rich import box
from rich.console import RenderableType
from rich.panel import Panel
from rich.text import Text

_MISSING = "–"


def format_count(number: float | None) -> str:
    """Abbreviate a count: ``950``, ``1.2k``, ``16.3M``; None becomes a dash."""
    if number is None or not math.isfinite(number):
        return _MISSING
    for unit in ("", "k", "M", "G"):
        if abs(number) < (999.5 if unit == "" else 999.95):
            break
        number /= 1000
    else:
        unit = "T"
    digits = 0 if unit == "" or abs(number) >= 100 else 1
    return f"{number:.{digits}f}".removesuffix(".0") + unit


def format_amount(count: int, name: str) -> str:
    """Return a count with its noun: ``1 policy``, ``1,024 policies``."""
    plural = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    return f"{count:,} {name if count == 1 else plural}"


def format_value(number: float | None) -> str:
    """Format a return with about four digits; None becomes a dash."""
    if number is None or not math.isfinite(number):
        return _MISSING
    size = abs(number)
    if size >= 1e6 or 0 < size < 1e-3:
        return f"{number:.2e}"
    digits = sum(size < bound for bound in (1000, 10, 1)) if size else 0
    return f"{number:.{digits}f}"


def format_range(ends: Sequence[float] | None) -> str:
    """Format an interval of returns: ``105.9 to 802``; None becomes a dash."""
    return " to ".join(map(format_value, ends)) if ends else _MISSING


def format_signed(number: float) -> str:
    """Format a coordinate with its sign and two decimals: ``+0.25``, ``-1.3e+02``."""
    return f"{number:+.2f}" if abs(number) < 100 else f"{number:+.1e}"


def format_duration(seconds: float | None) -> str:
    """Format seconds with two leading units: ``18 s``, ``1 min 12 s``; None: a dash."""
    if seconds is None or not math.isfinite(seconds):
        return _MISSING
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(i for i, (_, size) in enumerate(units) if whole >= size)
    parts = []
    for name, size in units[first : first + 2]:
        parts.append(f"{whole // size} {name}")
        whole %= size
    return " ".join(part for part in parts if not part.startswith("0 "))


def format_array(array: ArrayLike) -> list[str]:
    """Summarize an array: its shape, mean, standard deviation, minimum and maximum."""
    values = np.asarray(array, float)
    shape = " × ".join(map(str, values.shape)) or "1"
    summary = (values.mean(), values.std(), values.min(), values.max())
    return [shape, *map(format_value, summary)]


def sparkline(
    values: Sequence[float],
    width: int,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """Draw values as blocks, averaged down to `width` and clipped to [low, high].

    A value that is not finite repeats the one before it, or is blank at the start.
    """
    array = np.asarray(values, float)
    if len(array) > width:
        array = np.array([mean(part) for part in np.array_split(array, max(width, 1))])
    finite = array[np.isfinite(array)]
    if not finite.size:
        return " " * len(array)
    low = finite.min() if low is None else low
    high = finite.max() if high is None else high
    blocks, line = "▁▂▃▄▅▆▇█", ""
    for value in array:
        if not math.isfinite(value):
            line += line[-1:] or " "
        elif high <= low:
            line += "▄"
        else:
            line += blocks[min(7, max(0, int((value - low) / (high - low) * 8)))]
    return line


def mean(values: Iterable[float]) -> float:
    """Return the mean of the finite values, or NaN."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def frame(title: str, body: RenderableType) -> Panel:
    """Return `body` in a rounded frame with a `title`."""
    text = Text(f" {title} ", "bold")
    return Panel(body, box.ROUNDED, title=text, title_align="left", border_style="dim")
