"""Interactive learning curves, drawn with plotly."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from neuroevo.store.record import RunRecord
from neuroevo.views import curves, names
from neuroevo.views.colors import color

_LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "margin": {"l": 5, "r": 5, "t": 40, "b": 5},  # labels make room for themselves
    "legend": {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0},
    "hovermode": "x unified",
    "font": {"family": "system-ui, DejaVu Sans, sans-serif"},
}
_AXIS: dict[str, Any] = {"automargin": True, "title_standoff": 8}


class Trace(NamedTuple):
    """A line of a plot: how it looks, and its points over any of `names.AXES`."""

    style: Mapping[str, Any]
    points: Callable[[str], tuple[np.ndarray, np.ndarray]]


def plot_run(run: RunRecord) -> Any:
    """Return a plot of the returns of a run's population and its center."""

    def band(x: str) -> tuple[np.ndarray, np.ndarray]:
        xs, mean = curves.one(run, "fitness_mean", x)
        at, spread = curves.one(run, "fitness_std", x)
        if len(at) != len(xs):
            return xs[:0], xs[:0]
        return _outline(xs, mean - spread, mean + spread)

    def line(key: str, name: str, mode: str = "lines", **style: Any) -> Trace:
        style = {"name": name, "mode": mode, "line": style, "marker": {"size": 5}}
        return Trace(style, lambda x: curves.one(run, key, x))

    traces = [
        Trace(_shade(color(0)), band),
        line("fitness_mean", "population, mean ± sd", color=color(0)),
        line("fitness_max", "best candidate", color=color(0), dash="dot"),
        line("center_return", "center, held out", "lines+markers", color=color(1)),
    ]
    return _plot(traces, "return")


def plot_groups(groups: Mapping[str, Sequence[RunRecord]]) -> Any:
    """Return a plot of the held-out returns of settings, with bands over their runs."""
    traces: list[Trace] = []
    for i, (label, members) in enumerate(groups.items()):
        traces += _trace_group(label, members, color(i))
    return _plot(traces, names.METRICS["center_return"])


def _trace_group(label: str, members: Sequence[RunRecord], shown: str) -> list[Trace]:
    """Return the mean of several runs in a color, before it the band about it."""

    def several(x: str) -> curves.Curve:
        empty = curves.Curve(*[np.array([])] * 4)
        return curves.several(members, "center_return", x) or empty

    def band(x: str) -> tuple[np.ndarray, np.ndarray]:
        curve = several(x)
        return _outline(curve.x, curve.low, curve.high)

    def mean(x: str) -> tuple[np.ndarray, np.ndarray]:
        curve = several(x)
        return curve.x, curve.mean

    alone = len(members) == 1
    name = label if alone else f"{label} ({len(members)} seeds)"
    style = {"name": name, "mode": "lines", "line": {"color": shown}}
    line = Trace(style, mean)
    return [line] if alone else [Trace(_shade(shown), band), line]


def plot_population(run: RunRecord) -> Any:
    """Return a plot of the population's spread, the speed, and any failures."""
    from plotly.subplots import make_subplots

    generation, steps, seconds = map(run.column, ("generation", "env_steps", "seconds"))
    with np.errstate(divide="ignore", invalid="ignore"):
        speed = np.diff(steps, prepend=0) / np.diff(seconds, prepend=0)
    speed[~np.isfinite(speed)] = np.nan
    rows = [
        ("standard deviation of fitness", run.column("fitness_std")),
        ("environment steps per second", speed),
    ]
    if np.nansum(run.column("failures")) > 0:
        rows.append(("candidates without a finite fitness", run.column("failures")))
    for key in ("coverage", "qd_score"):
        if np.isfinite(values := run.column(key)).any():
            rows.append((names.METRICS[key], values))
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
    figure.update_yaxes(_AXIS)
    figure.update_xaxes(_AXIS)
    figure.update_xaxes(title_text=names.AXES["generation"], row=len(rows), col=1)
    return figure


def _plot(traces: Sequence[Trace], title: str) -> Any:
    """Return a plot with a button for each x axis."""
    import plotly.graph_objects as go

    figure, buttons = go.Figure(layout=_LAYOUT), []
    for trace in traces:
        x, y = trace.points("generation")
        figure.add_scatter(x=x, y=y, **trace.style)
    for name, label in names.AXES.items():
        xs, ys = zip(*(trace.points(name) for trace in traces), strict=True)
        layout = {"xaxis.title.text": label, "xaxis.autorange": True}
        label = {"env_steps": "env steps", "seconds": "time", "cpu_seconds": "CPU"}.get(
            name, name
        )
        args = [{"x": xs, "y": ys}, layout]
        buttons.append({"label": label, "method": "update", "args": args})
    menu: dict[str, Any] = {"type": "buttons", "direction": "left", "buttons": buttons}
    menu |= {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
    figure.update_xaxes(_AXIS, title_text=names.AXES["generation"])
    figure.update_yaxes(_AXIS, title_text=title)
    return figure.update_layout(updatemenus=[menu | {"font": {"size": 11}}])


def _outline(
    x: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the points around a band."""
    return np.concatenate([x, x[::-1]]), np.concatenate([low, high[::-1]])


def _shade(line: str) -> dict[str, Any]:
    """Return the style of a band around a line of this color."""
    red, green, blue = (int(line[i : i + 2], 16) for i in (1, 3, 5))
    fill: dict[str, Any] = {
        "fill": "toself",
        "fillcolor": f"rgba({red}, {green}, {blue}, 0.2)",
    }
    border = {"line": {"width": 0}, "mode": "lines", "showlegend": False}
    return fill | border | {"hoverinfo": "skip"}
