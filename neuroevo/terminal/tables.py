"""Facts and tables that fit any terminal without cutting a number."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from neuroevo.terminal.formatting import frame

_SPACING: dict[str, Any] = {
    "box": box.SIMPLE_HEAD,
    "padding": (0, 1, 0, 0),
    "pad_edge": False,
}


class Column(NamedTuple):
    """A column of a table; numbers are aligned to the right."""

    title: str
    numeric: bool = True


def make_table() -> Table:
    """Return an empty table in neuroevo's style."""
    return Table(**_SPACING)


def print_facts(
    console: Console, title: str, facts: Iterable[tuple[str, object]]
) -> None:
    """Print facts: in a frame on a terminal, as plain lines in a pipe.

    A fact that is None or empty is left out.
    """
    found = [(n, str(value)) for n, value in facts if value not in (None, "")]
    if not console.is_terminal:
        for line in [title, *(f"{name:<14}  {value}" for name, value in found)]:
            console.print(line, soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in found:
        table.add_row(name, value)
    console.print(frame(title, table))


def print_table(
    console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]]
) -> None:
    """Print a table, or each row as a block of lines if the console is too narrow."""
    table = make_table()
    for title, numeric in columns:
        table.add_column(title, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    unlimited = console.options.update(max_width=1000)
    if console.measure(table, options=unlimited).maximum <= console.width:
        console.print(table)
        return
    titles = [title for title, _ in columns]
    for number, row in enumerate(rows, 1):
        heading = f"{number} of {len(rows)}"
        print_facts(console, heading, zip(titles, row, strict=True))
