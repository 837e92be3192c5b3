"""Finished things as tables: results, evaluations, lists, evolved data sets."""

import shlex
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuroevo.terminal.formatting import (
    format_bytes,
    format_count,
    format_duration,
    format_signed,
    format_value,
    frame,
    sparkline,
)

_COLLAPSED = "the center ended far below its best; best.npz keeps the best"


def _print_facts(
    console: Console, title: str, rows: Iterable[tuple[str, str | None]]
) -> None:
    """Prints what is known: in a frame on a terminal, as plain lines in a pipe."""
    rows = [(name, str(value)) for name, value in rows if value is not None]
    if not console.is_terminal:
        for line in [title, *(f"{name:<14}  {value}" for name, value in rows)]:
            console.print(Text(line), soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    console.print(frame(title, table))


def _spread(result: Mapping, name: str) -> str | None:
    mean, std = result.get(f"{name}_mean"), result.get(f"{name}_std")
    if mean is None:
        return None
    return format_value(mean) + ("" if std is None else f" ± {format_value(std)}")


def render_summary(summary: Mapping, console: Console) -> None:
    """Prints the end of a run.

    Args:
      summary: any of `final_return_mean`, `final_return_std`, `best_return_mean`,
        `best_return_std`, `best_generation`, `collapsed`, `generations`, `env_steps`,
        `seconds`, `compile_seconds`, `peak_memory_bytes`, `stopped_by` and `run_dir`.
      console: where to print.
    """
    get = summary.get
    best, seconds, spent = _spread(summary, "best_return"), None, []
    if best and get("best_generation") is not None:
        best += f"  at generation {get('best_generation'):,}"
    for key, unit in (("generations", " generations"), ("env_steps", " env steps")):
        if get(key) is not None:
            spent.append(format_count(get(key)) + unit)
    if get("seconds") is not None:
        seconds = format_duration(get("seconds"))
        if get("compile_seconds"):
            seconds += (
                f", of which {format_duration(get('compile_seconds'))} to compile"
            )
    memory = get("peak_memory_bytes")
    rows = [
        ("final return", _spread(summary, "final_return")),
        ("best return", best),
        ("collapsed", _COLLAPSED if get("collapsed") else None),
        ("spent", ", ".join(spent) or None),
        ("time", seconds),
        ("peak memory", format_bytes(memory) if memory else None),
        ("stopped by", get("stopped_by")),
        ("run", get("run_dir")),
    ]
    _print_facts(console, "held-out result of the center", rows)
    if get("run_dir"):
        run, more = shlex.quote(str(get("run_dir"))), 2 * (get("generations") or 100)
        for command in (f"evaluate {run}", f"resume {run} --generations {more}"):
            console.print(Text(f"  neuroevo {command}", "cyan"), soft_wrap=True)


def render_evaluation(result: Mapping, console: Console) -> None:
    """Prints what ``neuroevo evaluate`` found; keys as in its ``--json``."""
    returns = [float(value) for value in result.get("return_per_policy", ())]
    length = result.get("episode_length_mean")
    policies, episodes = result.get("policies"), result.get("episodes")
    policies = None
    if returns:
        low, middle, high = map(format_value, np.percentile(returns, [0, 50, 100]))
        policies = f"lowest {low}, median {middle}, highest {high}"
    interval = result.get("return_interval")
    spreads = [
        f"{format_value(result[key])} {between}"
        for key, between in (
            ("return_std_policies", "between policies"),
            ("return_std_episodes", "between episodes of one policy"),
        )
        if result.get(key) is not None
    ]
    rows = [
        ("return", _spread(result, "return")),
        ("95 % interval", interval and " to ".join(map(format_value, interval))),
        ("deviation", ", ".join(spreads) or None),
        ("policies", policies),
        ("", sparkline(sorted(returns), 40) if len(returns) > 2 else None),
        ("episode length", None if length is None else format_value(length)),
        (
            "from",
            f"{policies} fresh policies × {episodes} episodes" if policies else None,
        ),
    ]
    _print_facts(console, f"evaluation on {result.get('env', '?')}", rows)


def render_tasks(results: Mapping[str, Mapping], console: Console) -> None:
    """Prints what a merged data set achieves in each task.

    Args:
      results: by task, each as for `render_evaluation`; where they have such a result
        of the task's genome on its own as `own`, it is beside it.
      console: where to print.
    """
    columns = {"merged return": list(results.values())}
    if all("own" in result for result in results.values()):
        columns["own return"] = [result["own"] for result in results.values()]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("environment")
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
        table.add_column("95 % interval", justify="right", no_wrap=True)
    for name, row in zip(results, zip(*columns.values(), strict=True), strict=True):
        cells = []
        for result in row:
            interval = map(format_value, result["return_interval"])
            cells += [_spread(result, "return"), " to ".join(interval)]
        table.add_row(name, *cells)
    console.print(table)
    result = next(iter(results.values()))
    spent = f"from {result['policies']} fresh policies × {result['episodes']} episodes"
    console.print(Text(spent, "dim"))


def render_transfer(result: Mapping, console: Console) -> None:
    """Prints what ``neuroevo transfer`` found; keys as in its ``--json``.

    What is the same for all rows is said below the table.
    """
    axes = result["axes"]
    varying = [axis for axis, values in axes.items() if len(values) > 1]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for axis in varying:
        numeric = not isinstance(axes[axis][0], str)
        title = axis.replace("_", " ")
        table.add_column(title, justify="right" if numeric else "left")
    for title in ("return", "95 % interval", "lowest policy"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in result["rows"]:
        table.add_row(
            *(str(row[axis]) for axis in varying),
            _spread(row, "return"),
            " to ".join(map(format_value, row["return_interval"])),
            format_value(min(row["return_per_policy"])),
        )
    console.print(Text(f"transfer on {result['env']}", "bold"))
    console.print(table)
    fixed = [
        f"{axis.replace('_', ' ')} {values[0]}"
        for axis, values in axes.items()
        if axis not in varying
    ]
    spent = f"{result['policies']} fresh policies × {result['episodes']} episodes a row"
    console.print(Text(", ".join([*fixed, spent]), "dim"), soft_wrap=True)


def render_sweep(path: str, rows: Sequence[Mapping], console: Console) -> None:
    """Prints a sweep: a row for each variant; keys as in `sweeping.table`.

    Where the table is wider than the terminal, each variant has lines of its own.
    """
    titles = ("runs", "final return", "95 % interval", "env steps", "time")
    found = {row["variant"] or "all": _sweep_cells(row) for row in rows}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("variant")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for variant, cells in found.items():
        table.add_row(variant.replace(",", "\n"), *cells)
    console.print(Text(f"sweep {path}", "bold"))
    unlimited = console.options.update(max_width=1000)
    if console.measure(table, options=unlimited).maximum <= console.width:
        console.print(table)
    else:
        for number, (variant, cells) in enumerate(found.items(), 1):
            name = variant.replace(",", ", ")
            facts = zip(("variant", *titles), (name, *cells), strict=True)
            _print_facts(console, f"variant {number} of {len(found)}", facts)
    console.print(Text("± and interval: over runs, of their final returns", "dim"))


def _sweep_cells(row: Mapping) -> list[str]:
    interval = map(format_value, row.get("return_interval", ()))
    unfinished = [s for s in row["states"].values() if s not in ("done", "missing")]
    return [
        f"{row['done']}/{row['runs']}" + "".join(f" ({s})" for s in unfinished),
        _spread(row, "return") or "–",
        " to ".join(interval) or "–",
        format_count(row["env_steps"]) if row["done"] else "–",
        format_duration(row["seconds"]) if row["done"] else "–",
    ]


def render_doctor(found: Mapping, console: Console) -> None:
    """Prints how an installation is; keys as in `doctor.examine`, and `self_test`."""

    def listed(versions):
        return ", ".join(f"{name} {v}" for name, v in versions.items() if v)

    test, free = found["self_test"], found["free_memory_bytes"]
    plugins = [f"{kind} {n}" for kind, names in found["plugins"].items() for n in names]
    cache = (
        found["cache"] and f"{found['cache']} ({format_bytes(found['cache_bytes'])})"
    )
    outcome = "FAILED, see above"
    if test:
        compiling = format_duration(test["compile_seconds"])
        outcome = (
            f"passed in {format_duration(test['seconds'])}, {compiling} to compile"
        )
    rows = [
        ("neuroevo", f"{found['neuroevo']}, {found['from']}"),
        ("python", f"{found['python']}, {found['platform']}"),
        ("devices", found["devices"]),
        ("free memory", format_bytes(free) if free else None),
        ("packages", listed(found["versions"])),
        ("extras", listed(found["extras"]) or "none"),
        ("plug-ins", ", ".join(plugins) or "none besides ours"),
        ("cache", cache),
        ("self-test", outcome),
    ]
    _print_facts(console, "neuroevo doctor", rows)


def render_card(name: str, card: Mapping, console: Console) -> None:
    """Prints how a genome of the zoo was made and what it achieves; see `zoo`."""
    low, high = map(format_value, card["return_interval"])
    versions = card["versions"]
    rows = [
        ("what", f"{card['env']}: {card['title']}"),
        (
            "return",
            f"{format_value(card['return_mean'])}, {card['confidence']:.0%} interval "
            f"{low} to {high}",
        ),
        (
            "measured on",
            f"{card['policies']} fresh policies × {card['episodes']} episodes",
        ),
        ("strategy", card["search"]["strategy"]["name"]),
        (
            "spent",
            f"{format_count(card['generations'])} generations, "
            f"{format_count(card['env_steps'])} env steps, "
            f"{format_duration(card['seconds'])} on {card['devices']}",
        ),
        ("command", card["command"]),
        (
            "made",
            f"{card['made']}, neuroevo {versions['neuroevo']}, jax {versions['jax']}",
        ),
        ("license", card["license"]),
    ]
    _print_facts(console, name, rows)


def render_arrays(arrays: Mapping[str, np.ndarray], console: Console) -> None:
    """Prints the arrays of a genome that is no data set: one a row, summarized."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("array")
    for title in ("shape", "mean", "std", "min", "max"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, array in arrays.items():
        array = np.asarray(array, float)
        summary = (array.mean(), array.std(), array.min(), array.max())
        shape = " × ".join(map(str, array.shape)) or "1"
        table.add_row(name, shape, *(format_value(value) for value in summary))
    count = sum(np.size(array) for array in arrays.values())
    console.print(Text(f"{count:,} numbers in {len(arrays)} arrays", "bold"))
    console.print(table)


def render_list(title: str, rows: Iterable[tuple[str, str]], console: Console) -> None:
    """Prints names with a one-line description; one line each when piped."""
    rows = list(rows)
    if console.is_terminal:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="bold cyan", no_wrap=True)
        for name, description in rows:
            table.add_row(name, Text(description))
        console.print(Text(title, "bold"))
        console.print(table)
        return
    width = max((len(name) for name, _ in rows), default=0)
    for line in [title, *(f"  {n:<{width}}  {d}".rstrip() for n, d in rows)]:
        console.print(Text(line), soft_wrap=True)


def render_dataset(
    arrays: Mapping[str, np.ndarray],
    console: Console,
    max_rows: int = 16,
    max_columns: int | None = 12,
    *,
    features: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
    order: Sequence[int] | None = None,
    units: bool = False,
) -> None:
    """Prints evolved state-action pairs, one a row.

    Args:
      arrays: `states` with `actions`, `labels` or `action_logits`, as in a genome file.
      console: where to print; columns that do not fit are counted, not shown.
      max_rows: the most pairs to show.
      max_columns: the most features of a state to show; None for all of them, with
        the pairs side by side where rows would be too long.
      features: what the features are called, if that is known.
      actions: what the actions are called, if that is known.
      order: what each pair is called, if not by its place.
      units: whether states are in the environment's units, not as the policy sees them.
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
    answers, titles = _answers(arrays, actions or ())
    cells = [[_number(value) for value in row] for row in states[:max_rows]]
    answers = answers[:max_rows]
    numbers = [str(i) for i in (range(pairs) if order is None else order)][:max_rows]
    console.print(Text(f"{pairs} state-action pairs", "bold"))
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
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
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


def _side_by_side(
    names: Sequence[str], pairs: Sequence[tuple[str, list, list]], features: int
) -> Table:
    """One column for each pair, of its features and then what is to be done."""
    numbers, states, answers = zip(*pairs, strict=True)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True)
    for number in numbers:
        table.add_column(number, header_style="dim", justify="right", no_wrap=True)
    columns = [[*state, *answer] for state, answer in zip(states, answers, strict=True)]
    for i, (name, *row) in enumerate(zip(names, *columns, strict=True)):
        style = "" if i < features else "bold magenta"
        table.add_row(Text(name, style), *row, end_section=i == features - 1)
    return table


def _columns(titles: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[int]:
    """Widths of the columns, where a title may break between its words."""
    return [
        2 + max(map(len, [*title.split(), *(row[i].plain for row in rows)]))
        for i, title in enumerate(titles)
    ]


def _fitting(widths: Sequence[int], room: int, most: int) -> int:
    """How many columns to show; if not all, one more counts the others."""
    if len(widths) <= most and sum(widths) <= room:
        return len(widths)
    fits = np.searchsorted(np.cumsum(widths), room - 3 - len(str(len(widths))), "right")
    return max(1, min(int(fits), most))


def _answers(
    arrays: Mapping[str, np.ndarray], names: Sequence[str]
) -> tuple[list[list[Text]], list[str]]:
    """Cells and column titles for the targets, whichever kind the genome holds."""
    if "actions" in arrays:
        actions = np.asarray(arrays["actions"], float)
        actions = actions.reshape(len(actions), -1)
        if len(names) != actions.shape[1]:
            names = [f"a{i}" for i in range(actions.shape[1])]
        return [[_number(value) for value in row] for row in actions], list(names)
    if "action_logits" in arrays:
        logits = np.asarray(arrays["action_logits"], float)
        weights = np.exp(logits - logits.max(1, keepdims=True))
        shares = weights / weights.sum(1, keepdims=True)
        if len(names) != shares.shape[1]:
            names = [f"p{i}" for i in range(shares.shape[1])]
        return [
            [Text(f"{p:.0%}", "bold magenta" if p == max(row) else "") for p in row]
            for row in shares
        ], list(names)
    labels = [int(label) for label in np.asarray(arrays["labels"]).reshape(-1)]
    known = dict(enumerate(names))
    return [[Text(known.get(i, str(i)), "bold magenta")] for i in labels], ["action"]


def _number(value: float) -> Text:
    """A signed number: green above zero, red below."""
    near = abs(value) < 0.1
    style = "dim" if near else "green" if value > 0 else "red"
    return Text(format_signed(value), style)
