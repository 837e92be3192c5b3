"""Rigid bodies, drawn as outlines by matplotlib or rendered by MuJoCo.

Outlines look the same on every machine and need nothing else. MuJoCo needs OpenGL
without a window, which EGL and OSMesa provide.
"""

import functools
import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from neuroevo.errors import UserError, unknown
from neuroevo.traits import Bodies
from neuroevo.views.body_shapes import locate, place, shapes, view, window
from neuroevo.views.names import RENDERERS

_SIZE = (480, 320)  # pixels, of MuJoCo's pictures


def make_painter(found: Bodies, renderer: str) -> Callable[[Any, np.ndarray], None]:
    """Return ``draw(axes, coordinates)``, which draws the bodies in a pose.

    Raises:
        UserError: if there is no such renderer, or if MuJoCo's finds no OpenGL.
    """
    if renderer not in RENDERERS:
        raise unknown("renderer", renderer, RENDERERS)
    makers = {"outlines": _make_outlines, "mujoco": _make_rendered}
    draw = makers[renderer](found.model)

    def draw_pose(axes, coordinates):
        draw(axes, place(found.model, coordinates))
        axes.set_xticks([])
        axes.set_yticks([])

    return draw_pose


def _center(data: Any, height: float, reach: float) -> np.ndarray:
    """Return the point to look at: the robot, at a fixed height if that shows it."""
    x, y, z = data.subtree_com[0]
    return np.array([x, y, np.clip(height, z - reach / 4, z + reach / 4)])


# Outlines


def _make_outlines(model: Any) -> Callable[[Any, Any], None]:
    """Return a drawing of the shapes, from the back to the front."""
    found, (height, reach) = shapes(model), window(model)
    azimuth, elevation = np.deg2rad(view(model))
    # Rows: to the right, upwards and away from the eye.
    away = np.array([np.cos(azimuth), np.sin(azimuth), 0]) * np.cos(elevation)
    away[2] = np.sin(elevation)
    right = np.array([np.sin(azimuth), -np.cos(azimuth), 0])
    project = np.stack([right, np.cross(right, away), away])

    def draw(axes, data):
        from matplotlib.patches import Polygon
        from scipy.spatial import ConvexHull

        center = _center(data, height, reach)
        _draw_ground(axes, project, model, center, 2 * reach)
        flat = [locate(shape, data) @ project.T for shape in found]
        for i in sorted(range(len(flat)), key=lambda i: -flat[i][:, 2].mean()):
            outline = flat[i][ConvexHull(flat[i][:, :2]).vertices, :2]
            patch = Polygon(
                outline, facecolor=found[i].color, edgecolor="black", linewidth=0.6
            )
            axes.add_patch(patch)
        center = project @ center
        axes.set_xlim(center[0] - 1.5 * reach, center[0] + 1.5 * reach)
        axes.set_ylim(center[1] - reach, center[1] + reach)
        axes.set_aspect("equal")

    return draw


def _draw_ground(
    axes: Any, project: np.ndarray, model: Any, center: np.ndarray, reach: float
) -> None:
    """Draw a grid of meters on the ground, which shows that a robot moves."""
    import mujoco

    grounds = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
    if not grounds.size:
        return
    level = model.geom_pos[grounds[0], 2]
    low = np.floor(center[:2] - reach).astype(int)
    high = np.ceil(center[:2] + reach).astype(int)
    for along in (0, 1):
        for at in range(low[1 - along], high[1 - along] + 1):
            ends = np.full((2, 3), level)
            ends[:, along] = low[along], high[along]
            ends[:, 1 - along] = at
            axes.plot(
                *(ends @ project.T)[:, :2].T, color="lightgray", linewidth=0.8, zorder=0
            )
    if abs(project[1, 2]) > 0.99:  # from the side it is a line: mark the meters
        marks = np.arange(low[0], high[0] + 1)
        axes.plot(
            marks, np.full(len(marks), level), "|", color="gray", markersize=8, zorder=0
        )


# MuJoCo


@functools.cache  # a second context disturbs the first
def _open_gl() -> Any:
    """Return an OpenGL context without a window.

    ``mujoco.Renderer`` would settle on a backend when mujoco is imported, which brax
    does, and fail without a screen.
    """
    for backend in ("egl", "osmesa"):
        try:
            context = importlib.import_module(f"mujoco.{backend}").GLContext(*_SIZE)
            context.make_current()
        except Exception:  # a missing library or driver shows in many ways
            os.environ.pop("PYOPENGL_PLATFORM", None)  # what the failed one set
            continue
        return context
    raise UserError(
        "MuJoCo's renderer needs OpenGL without a window, but found neither EGL nor "
        "OSMesa: install one (libegl1 or libosmesa6), or use --renderer outlines"
    )


def _make_rendered(model: Any) -> Callable[[Any, Any], None]:
    import mujoco

    gl, (width, height), (middle, reach) = _open_gl(), _SIZE, window(model)
    model.vis.global_.offwidth, model.vis.global_.offheight = _SIZE
    context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    scene, option = mujoco.MjvScene(model, 1000), mujoco.MjvOption()
    camera = mujoco.MjvCamera()
    camera.azimuth, elevation = view(model)
    camera.elevation = min(elevation, -8)  # some of the floor shows that it moves
    camera.distance = reach / np.tan(np.deg2rad(model.vis.global_.fovy) / 2)
    area = mujoco.MjrRect(0, 0, width, height)
    image = np.empty((height, width, 3), np.uint8)

    def draw(axes, data):
        camera.lookat = _center(data, middle, reach)
        gl.make_current()
        mujoco.mjv_updateScene(
            model, data, option, None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene
        )
        mujoco.mjr_render(area, scene, context)
        mujoco.mjr_readPixels(image, None, area, context)
        axes.imshow(image[::-1])

    return draw
