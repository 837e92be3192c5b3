"""A page about a run, or one that compares several; it needs no network."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import yaml

from neuroevo import returns as measures
from neuroevo.solution import Solution
from neuroevo.store.directory import CONFIG
from neuroevo.store.record import RunRecord
from neuroevo.terminal.formatting import (
    format_bytes,
    format_count,
    format_duration,
    format_value,
)
from neuroevo.views import curves, pages, pairs, video
from neuroevo.views.colors import color
from neuroevo.views.recording import Recording

_LAYOUT = {
    "template": "plotly_white",
    "margin": {"l": 50, "r": 10, "t": 40, "b": 45},
    "legend": {"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0},
    "hovermode": "x unified",
    "font": {"family": "system-ui, DejaVu Sans, sans-serif"},
}


def make_report(
    run: RunRecord, solution: Solution | None, recording: Recording | None
) -> str:
    """Return a page about a run.

    Args:
        run: what its directory holds.
        solution: its best genome, or None to leave that out.
        recording: an episode of it, or None to leave that out.
    """
    return pages.render(
        "run.html",
        title=f"{curves.describe(run)}, seed {run.config.get('seed')}",
        run=run,
        figures=_headline(run),
        curves=pages.plot(_plot_run(run)),
        statistics=pages.plot(_plot_statistics(run), height="360px"),
        genome=solution and _show_genome(solution),
        recording=recording,
        episode=recording and pages.data_uri(video.make_gif(recording), "gif"),
        config=yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True),
        environment=_flat(run.environment),
        commands=_commands(run),
    )


def make_comparison(found: Sequence[RunRecord]) -> str:
    """Return a page that compares runs, those of one setting taken together."""
    by_env: dict[str, list[RunRecord]] = {}
    for run in found:
        env = run.config.get("env")
        name = env["name"] if isinstance(env, Mapping) else str(env)
        by_env.setdefault(name, []).append(run)
    sections = []
    for env, members in by_env.items():
        groups = curves.group(members)
        sections.append(
            {
                "env": env,
                "curves": pages.plot(_plot_groups(groups), height="480px"),
                "groups": [_summarize(label, each) for label, each in groups.items()],
                "runs": [
                    _row(run, label) for label, each in groups.items() for run in each
                ],
            }
        )
    title = f"{len(found)} runs on {', '.join(by_env)}"
    return pages.render("comparison.html", title=title, sections=sections)


# Figures


def _headline(run: RunRecord) -> list[tuple[str, str, str]]:
    """Return what matters most: a name, a value, and a remark for each."""
    summary, last = run.summary, run.rows[-1]
    figures = []
    for which in ("final", "best"):
        mean = summary.get(f"{which}_return_mean")
        if mean is not None:
            low, high = map(format_value, summary[f"{which}_return_interval"])
            count = len(summary[f"{which}_return_per_policy"])
            spread = format_value(summary[f"{which}_return_std"])
            remark = (
                f"± {spread}; 95 % interval {low} to {high}; {count} fresh policies"
            )
            if which == "best" and summary.get("best_generation") is not None:
                remark += f"; generation {summary['best_generation']:,}"
            figures.append((f"{which} held-out return", format_value(mean), remark))
    if not figures:
        _, centers = curves.one(run, "center_return", "generation")
        if len(centers):
            value = format_value(centers[-1])
            figures.append(("held-out return", value, "of the center, the latest"))
    compiled = summary.get("compile_seconds")
    remark = f"{format_duration(compiled)} of them to compile" if compiled else ""
    seconds = summary.get("seconds", last["seconds"])
    stopped = summary.get("stopped_by")
    remark_generations = f"stopped by {stopped}" if stopped else "not finished"
    figures += [
        ("generations", f"{last['generation']:,}", remark_generations),
        ("environment steps", format_count(last["env_steps"]), ""),
        ("time", format_duration(seconds), remark),
    ]
    if memory := summary.get("peak_memory_bytes"):
        figures.append(("peak memory", format_bytes(memory), ""))
    return figures


def _summarize(label: str, group: Sequence[RunRecord]) -> dict[str, Any]:
    """Return a row of the table of settings, over the runs that are finished."""
    means = [run.summary.get("final_return_mean") for run in group]
    means = np.array([mean for mean in means if mean is not None], float)
    row = {"label": label, "seeds": len(group), "mean": "–", "interval": "–"}
    if len(means):
        low, high = map(format_value, measures.interval(means[None]))
        row |= {"mean": format_value(means.mean())}
        row |= {"interval": f"{low} to {high}" if len(means) > 1 else "–"}
        row |= {"low": format_value(means.min()), "high": format_value(means.max())}
    for key, show in (("env_steps", format_count), ("seconds", format_duration)):
        spent = [run.summary.get(key, run.rows[-1][key]) for run in group]
        row[key] = show(float(np.mean(spent)))
    return {"low": "–", "high": "–"} | row


def _row(run: RunRecord, label: str) -> dict[str, Any]:
    get, last = run.summary.get, run.rows[-1]
    interval = get("final_return_interval")
    return {
        "name": run.name,
        "label": label,
        "seed": run.config.get("seed"),
        "final": format_value(get("final_return_mean")),
        "interval": " to ".join(map(format_value, interval)) if interval else "–",
        "best": format_value(get("best_return_mean")),
        "generations": f"{last['generation']:,}",
        "env_steps": format_count(last["env_steps"]),
        "seconds": format_duration(get("seconds", last["seconds"])),
    }


def _flat(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return versions and other facts as rows of a table."""
    rows = []
    for key, value in environment.items():
        if isinstance(value, Mapping):
            rows += [(name, str(v)) for name, v in value.items() if v is not None]
        elif isinstance(value, list):
            rows.append((key, shlex.join(map(str, value))))
        elif value is not None:
            rows.append((key.replace("_", " "), str(value)))
    return rows


def _commands(run: RunRecord) -> list[tuple[str, str]]:
    path = shlex.quote(str(run.path))
    generations = 2 * run.rows[-1]["generation"]
    return [
        (f"neuroevo train --config {path}/{CONFIG}", "repeat it"),
        (f"neuroevo evaluate {path} --policies 16", "measure it again"),
        (f"neuroevo resume {path} --generations {generations}", "go on"),
        (f"neuroevo render {path} --out episode.gif", "make a video"),
    ]


# Plots


class Trace(NamedTuple):
    """A line of a plot: how it looks, and its points over any of `curves.AXES`."""

    style: Mapping[str, Any]
    points: Callable[[str], tuple[np.ndarray, np.ndarray]]


def _plot_run(run: RunRecord) -> Any:
    """Return the returns of a run's population and of its center."""

    def band(x):
        xs, mean = curves.one(run, "fitness_mean", x)
        spread = curves.one(run, "fitness_std", x)[1]
        return _outline(xs, mean - spread, mean + spread)

    def line(key, name, mode="lines", **style):
        style = {"name": name, "mode": mode, "line": style, "marker": {"size": 5}}
        return Trace(style, lambda x: curves.one(run, key, x))

    traces = [
        Trace(_shade(color(0)), band),
        line("fitness_mean", "population, mean ± sd", color=color(0)),
        line("fitness_max", "best candidate", color=color(0), dash="dot"),
        line("center_return", "center, held out", "lines+markers", color=color(1)),
    ]
    return _plot(traces, "return")


def _plot_groups(groups: Mapping[str, Sequence[RunRecord]]) -> Any:
    """Return the held-out returns of settings: means, and bands over their runs."""
    traces = []
    for i, (label, members) in enumerate(groups.items()):

        def several(x, members=members):
            empty = curves.Curve(*[np.array([])] * 4)
            return curves.several(members, "center_return", x) or empty

        def band(x, several=several):
            curve = several(x)
            return _outline(curve.x, curve.low, curve.high)

        if len(members) > 1:
            traces.append(Trace(_shade(color(i)), band))
            label = f"{label} ({len(members)} seeds)"
        style = {"name": label, "mode": "lines", "line": {"color": color(i)}}
        traces.append(Trace(style, lambda x, several=several: several(x)[:2]))
    return _plot(traces, curves.METRICS["center_return"])


def _plot(traces: Sequence[Trace], title: str) -> Any:
    """Return a plot with a button for each x axis."""
    import plotly.graph_objects as go

    figure, buttons = go.Figure(layout=_LAYOUT), []
    for trace in traces:
        x, y = trace.points("generation")
        figure.add_scatter(x=x, y=y, **trace.style)
    for name, label in curves.AXES.items():
        x, y = zip(*(trace.points(name) for trace in traces), strict=True)
        layout = {"xaxis.title.text": label, "xaxis.autorange": True}
        args = [{"x": x, "y": y}, layout]
        label = {"env_steps": "env steps", "seconds": "time"}.get(name, name)
        buttons.append({"label": label, "method": "update", "args": args})
    menu = {"type": "buttons", "direction": "left", "buttons": buttons}
    menu |= {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
    return figure.update_layout(
        updatemenus=[menu | {"font": {"size": 11}}],
        xaxis_title=curves.AXES["generation"],
        yaxis_title=title,
    )


def _outline(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple:
    """Return the points around a band."""
    return np.concatenate([x, x[::-1]]), np.concatenate([low, high[::-1]])


def _shade(line: str) -> dict[str, Any]:
    """Return how a band about a line of this color looks."""
    red, green, blue = (int(line[i : i + 2], 16) for i in (1, 3, 5))
    fill = {"fill": "toself", "fillcolor": f"rgba({red}, {green}, {blue}, 0.2)"}
    line = {"width": 0}
    fill |= {"hoverinfo": "skip"}
    return fill | {"line": line, "mode": "lines", "showlegend": False}


def _plot_statistics(run: RunRecord) -> Any:
    """Return the population's spread, the speed, and failures if there were any."""
    from plotly.subplots import make_subplots

    generation, steps, seconds = map(run.column, curves.AXES)
    with np.errstate(divide="ignore", invalid="ignore"):
        speed = np.diff(steps, prepend=0) / np.diff(seconds, prepend=0)
    speed[~np.isfinite(speed)] = np.nan
    rows = [
        ("standard deviation of fitness", run.column("fitness_std")),
        ("environment steps per second", speed),
    ]
    if np.nansum(run.column("failures")) > 0:
        rows.append(("candidates without a finite fitness", run.column("failures")))
    figure = make_subplots(
        len(rows),
        1,
        shared_xaxes=True,
        vertical_spacing=0.15,
        subplot_titles=[name for name, _ in rows],
    )
    for i, (name, values) in enumerate(rows):
        line = {"color": color(i), "width": 1.5}
        figure.add_scatter(
            x=generation, y=values, name=name, line=line, row=i + 1, col=1
        )
    figure.update_layout(_LAYOUT | {"showlegend": False})
    figure.update_annotations(font_size=13)
    figure.update_xaxes(title_text=curves.AXES["generation"], row=len(rows), col=1)
    return figure


# The genome


def _show_genome(solution: Solution) -> dict[str, Any]:
    """Return a picture of the pairs, or the arrays of another genome summarized."""
    found = pairs.read_pairs(solution)
    if found is not None:
        picture = pages.data_uri(pairs.make_picture(solution, found), "png")
        return {"picture": picture, "count": len(found.order)}
    arrays = {k: np.asarray(v, float) for k, v in solution.arrays().items()}
    rows = []
    for name, a in arrays.items():
        summary = map(format_value, (a.mean(), a.std(), a.min(), a.max()))
        rows.append((name, " × ".join(map(str, a.shape)) or "1", list(summary)))
    numbers = sum(a.size for a in arrays.values())
    return {"picture": None, "arrays": rows, "numbers": f"{numbers:,}"}
