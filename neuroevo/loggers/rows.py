"""Code shared by the loggers: metrics and results as names and numbers."""

import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from neuroevo.errors import UserError
from neuroevo.store.files import flatten

Rows = Sequence[Mapping[str, Any]]


def need(package: str) -> None:
    """Raise a `UserError` that says how to install `package` unless it is there."""
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"log: {package} is not installed: pip install 'neuroevo[{package}]'"
        )


def clock() -> Callable[[Rows], list[float]]:
    """Return a function from rows to their times; the first rows have just finished."""
    began: list[float] = []

    def times(rows: Rows) -> list[float]:
        if not began:
            began.append(time.time() - rows[-1]["seconds"])
        return [began[0] + row["seconds"] for row in rows]

    return times


def metrics(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers in `row` by name, without the generation."""
    for name, value in row.items():
        if isinstance(value, int | float) and name != "generation":
            yield name, float(value)


def results(summary: Mapping[str, Any] | None) -> Iterator[tuple[str, float]]:
    """Yield the returns in a summary by name; none if there is no summary."""
    for name, value in metrics(summary or {}):
        if "return" in name:
            yield name, value


def table(config: Mapping[str, Any]) -> str:
    """Return a configuration as a table in Markdown."""
    rows = [f"| {name} | {value} |" for name, value in flatten(config)]
    return "\n".join(["| option | value |", "|---|---|", *rows])
