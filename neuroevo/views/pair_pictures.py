"""Pictures of a data set: each state as it looks, with its action.

There is one picture of all pairs, as in the figures of "Behaviour Distillation" (HaDES,
Lupu et al., ICLR 2024, arXiv 2406.15042), or a small one of each pair for a page.
"""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from neuroevo.solution import Solution
from neuroevo.views.colors import draw_legend
from neuroevo.views.figures import new_figure, write
from neuroevo.views.pairs import Pairs, answers, features
from neuroevo.views.scenes import Scene, make_scene

MOST = 64  # pairs that are drawn


class Card(NamedTuple):
    """A pair: its number, its action, its numbers, and a PNG of the state."""

    number: str
    title: str
    lines: Sequence[str]
    picture: bytes | None


class Cards(NamedTuple):
    """Cards of at most `MOST` pairs, with the legend of their drawings."""

    cards: Sequence[Card]
    caption: str
    legend: Sequence[tuple[str, str]]  # names and colors


def draw(solution: Solution, pairs: Pairs, *, renderer: str = "outlines") -> Any:
    """Return a matplotlib figure of the pairs, at most `MOST` of them."""
    values, scale = _shown(pairs)
    scene = _make_scene(solution, pairs, renderer)
    titled, count = answers(pairs)[:MOST], len(pairs.names)
    lines = [_lines(pairs, i, action, scene) for i, (_, action) in enumerate(titled)]
    width, height = scene.size
    text = 0.135 * max(map(len, lines))  # inches, as all sizes here
    if text or scene.text:
        width = max(width, 2.7 if len(titled) > 2 else 3.5)  # there is room
    columns = min(len(titled), 4 if width > 2 or count < 8 else 8)
    rows = -(-len(titled) // columns)
    size = (max(width * columns, 4.5), (height + text + 0.3) * rows + 0.7)
    figure = new_figure(size, layout="constrained")
    cells = figure.add_gridspec(rows, columns)
    for i, (title, _) in enumerate(titled):
        cell = cells[i].subgridspec(2, 1, height_ratios=[height, text + 1e-3])
        axes = figure.add_subplot(cell[0])
        scene.draw(axes, values[i], None)
        title = f"{pairs.names[i]}   {title}"
        axes.set_title(title, fontsize="medium", weight="bold")
        below = figure.add_subplot(cell[1])
        below.set_axis_off()
        place: dict[str, Any] = {
            "va": "top",
            "ha": "center",
            "transform": below.transAxes,
        }
        below.text(0.5, 1, "\n".join(lines[i]), **place, family="monospace", size=7.5)
    first = f", the first {MOST} of them" if count > MOST else ""
    title = f"{solution.config.names['env']}: {pairs.title}{first}"
    figure.suptitle(f"{title}\n{_caption(pairs, scene, scale)}", fontsize="medium")
    if scene.legend:
        draw_legend(figure, scene.legend, loc="outside lower center", ncols=4)
    return figure


def make_picture(
    solution: Solution, pairs: Pairs, *, renderer: str = "outlines", kind: str = "png"
) -> bytes:
    """Return a picture of the pairs, of a `kind` such as ``png``."""
    file = io.BytesIO()
    write(draw(solution, pairs, renderer=renderer), file, kind, dpi=120)
    return file.getvalue()


def draw_cards(pairs: Pairs, solution: Solution | None = None) -> Cards:
    """Return a card for each pair, with a drawing if the solution is known."""
    scene = _make_scene(solution, pairs) if solution else None
    values, scale = _shown(pairs)
    cards = [
        Card(
            pairs.names[i],
            title,
            _lines(pairs, i, action, scene),
            scene and _draw_state(scene, values[i]),
        )
        for i, (title, action) in enumerate(answers(pairs)[:MOST])
    ]
    return Cards(cards, _caption(pairs, scene, scale), scene.legend if scene else ())


def _draw_state(scene: Scene, values: np.ndarray) -> bytes:
    figure = new_figure(scene.size, layout="constrained")
    scene.draw(figure.add_subplot(), values, None)
    file = io.BytesIO()
    write(figure, file, "png", dpi=110, bbox_inches="tight", pad_inches=0.03)
    return file.getvalue()


def _make_scene(solution: Solution, pairs: Pairs, renderer: str = "outlines") -> Scene:
    return make_scene(
        solution.config,
        solution.parts.environment.spec,
        states=False,
        units=pairs.observations is not None,
        scale=_shown(pairs)[1],
        renderer=renderer,
    )


def _shown(pairs: Pairs) -> tuple[np.ndarray, float]:
    """Return the states to draw, and the largest value in them."""
    values = pairs.states if pairs.observations is None else pairs.observations
    sizes = np.abs(values[np.isfinite(values)])
    return values, float(sizes.max(initial=0.0))


def _lines(
    pairs: Pairs, i: int, action: Sequence[str], scene: Scene | None
) -> list[str]:
    """Return what a drawing does not show: the numbers of an action and of a state."""
    lines = ["ACTION", *action] if action else []
    if scene is None or scene.text:
        lines += ["", "STATE"] if lines else []
        lines += features(pairs, _shown(pairs)[0][i])
    return lines


def _caption(pairs: Pairs, scene: Scene | None, scale: float) -> str:
    if scene and scene.legend:
        return f"each cell in the color of its top channel, full at {scale:.2g}"
    known = pairs.observations is not None
    kind = "in the environment's units" if known else "as the policy sees them"
    bounds = "; actions are clipped to ±1" if "actions" in pairs.targets else ""
    return f"states {kind}{bounds}"
