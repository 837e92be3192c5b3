"""A data set made visible: each state as it looks, and what is to be done there.

As in the figures of "Behaviour Distillation" (HaDES, Lupu et al., ICLR 2024, arXiv
2406.15042).
"""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from neuroevo.solution import Solution
from neuroevo.terminal.formatting import format_signed
from neuroevo.traits import EnvironmentTraits, traits
from neuroevo.views.colors import draw_legend
from neuroevo.views.scenes import Scene, make_scene

MOST = 64  # pairs in a picture


class Pairs(NamedTuple):
    """The D pairs of a data set, sorted by what is to be done.

    Attributes:
        order: the number of each pair in the genome file, (D,).
        states: as the policy sees them, (D, *observation).
        observations: the same in the environment's units, or None where these are not
            known (under per-episode normalization).
        targets: ``labels``, ``action_logits`` or ``actions`` by that name, (D, …).
        features: what the features are called, if that is known.
        actions: what the actions are called, if that is known.
    """

    order: np.ndarray
    states: np.ndarray
    observations: np.ndarray | None
    targets: Mapping[str, np.ndarray]
    features: Sequence[str] | None
    actions: Sequence[str] | None


def read_pairs(solution: Solution) -> Pairs | None:
    """Return the pairs of a solution, or None if its genome is no data set.

    What the environment does not have, of a genome merged from several, is left out.
    """
    arrays = {name: np.asarray(array) for name, array in solution.arrays().items()}
    if "states" not in arrays:
        return None
    own = solution.parts.environment.spec
    spec, options = solution.parts.spec or own, solution.config.parts["env"]
    states = _cut(arrays["states"], spec.observation, own.observation)
    names = [name for name in _SORTED_BY if name in arrays]
    targets = {name: arrays[name] for name in names}
    if "actions" in targets:
        targets["actions"] = _cut(
            targets["actions"], spec.action.shape, own.action.shape
        )
    named = traits(EnvironmentTraits, options)
    keys = [_SORTED_BY[name](array) for name, array in targets.items()]
    order = np.lexsort(keys[0].reshape(len(states), -1).T[::-1])
    observations = denormalize(states, arrays, solution.config)
    return Pairs(
        order,
        states[order],
        None if observations is None else observations[order],
        {name: array[order] for name, array in targets.items()},
        named.features,
        named.actions,
    )


# In which file there is more than one of these, the first tells what is to be done.
_SORTED_BY = {
    "labels": lambda labels: labels,
    "action_logits": lambda logits: logits.argmax(-1),
    "actions": lambda actions: actions,
}


def denormalize(states: np.ndarray, arrays: Any, config: Any) -> np.ndarray | None:
    """Return states in the environment's units, or None where these are not known."""
    if "obs_mean" in arrays:
        floor = getattr(config.parts["normalization"], "var_floor", 0)
        return (
            states * np.sqrt(np.maximum(arrays["obs_var"], floor)) + arrays["obs_mean"]
        )
    return states if config.names["normalization"] == "none" else None


def _cut(array: np.ndarray, shape: tuple[int, ...], own: tuple[int, ...]) -> np.ndarray:
    """Return rows of a `shape` cut down to those that the environment has."""
    array = array.reshape(-1, *shape)
    if len(shape) == len(own):
        return array[(slice(None), *map(slice, own))]
    return array.reshape(len(array), -1)[:, : math.prod(own)].reshape(-1, *own)


def _answers(pairs: Pairs) -> list[tuple[str, list[str]]]:
    """Return what is to be done in each state: a title and further lines."""
    names = dict(enumerate(pairs.actions or ()))
    kind, array = next(iter(pairs.targets.items()))
    if kind == "actions":
        rows = array.reshape(len(array), -1)
        if len(names) != rows.shape[1]:
            names = {i: f"action {i}" for i in range(rows.shape[1])}
        return [
            ("", [_line(names[i], value) for i, value in enumerate(row)])
            for row in rows
        ]
    labels, shares = array, None
    if kind == "action_logits":
        shares = np.exp(array - array.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        labels = array.argmax(-1)
    said = [names.get(int(label), f"action {label}") for label in labels]
    if shares is not None:
        said = [f"{t} {s:.0%}" for t, s in zip(said, shares.max(-1), strict=True)]
    return [(title, []) for title in said]


def draw(solution: Solution, pairs: Pairs, *, renderer: str = "outlines") -> Any:
    """Return a matplotlib figure of the pairs, at most `MOST` of them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = pairs.states if pairs.observations is None else pairs.observations
    scale = float(np.abs(values).max())
    scene = make_scene(
        solution.config,
        solution.parts.environment.spec,
        states=False,
        units=pairs.observations is not None,
        scale=scale,
        renderer=renderer,
    )
    answers, count = _answers(pairs)[:MOST], len(pairs.order)
    lines = [["ACTION", *action] if action else [] for _, action in answers]
    for i, below in enumerate(lines if scene.text else ()):
        below += [*(["", "STATE"] if below else []), *_features(pairs, values[i])]
    width, height = scene.size
    text = 0.135 * max(map(len, lines))  # inches, as all sizes here
    if text or scene.text:
        width = max(width, 2.7 if len(answers) > 2 else 3.5)  # there is room
    columns = min(len(answers), 4 if width > 2 or count < 8 else 8)
    rows = -(-len(answers) // columns)
    size = (max(width * columns, 4.5), (height + text + 0.3) * rows + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    cells = figure.add_gridspec(rows, columns)
    for i, (title, _) in enumerate(answers):
        cell = cells[i].subgridspec(2, 1, height_ratios=[height, text + 1e-3])
        axes = figure.add_subplot(cell[0])
        scene.draw(axes, values[i], None)
        title = f"{pairs.order[i]}   {title}"
        axes.set_title(title, fontsize="medium", weight="bold")
        below = figure.add_subplot(cell[1])
        below.set_axis_off()
        place = {"va": "top", "ha": "center", "transform": below.transAxes}
        below.text(0.5, 1, "\n".join(lines[i]), **place, family="monospace", size=7.5)
    first = f", the first {MOST} of them" if count > MOST else ""
    title = f"{solution.config.names['env']}: {count} pairs{first}"
    figure.suptitle(f"{title}\n{_caption(pairs, scene, scale)}", fontsize="medium")
    if scene.legend:
        draw_legend(figure, scene.legend, loc="outside lower center", ncols=4)
    return figure


def make_picture(
    solution: Solution, pairs: Pairs, *, renderer: str = "outlines", kind: str = "png"
) -> bytes:
    """Return a picture of the pairs, of a `kind` such as ``png``."""
    file = io.BytesIO()
    draw(solution, pairs, renderer=renderer).savefig(file, format=kind, dpi=120)
    return file.getvalue()


def _features(pairs: Pairs, values: np.ndarray, most: int = 32) -> list[str]:
    values = values.ravel()
    names = pairs.features or ()
    if len(names) != len(values):
        names = [f"s{i}" for i in range(len(values))]
    lines = [_line(*each) for each in zip(names, values, strict=True)]
    rest = len(lines) - most
    return lines if rest <= 0 else [*lines[:most], f"… and {rest} more"]


def _line(name: str, value: float) -> str:
    return f"{name:<20.20} {format_signed(value):>8}"


def _caption(pairs: Pairs, scene: Scene, scale: float) -> str:
    if scene.legend:
        return f"each cell in the color of its top channel, full at {scale:.2g}"
    known = pairs.observations is not None
    kind = "in the environment's units" if known else "as the policy sees them"
    played = (
        "; actions beyond ±1 are played as ±1" if "actions" in pairs.targets else ""
    )
    return f"states {kind}{played}"
