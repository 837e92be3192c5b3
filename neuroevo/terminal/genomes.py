"""Genomes as tables: state-action pairs, or the arrays of another encoding."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text
from scipy.special import softmax

from neuroevo.spaces import TARGETS, by_choice, data_shape
from neuroevo.terminal.formatting import format_amount, format_array, format_signed
from neuroevo.terminal.tables import Column, make_table, print_table


class Rows(NamedTuple):
    """A data set with a row for each pair.

    Attributes:
        arrays: those of the data set; the first axis counts pairs.
        names: what each pair is called: its number, or in sequences of pairs the number
            of its sequence and its own in it, such as ``1.0``.
        title: how many there are, in words.
        is_sequences: whether they are sequences.
    """

    arrays: dict[str, np.ndarray]
    names: Sequence[str]
    title: str
    is_sequences: bool = False


def in_rows(arrays: Mapping[str, Any], action: Any = None) -> Rows:
    """Return the pairs of a data set one after the other, those of sequences, too.

    Args:
        arrays: `states` with `actions`, `labels` or `action_logits`, as in a file.
        action: the action space, if known.
    """
    found = {name: np.asarray(array) for name, array in arrays.items()}
    size, *lengths = data_shape(found, action)
    if not lengths:
        names = [str(i) for i in range(size)]
        return Rows(found, names, format_amount(size, "state-action pair"))
    (length,) = lengths
    for name in {"states", *TARGETS} & found.keys():
        found[name] = found[name].reshape(-1, *found[name].shape[2:])
    names = [f"{i}.{j}" for i in range(size) for j in range(length)]
    each = format_amount(length, "state-action pair")
    title = f"{format_amount(size, 'sequence')} of {each}"
    return Rows(found, names, title, is_sequences=True)


def render_dataset(
    arrays: Mapping[str, np.ndarray],
    console: Console,
    max_rows: int = 16,
    max_columns: int | None = 12,
    *,
    features: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
    counts: Sequence[int] = (),
    order: Sequence[str] | None = None,
    title: str | None = None,
    units: bool = False,
) -> None:
    """Print evolved state-action pairs, one per row, and evolved learning rates.

    Args:
        arrays: `states` with `actions`, `labels` or `action_logits`, as in a file.
        console: where to print; columns that do not fit are counted, not shown.
        max_rows: the most pairs to show.
        max_columns: the most features of a state to show; None for all of them, with
            the pairs side by side where rows would be too long.
        features: what the features are called, if that is known.
        actions: what the actions are called, if that is known.
        counts: the number of values of each discrete choice, if there are several.
        order: what each pair is called, if not by its place.
        title: how many pairs there are in words, if not by their number.
        units: whether states are in the environment's units, and not as the policy
            sees them.
    """
    states = np.asarray(arrays["states"], float)
    pairs, shape = len(states), states.shape[1:]
    kind = "in the environment's units" if units else "as the policy sees them"
    states, names = states.reshape(pairs, -1), features or ()
    if len(shape) > 1:
        kind = f"arrays of {' × '.join(map(str, shape))}, {kind}; summarized here"
        parts = (states.mean(1), states.std(1), states.min(1), states.max(1))
        states, names = np.stack(parts, 1), ("mean", "std", "min", "max")
    if len(names) != states.shape[1]:
        names = [f"s{i}" for i in range(states.shape[1])]
    answers, titles = _answers(arrays, actions or (), counts)
    cells = [[_number(value) for value in row] for row in states[:max_rows]]
    answers = answers[:max_rows]
    numbers = [str(i) for i in (range(pairs) if order is None else order)][:max_rows]
    title = title or format_amount(pairs, "state-action pair")
    console.print(Text(title, "bold"))
    console.print(Text(f"states {kind}", "dim"))
    taken = 5 + sum(_columns(titles, answers))  # the pair's number, a space at the end
    most = len(names) if max_columns is None else max_columns
    shown = _fitting(_columns(names, cells), console.width - taken, most)
    hidden = len(names) - shown
    if hidden and max_columns is None:
        rows = list(zip(numbers, cells, answers, strict=True))
        width = max(len(cell.plain) for _, *row in rows for cell in sum(row, [])) + 1
        room = console.width - max(map(len, [*names, *titles])) - 2
        fit = max(1, room // width)
        for first in range(0, pairs, fit):
            part = rows[first : first + fit]
            console.print(_side_by_side([*names, *titles], part, len(names)))
        _print_rates(arrays, console)
        return
    table = make_table()
    table.add_column("", justify="right", style="dim", no_wrap=True)
    for name in [*names[:shown], *([f"+{hidden}"] if hidden else [])]:
        table.add_column(name, justify="right", no_wrap=" " not in name)
    for title in titles:
        table.add_column(
            title, header_style="bold magenta", justify="right", no_wrap=True
        )
    for number, row, answer in zip(numbers, cells, answers, strict=True):
        table.add_row(number, *row[:shown], *(["…"] if hidden else []), *answer)
    console.print(table)
    if pairs > max_rows:
        console.print(Text(f"… and {pairs - max_rows} more pairs", "dim"))
    _print_rates(arrays, console)


def _print_rates(arrays: Mapping[str, np.ndarray], console: Console) -> None:
    """Print the factors on the learning rate that a genome holds, if any."""
    for name, array in arrays.items():
        kind, _, layer = name.partition("/")
        if kind in ("log_rate", "log_rates"):
            whose = f" of {layer}" if layer else ""
            factor = float(np.exp(array))
            console.print(Text(f"learning rate{whose} × {factor:.3g}", "bold magenta"))


def _side_by_side(
    names: Sequence[str], pairs: Sequence[tuple[str, list, list]], features: int
) -> Table:
    """Print one column per pair: its features, and then its action."""
    numbers, states, answers = zip(*pairs, strict=True)
    table = make_table()
    table.add_column("", no_wrap=True)
    for number in numbers:
        table.add_column(number, header_style="dim", justify="right", no_wrap=True)
    columns = [[*state, *answer] for state, answer in zip(states, answers, strict=True)]
    for i, (name, *row) in enumerate(zip(names, *columns, strict=True)):
        style = "" if i < features else "bold magenta"
        table.add_row(Text(name, style), *row, end_section=i == features - 1)
    return table


def _columns(titles: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[int]:
    """Return the widths of the columns; titles may break between words."""
    return [
        2 + max(map(len, [*title.split(), *(row[i].plain for row in rows)]))
        for i, title in enumerate(titles)
    ]


def _fitting(widths: Sequence[int], room: int, most: int) -> int:
    """Return how many columns to show; if not all, one more counts the others."""
    if len(widths) <= most and sum(widths) <= room:
        return len(widths)
    fits = np.searchsorted(np.cumsum(widths), room - 3 - len(str(len(widths))), "right")
    return max(1, min(int(fits), most))


def _answers(
    arrays: Mapping[str, np.ndarray], names: Sequence[str], counts: Sequence[int]
) -> tuple[list[list[Text]], list[str]]:
    """Return cells and column titles for the targets, of whichever kind they are."""
    if "actions" in arrays:
        actions = np.asarray(arrays["actions"], float)
        actions = actions.reshape(len(actions), -1)
        if len(names) != actions.shape[1]:
            names = [f"a{i}" for i in range(actions.shape[1])]
        return [[_number(value) for value in row] for row in actions], list(names)
    if "action_logits" in arrays:
        logits = np.asarray(arrays["action_logits"], float)
        shares = by_choice(functools.partial(softmax, axis=-1), logits, counts)
        if len(names) != shares.shape[1]:
            names = [f"p{i}" for i in range(shares.shape[1])]
        return [
            [Text(f"{p:.0%}", "bold magenta" if p == max(row) else "") for p in row]
            for row in shares
        ], list(names)
    labels = np.asarray(arrays["labels"])
    labels = labels.reshape(len(labels), -1)
    known = {i: name for i, name in enumerate(names) if labels.shape[1] == 1}
    cells = [
        [Text(known.get(int(i), str(i)), "bold magenta") for i in row] for row in labels
    ]
    several = [f"action {i}" for i in range(labels.shape[1])]
    return cells, several if len(several) > 1 else ["action"]


def _number(value: float) -> Text:
    """Return a signed number, green above zero and red below."""
    near = abs(value) < 0.1
    style = "dim" if near else "green" if value > 0 else "red"
    return Text(format_signed(value), style)


def render_arrays(arrays: Mapping[str, np.ndarray], console: Console) -> None:
    """Print a summary of the arrays of a genome that is not a data set, one per row."""
    columns = [Column("array", numeric=False)]
    columns += map(Column, ("shape", "mean", "std", "min", "max"))
    rows = [[name, *format_array(array)] for name, array in arrays.items()]
    count = sum(np.size(array) for array in arrays.values())
    amounts = (
        f"{format_amount(count, 'number')} in {format_amount(len(arrays), 'array')}"
    )
    console.print(Text(amounts, "bold"))
    print_table(console, columns, rows)
