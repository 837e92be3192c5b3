"""Colors that color-blind readers can distinguish, and legends."""

from collections.abc import Sequence
from typing import Any

# Okabe and Ito, "Color Universal Design", 2008; then three of Tol's, as it has eight.
COLORS = (
    "#0072B2",  # blue
    "#D55E00",  # vermillion
    "#009E73",  # bluish green
    "#E69F00",  # orange
    "#CC79A7",  # reddish purple
    "#56B4E9",  # sky blue
    "#000000",  # black
    "#F0E442",  # yellow
    "#882255",  # wine
    "#999933",  # olive
    "#BBBBBB",  # gray
)


def color(index: int) -> str:
    """Return the color for an `index`; colors repeat."""
    return COLORS[index % len(COLORS)]


def draw_legend(figure: Any, legend: Sequence[tuple[str, str]], **options: Any) -> None:
    """Draw a legend of colors next to the drawings of a figure."""
    from matplotlib.patches import Patch

    handles = [Patch(color=shown, label=name) for name, shown in legend]
    figure.legend(handles=handles, frameon=False, fontsize="small", **options)
