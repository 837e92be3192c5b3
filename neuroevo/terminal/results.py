"""Results in words and tables: of runs, evaluations, transfers and sweeps."""

import shlex
from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuroevo.terminal.formatting import (
    format_bytes,
    format_count,
    format_duration,
    format_value,
    sparkline,
)
from neuroevo.terminal.listings import print_facts

_COLLAPSED = "the center ended far below its best; best.npz keeps the best"


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
    print_facts(console, "held-out result of the center", rows)
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
    print_facts(console, f"evaluation on {result.get('env', '?')}", rows)


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
            print_facts(console, f"variant {number} of {len(found)}", facts)
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
