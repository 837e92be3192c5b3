"""Prints the results of runs, evaluations, transfers and sweeps.

Numbers that are missing or null, as in failed runs, are shown as a dash.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from humanize import naturalsize
from rich.console import Console
from rich.text import Text

from neuroevo.returns import known, known_ends
from neuroevo.studies.compare import Comparison
from neuroevo.terminal.formatting import (
    format_amount,
    format_count,
    format_duration,
    format_range,
    format_value,
    sparkline,
)
from neuroevo.terminal.tables import Column, print_facts, print_table
from neuroevo.views.names import AXES

_COLLAPSED = "the center ended far below its best; best.npz keeps the best"
_NOT_FINITE = "not finite: policies failed"
_CENTERS = {"best": " of the best center", "center": " of the latest center"}


def render_summary(summary: Mapping[str, Any], console: Console) -> None:
    """Print the results of a run.

    Args:
        summary: the content of ``summary.json``, or a part of it.
        console: the console.
    """
    get = summary.get
    best = _spread(summary, "best_return")
    if best and known(get("best_generation")) is not None:
        best += f"  at generation {get('best_generation'):,}"
    spent = [
        f"{format_count(count)} {unit}"
        for count, unit in (
            (known(get("generations")), "generations"),
            (known(get("env_steps")), "env steps"),
        )
        if count is not None
    ]
    seconds, compiling = known(get("seconds")), known(get("compile_seconds"))
    time = None if seconds is None else format_duration(seconds)
    if time and compiling:
        time += f", including {format_duration(compiling)} to compile"
    memory = known(get("peak_memory_bytes"))
    rows = [
        ("best center", best),
        ("last center", _spread(summary, "final_return")),
        ("collapsed", _COLLAPSED if get("collapsed") else None),
        ("spent", ", ".join(spent) or None),
        ("time", time),
        ("peak memory", naturalsize(memory) if memory else None),
        ("stopped by", get("stopped_by")),
        ("run", get("run_dir")),
    ]
    print_facts(console, "held-out returns", rows)
    if get("run_dir"):
        run, more = shlex.quote(str(get("run_dir"))), 2 * (get("generations") or 100)
        for command in (f"evaluate {run}", f"resume {run} --generations {more}"):
            console.print(Text(f"  neuroevo {command}", "cyan"), soft_wrap=True)


def render_evaluation(result: Mapping[str, Any], console: Console) -> None:
    """Print the result of ``neuroevo evaluate``; keys as in its ``--json``."""
    get = result.get
    returns = [r for r in map(known, get("return_per_policy") or ()) if r is not None]
    between = [
        f"{format_value(get(key))} {what}"
        for key, what in (
            ("return_std_policies", "between policies"),
            ("return_std_episodes", "between episodes of one policy"),
        )
        if known(get(key)) is not None
    ]
    span = None
    if returns:
        low, middle, high = map(format_value, np.percentile(returns, [0, 50, 100]))
        span = f"lowest {low}, median {middle}, highest {high}"
    length = known(get("episode_length_mean"))
    rows = [
        ("return", _spread(result, "return")),
        ("95 % interval", _interval(result, "return")),
        ("deviation", ", ".join(between) or None),
        ("policies", span),
        ("", sparkline(sorted(returns), 40) if len(returns) > 2 else None),
        ("episode length", None if length is None else format_value(length)),
        ("from", _effort(result)),
        ("seed", get("seed")),
    ]
    which = _CENTERS.get(get("which") or "", "")
    print_facts(console, f"evaluation{which} on {get('env', '?')}", rows)


def render_environments(
    results: Mapping[str, Mapping[str, Any]], console: Console
) -> None:
    """Print the results of a merged data set in each of its environments.

    Args:
        results: for each environment, a result as for `render_evaluation`. Its optional
            key `own`, the result of the original genome, is shown next to it.
        console: the console.
    """
    measured = {"merged return": list(results.values())}
    if all("own" in result for result in results.values()):
        measured["own return"] = [result["own"] for result in results.values()]
    columns = [Column("environment", numeric=False)]
    for title in measured:
        columns += [Column(title), Column("95 % interval")]
    rows = []
    for name, row in zip(results, zip(*measured.values(), strict=True), strict=True):
        cells = [(_spread(r, "return"), _interval(r, "return")) for r in row]
        rows.append([name, *(cell or "–" for pair in cells for cell in pair)])
    print_table(console, columns, rows)
    for result in [*results.values()][:1]:
        console.print(Text(f"from {_effort(result)}{_seed(result)}", "dim"))


def render_transfer(result: Mapping[str, Any], console: Console) -> None:
    """Print the result of ``neuroevo transfer``; keys as in its ``--json``.

    Settings that are the same in all rows are listed below the table.
    """
    axes = result["axes"]
    varying = [axis for axis, values in axes.items() if len(values) > 1]
    columns = [
        Column(axis.replace("_", " "), numeric=not isinstance(axes[axis][0], str))
        for axis in varying
    ]
    columns += map(Column, ("return", "95 % interval", "lowest policy"))
    rows = []
    for row in result["rows"]:
        returns = [known(value) for value in row["return_per_policy"]]
        finite = [value for value in returns if value is not None]
        lowest = min(finite) if finite and len(finite) == len(returns) else None
        measured = (_spread(row, "return"), _interval(row, "return"))
        cells = [*(str(row[axis]) for axis in varying), *(m or "–" for m in measured)]
        rows.append([*cells, format_value(lowest)])
    console.print(Text(f"transfer on {result['env']}", "bold"))
    print_table(console, columns, rows)
    fixed = [
        f"{axis.replace('_', ' ')} {values[0]}"
        for axis, values in axes.items()
        if axis not in varying
    ]
    line = ", ".join([*fixed, f"{_effort(result)} a row"]) + _seed(result)
    console.print(line, style="dim", soft_wrap=not console.is_terminal)


def render_sweep(
    path: str, rows: Sequence[Mapping[str, Any]], console: Console
) -> None:
    """Print a sweep, one row per variant; keys as in `studies.sweep.table`."""
    titles = ("runs", "final return", "95 % interval", "env steps", "time")
    columns = [Column("variant", numeric=False), *map(Column, titles)]
    cells = []
    for row in rows:
        steps, seconds = known(row.get("env_steps")), known(row.get("seconds"))
        ended = [
            state
            for state in row["states"].values()
            if state not in ("done", "missing")
        ]
        cells.append(
            [
                (row["variant"] or "all").replace(",", ", "),
                f"{row['done']}/{row['runs']}" + "".join(f" ({s})" for s in ended),
                _spread(row, "return", "–"),
                _interval(row, "return") or "–",
                format_count(steps),
                format_duration(seconds),
            ]
        )
    console.print(Text(f"sweep {path}", "bold"))
    print_table(console, columns, cells)
    console.print("± and interval: of the final returns, over runs", style="dim")


def render_aggregates(
    comparison: Comparison, rows: Sequence[Mapping[str, Any]], console: Console
) -> None:
    """Print compared settings, the best first; keys as in `studies.compare.table`."""
    tasks = comparison.tasks
    titles = ("runs", "score", "95 % interval", *(task.env for task in tasks))
    columns = [Column("setting", numeric=False), *map(Column, titles)]
    cells = [
        [
            row["setting"],
            str(row["runs"]),
            f"{row['score']:.2f}",
            "{:.2f} to {:.2f}".format(*row["score_interval"]),
            *(format_value(row["returns"][task.env]["mean"]) for task in tasks),
        ]
        for row in rows
    ]
    print_table(console, columns, cells)
    amount = format_count if comparison.x == "env_steps" else format_duration
    budgets = ", ".join(f"{task.env} {amount(task.budget)}" for task in tasks)
    notes = [
        f"compared at equal {AXES[comparison.x]}: {budgets}",
        "score: interquartile mean over environments and runs; 0 is the return of the "
        "first centers, 1 that of the best setting",
    ]
    if comparison.left_out:
        left_out = ", ".join(comparison.left_out)
        notes.append(f"without {left_out}, where a setting has no runs")
    if not_learned := [task.env for task in tasks if not task.learned]:
        notes.append(
            f"scores without {', '.join(not_learned)}, where no setting is above the "
            "first centers by more than these differ"
        )
    for note in notes:
        console.print(note, style="dim", soft_wrap=True)


def render_tuning(result: Mapping[str, Any], console: Console) -> None:
    """Print measurements of batch sizes; keys as in `studies.tune.tune`."""
    titles = ("chunk", "decode chunk", "per generation", "env steps/s")
    cells = [
        [
            str(row["chunk"]),
            str(row["decode_chunk"]),
            format_duration(row["seconds"]),
            format_count(row["env_steps_per_second"]),
        ]
        for row in sorted(result["measured"], key=lambda row: row["seconds"])
    ]
    print_table(console, [Column(title) for title in titles], cells)
    found = f"--chunk {result['chunk']} --decode-chunk {result['decode_chunk']}"
    console.print(f"fastest: {found}", soft_wrap=True)


def _spread(result: Mapping[str, Any], name: str, null: str = _NOT_FINITE) -> str:
    """Return a mean with its deviation; `null` if the mean is not a number."""
    mean, std = known(result.get(f"{name}_mean")), known(result.get(f"{name}_std"))
    if mean is None:
        return null if f"{name}_mean" in result else ""
    return format_value(mean) + ("" if std is None else f" ± {format_value(std)}")


def _interval(result: Mapping[str, Any], name: str) -> str | None:
    """Return an interval as text, or None if an end is not a number."""
    ends = known_ends(result.get(f"{name}_interval"))
    return format_range(ends) if ends else None


def _seed(result: Mapping[str, Any]) -> str:
    """Return what repeats a result, as the end of a line."""
    seed = known(result.get("seed"))
    return "" if seed is None else f", seed {seed}"


def _effort(result: Mapping[str, Any]) -> str | None:
    """Return the number of policies and episodes of a result."""
    policies, episodes = result.get("policies"), result.get("episodes")
    if not policies or not episodes:
        return None
    size = result.get("ensemble")
    who = format_amount(policies, "ensemble" if size else "fresh policy")
    of = f" of {size} networks" if size else ""
    return f"{who}{of} × {format_amount(episodes, 'episode')}"
