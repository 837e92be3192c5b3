"""Learning curves for print, drawn with matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroevo.errors import UserError
from neuroevo.store.record import RunRecord
from neuroevo.terminal.formatting import format_count
from neuroevo.views import curves, names
from neuroevo.views.colors import color
from neuroevo.views.figures import print_figure

LINES = ("-", "--", "-.", ":")  # to be distinguished without colors, too


def draw(
    found: Sequence[RunRecord],
    path: Path,
    *,
    metric: str = "center_return",
    x: str = "env_steps",
    size: tuple[float, float] = (3.4, 2.4),
) -> None:
    """Draw the learning curves of runs, and write them to a file.

    For one run, the plot shows the mean fitness of the population with its standard
    deviation, its best fitness, and the held-out return of the center. For several
    runs, it shows `metric`: for each setting, the mean over its runs with a band from
    the lowest to the highest.

    Args:
        found: the runs.
        path: the file to write, in the format of its suffix.
        metric: one of `names.METRICS`.
        x: one of `names.AXES`.
        size: width and height in inches.
    """
    with print_figure(path, size) as figure:
        axes = figure.add_subplot()
        if len(found) == 1:
            _draw_one(axes, found[0], x)
        else:
            _draw_several(axes, found, metric, x)
        axes.set_xlabel(names.AXES[x])
        if x == "env_steps":
            axes.xaxis.set_major_formatter(lambda value, _: format_count(value))
        axes.margins(x=0.01)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()


def _draw_one(axes: Any, run: RunRecord, x: str) -> None:
    xs, mean = curves.one(run, "fitness_mean", x)
    at, spread = curves.one(run, "fitness_std", x)
    if len(at) == len(xs):
        band = (mean - spread, mean + spread)
        axes.fill_between(xs, *band, color=color(0), alpha=0.2, linewidth=0)
    axes.plot(xs, mean, color=color(0), label="population, mean ± sd")
    best = curves.one(run, "fitness_max", x)
    axes.plot(*best, ":", color=color(0), linewidth=1, label="best candidate")
    center = curves.one(run, "center_return", x)
    axes.plot(*center, "o-", color=color(1), markersize=2.5, label="center, held out")
    axes.set_ylabel("return")
    axes.set_title(curves.describe(run), fontsize="medium")


def _draw_several(axes: Any, found: Sequence[RunRecord], metric: str, x: str) -> None:
    for i, (label, group) in enumerate(curves.group(found).items()):
        curve = curves.several(group, metric, x)
        if curve is None:
            continue
        seeds = f" ({len(group)} seeds)" if len(group) > 1 else ""
        band = (curve.low, curve.high)
        axes.fill_between(curve.x, *band, color=color(i), alpha=0.2, linewidth=0)
        style = {"color": color(i), "linestyle": LINES[i % len(LINES)]}
        marker = "o" if len(curve.x) == 1 else None  # a line of one point is invisible
        axes.plot(curve.x, curve.mean, label=label + seeds, marker=marker, **style)
    if not axes.lines:
        raise UserError(
            f"plot: expected another --metric; none of the settings has {metric} in "
            "all of its runs"
        )
    axes.set_ylabel(names.METRICS[metric])
