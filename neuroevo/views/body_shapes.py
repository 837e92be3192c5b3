"""The shapes of rigid bodies in a MuJoCo model, and where they are in a pose."""

from typing import Any, NamedTuple

import numpy as np

from neuroevo.views.colors import color

_ROUND = 128  # points on a round surface
_PLAIN = (0.4, 0.33, 0.26)  # brax's default color


class Shape(NamedTuple):
    """A convex body: points on its surface, and the triangles between them."""

    points: np.ndarray  # (P, 3) in m, in the frame of the body's geom
    triangles: np.ndarray  # (T, 3) int
    color: Any  # of matplotlib's kinds
    geom: int  # of the model


def shapes(model: Any) -> list[Shape]:
    """Return the shapes of a ``mujoco.MjModel``, the ground left out."""
    from scipy.spatial import ConvexHull

    found = []
    for geom in range(model.ngeom):
        points = _surface(model, geom)
        *own, opacity = model.geom_rgba[geom]
        if points is not None and opacity > 0:
            body = model.geom_bodyid[geom]
            plain = np.allclose(own, _PLAIN, atol=0.01) and body > 0
            shown = color(body - 1) if plain else tuple(own)
            found.append(Shape(points, ConvexHull(points).simplices, shown, geom))
    return found


def place(model: Any, coordinates: np.ndarray) -> Any:
    """Return the ``mujoco.MjData`` of a pose; free joints' rotations need no norm."""
    import mujoco

    data = mujoco.MjData(model)
    data.qpos[:] = coordinates
    mujoco.mj_normalizeQuat(model, data.qpos)
    mujoco.mj_forward(model, data)
    return data


def locate(shape: Shape, data: Any) -> np.ndarray:
    """Return the points (P, 3) of a shape in a pose, in the world's frame."""
    rotation = data.geom_xmat[shape.geom].reshape(3, 3)
    return shape.points @ rotation.T + data.geom_xpos[shape.geom]


def view(model: Any) -> tuple[float, float]:
    """Return the direction of view, as azimuth and elevation in degrees.

    It is the common axis of all hinges, or else obliquely from above.
    """
    import mujoco

    hinges = model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE
    free = (model.jnt_type == mujoco.mjtJoint.mjJNT_FREE).any()
    across = np.abs(model.jnt_axis[hinges]).min(axis=0, initial=1)
    if not free and across[1] > 0.9:
        return 90.0, 0.0
    if not free and across[2] > 0.9:
        return 90.0, -90.0
    return 120.0, -20.0


def window(model: Any) -> tuple[float, float]:
    """Return the height to look at and the radius to see, in m, at rest."""
    data = place(model, model.qpos0)
    moving = [shape for shape in shapes(model) if model.geom_bodyid[shape.geom] > 0]
    points = np.concatenate([locate(shape, data) for shape in moving])
    middle = (points.min(0) + points.max(0)) / 2
    return middle[2], 1.5 * np.linalg.norm(points - middle, axis=1).max()


def _surface(model: Any, geom: int) -> np.ndarray | None:
    """Return points on the surface of a geom, or None if it is infinite."""
    from mujoco import mjtGeom

    kind, (a, b, c) = model.geom_type[geom], model.geom_size[geom]
    i = np.arange(_ROUND) + 0.5  # a Fibonacci sphere
    height, turn = 1 - 2 * i / _ROUND, np.pi * (1 + 5**0.5) * i
    ring = np.sqrt(1 - height**2)
    ball = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], 1)
    if kind == mjtGeom.mjGEOM_SPHERE:
        return a * ball
    if kind == mjtGeom.mjGEOM_ELLIPSOID:
        return ball * (a, b, c)
    if kind == mjtGeom.mjGEOM_CAPSULE:
        return a * ball + np.where(ball[:, 2:] > 0, b, -b) * (0, 0, 1)
    if kind == mjtGeom.mjGEOM_CYLINDER:
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        circle = np.stack([a * np.cos(turn), a * np.sin(turn), 0 * turn], 1)
        return np.concatenate([circle + (0, 0, b), circle - (0, 0, b)])
    if kind == mjtGeom.mjGEOM_BOX:
        return np.array(np.meshgrid([-a, a], [-b, b], [-c, c])).reshape(3, -1).T
    if kind == mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first = model.mesh_vertadr[mesh]
        return model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
    return None
