"""Draws a state of an environment with matplotlib.

It uses the first of these that is available: ``draw(axes, observation)`` of the
environment's options, a drawing from the table below, the environment's bodies, an
image with a color for each channel, or bars.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from neuroevo.config.schema import Config
from neuroevo.spaces import Spec
from neuroevo.traits import EnvironmentTraits, traits
from neuroevo.types import Picture
from neuroevo.views.body_painters import make_painter
from neuroevo.views.colors import color

Axes = Any  # matplotlib.axes.Axes

_CART, _POLE, _ARROW = color(0), color(1), color(2)
_BARS = 24  # more names of features do not fit
_SQUARE = (1.7, 1.7)  # inches of an image


class Scene(NamedTuple):
    """How an environment looks.

    Attributes:
        draw: takes axes, an observation in the environment's units and, optionally, the
            environment's state, which it draws if it can.
        legend: the meaning of the colors, as names and colors.
        text: whether numbers beside the drawing say more than it does.
        size: width and height of a small drawing, in inches.
        place: left, bottom, width and height of a large one, as shares of its figure.
    """

    draw: Callable[[Axes, np.ndarray, Any], None]
    legend: Sequence[tuple[str, str]] = ()
    text: bool = True
    size: tuple[float, float] = (2.7, 1.6)
    place: tuple[float, float, float, float] = (0.02, 0.02, 0.96, 0.86)


def make_scene(
    config: Config,
    spec: Spec,
    *,
    states: bool,
    units: bool = True,
    scale: float = 0,
    renderer: str = "outlines",
    pictures: bool = False,
) -> Scene:
    """Return how the environment of `config` looks.

    Args:
        config: the configuration of a run or a genome.
        spec: the spec of the environment.
        states: whether there are states to draw, or only observations.
        units: whether observations are in the environment's units; otherwise they are
            drawn as an image or bars.
        scale: the largest magnitude, for an image's full color or the longest bar.
        renderer: the renderer of bodies, one of `names.RENDERERS`.
        pictures: whether the states are pictures that the environment has made.
    """
    if pictures:
        return Scene(lambda axes, observation, state: _draw_picture(axes, state))
    options = config.parts["env"]
    name = config.names["env"].rpartition(":")[2]
    own = traits(EnvironmentTraits, options)
    draw = own.draw or _DRAWINGS.get(name)
    is_image = len(spec.observation) in (2, 3)
    if draw is not None and units:
        scene = Scene(functools.partial(_draw_still, draw))
        return scene._replace(text=False, size=_SQUARE) if is_image else scene
    if own.bodies is not None and units:
        found = own.bodies()
        if states or found.pose is not None:
            return Scene(_draw_bodies(found, renderer))
    if is_image:
        return _image(spec.observation, own.features, scale or 1)
    size = (2.7, 0.4 + 0.12 * min(math.prod(spec.observation), _BARS))
    place = (0.25, 0.08, 0.7, 0.8)
    return Scene(
        _draw_bars(own.features, scale or 1), text=False, size=size, place=place
    )


# Classic control, as in gymnax, with the pictures of Gym. Drawings return arrows,
# (start, by), that show where a thing will be a moment later.

_Arrows = Sequence[tuple[Any, Any]]


def _draw_still(draw: Callable, axes: Axes, observation: np.ndarray, state: Any):
    """Draw an observation, with arrows unless it is a frame of a video."""
    arrows = draw(axes, observation)
    if state is not None or arrows is None:
        return
    style = {"arrowstyle": "-|>", "color": _ARROW, "linewidth": 2}
    for start, by in arrows:
        if np.linalg.norm(by) > 0.02:
            end = np.asarray(start) + by
            axes.annotate("", end, start, arrowprops=style, annotation_clip=False)


def _draw_cart_pole(axes: Axes, observation: np.ndarray) -> _Arrows:
    from matplotlib.patches import Rectangle

    x, velocity, angle, spin = map(float, observation)
    up = np.array([np.sin(angle), np.cos(angle)])
    tip = np.array([x, 0.2]) + up
    across = np.array([up[1], -up[0]])
    axes.axhline(0, color="gray", linewidth=1)
    for limit in (-2.4, 2.4):
        axes.axvline(limit, color="lightgray", linestyle="--", linewidth=1)
    axes.add_patch(Rectangle((x - 0.3, -0.15), 0.6, 0.35, color=_CART, zorder=2))
    axes.plot([x, tip[0]], [0.2, tip[1]], color=_POLE, linewidth=4)
    _frame(axes, (min(-2.6, x - 1.1), max(2.6, x + 1.1)), (-1, 1.4))
    side = (x + np.copysign(0.3, velocity), 0)
    return (side, (velocity / 4, 0)), (tip, spin / 4 * across)


def _draw_mountain_car(axes: Axes, observation: np.ndarray) -> _Arrows:
    x, velocity = map(float, observation)
    road = np.linspace(min(-1.2, x), max(0.6, x), 100)

    def height(x):
        return 0.45 * np.sin(3 * x) + 0.55

    axes.plot(road, height(road), color="gray", linewidth=1.5)
    axes.plot([0.5, 0.5], [height(0.5), height(0.5) + 0.2], color=_POLE, linewidth=2)
    slope = np.array([1, 1.35 * np.cos(3 * x)])
    car = (x, height(x) + 0.03)
    axes.plot(*car, "o", color=_CART, markersize=9)
    _frame(axes, (road[0] - 0.1, road[-1] + 0.1), (0, 1.35))
    return ((car, 5 * velocity * slope / np.linalg.norm(slope)),)


def _draw_pendulum(axes: Axes, observation: np.ndarray) -> _Arrows:
    cos, sin, spin = map(float, observation)
    angle = np.arctan2(sin, cos)
    tip = np.array([-np.sin(angle), np.cos(angle)])  # anticlockwise from upright
    axes.plot([0, tip[0]], [0, tip[1]], color=_POLE, linewidth=6)
    axes.plot(0, 0, "o", color="black", markersize=5)
    _frame(axes, (-1.5, 1.5), (-1.3, 1.3))
    return ((tip, spin / 10 * np.array([-tip[1], tip[0]])),)


def _draw_acrobot(axes: Axes, observation: np.ndarray) -> _Arrows:
    cos_1, sin_1, cos_2, sin_2, *spins = map(float, observation)
    first = np.arctan2(sin_1, cos_1)
    angles = np.array([first, first + np.arctan2(sin_2, cos_2)])
    links = np.stack([np.sin(angles), -np.cos(angles)], 1)
    joints = np.concatenate([np.zeros((1, 2)), np.cumsum(links, 0)])
    axes.axhline(1, color="lightgray", linestyle="--", linewidth=1)
    axes.plot(*joints[:2].T, color=_CART, linewidth=5)
    axes.plot(*joints[1:].T, color=_POLE, linewidth=5)
    axes.plot(*joints[:2].T, "o", color="black", markersize=4)
    _frame(axes, (-2.6, 2.6), (-2.3, 2.3))
    across = np.stack([-links[:, 1], links[:, 0]], 1)
    return list(zip(joints[1:], np.cumsum(spins)[:, None] / 10 * across, strict=True))


_DRAWINGS: dict[str, Callable[[Axes, np.ndarray], _Arrows]] = {
    "CartPole-v1": _draw_cart_pole,
    "MountainCar-v0": _draw_mountain_car,
    "MountainCarContinuous-v0": _draw_mountain_car,
    "Pendulum-v1": _draw_pendulum,
    "Acrobot-v1": _draw_acrobot,
}


# What fits many environments


def _draw_picture(axes: Axes, state: Picture) -> None:
    axes.imshow(state.pixels, interpolation="antialiased")
    axes.set_axis_off()


def _draw_bodies(found: Any, renderer: str) -> Callable[[Axes, np.ndarray, Any], None]:
    draw = make_painter(found, renderer)

    def draw_either(axes, observation, state):
        if state is None:
            draw(axes, found.pose(observation))
        else:
            draw(axes, np.asarray(found.coordinates(state)))

    return draw_either


def _image(shape: Sequence[int], channels: Sequence[str] | None, scale: float) -> Scene:
    """Return the scene of a grid whose cells have the color of their top channel."""
    from matplotlib.colors import to_rgb

    count = shape[2] if len(shape) == 3 else 1
    names = channels or [f"channel {i}" for i in range(count)]
    palette = np.array([to_rgb(color(i)) for i in range(count)])

    def draw(axes, observation, state):
        values = np.asarray(observation, float).reshape(*shape[:2], count)
        top = count - 1 - values[..., ::-1].argmax(-1)  # of equals, the last
        share = np.clip(values.max(-1, keepdims=True) / scale, 0, 1)
        axes.imshow(1 - share * (1 - palette[top]), interpolation="nearest")
        axes.set_xticks(np.arange(-0.5, shape[1]), [])
        axes.set_yticks(np.arange(-0.5, shape[0]), [])
        axes.grid(color="gainsboro", linewidth=0.5)
        axes.tick_params(length=0)

    scene = Scene(draw, text=False, size=_SQUARE)
    if count == 1:
        return scene
    legend = [(name, color(i)) for i, name in enumerate(names)]
    return scene._replace(legend=legend, place=(0.02, 0.02, 0.7, 0.86))


def _draw_bars(
    names: Sequence[str] | None, scale: float
) -> Callable[[Axes, np.ndarray, Any], None]:
    def draw(axes, observation, state):
        values = np.asarray(observation, float).ravel()
        rows = np.arange(len(values))
        axes.barh(rows, values, color=[_POLE if v < 0 else _CART for v in values])
        axes.axvline(0, color="gray", linewidth=0.5)
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.set_xlim(-scale, scale)
        known = names is not None and len(names) == len(values)
        labels = list(names or ()) if known else [str(i) for i in rows]
        every = -(-len(rows) // _BARS)
        axes.locator_params("x", nbins=4)
        axes.set_yticks(rows[::every], labels[::every], fontsize=6)
        axes.tick_params(labelsize=6)

    return draw


def _frame(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    axes.set_xlim(*x)
    axes.set_ylim(*y)
    axes.set_aspect("equal", anchor="N")
    axes.set_axis_off()
