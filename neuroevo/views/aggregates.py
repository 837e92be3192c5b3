"""Scores of settings over several environments, drawn for print with matplotlib."""

from pathlib import Path
from typing import Any

import numpy as np

from neuroevo.studies.compare import (
    LEVELS,
    SHARES,
    Comparison,
    at_end,
    interquartile_mean,
    profile,
)
from neuroevo.views import names
from neuroevo.views.colors import color
from neuroevo.views.figures import print_figure
from neuroevo.views.plots import LINES


def draw(
    comparison: Comparison, path: Path, *, size: tuple[float, float] = (7.0, 2.8)
) -> None:
    """Draw scores along the budget, and performance profiles at its end.

    Args:
        comparison: the settings.
        path: the file to write, in the format of its suffix.
        size: width and height in inches.
    """
    with print_figure(path, size) as figure:
        left, right = figure.subplots(1, 2)
        for i, (label, scores) in enumerate(comparison.scores.items()):
            style: Any = {"color": color(i), "linestyle": LINES[i // 3 % len(LINES)]}
            along = interquartile_mean(np.concatenate(list(scores.values())))
            left.plot(SHARES, along, label=label, **style)
            right.plot(LEVELS, profile(at_end(scores)), **style)
        left.set_xlabel(f"share of the {names.AXES[comparison.x]}")
        left.set_ylabel("score (interquartile mean)")
        right.set_xlabel("score")
        right.set_ylabel("share of runs with at least this score")
        figure.legend(loc="outside right upper")
