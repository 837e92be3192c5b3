"""What describes an episode of brax: where a robot gets, and on which feet it goes."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from neuroevo.environments.descriptors import Measure, Measures
from neuroevo.environments.wrappers import bare
from neuroevo.types import Array, EnvState

_NEAR = 0.01  # m above the ground: less is contact
_SPHERE, _CAPSULE = 2, 3  # MuJoCo's types of geometries


def measures(env: Any) -> Measures:
    """Return the measures of a ``brax.envs.Env``.

    They are the position of its first body in m (``x``, ``y``), and for each of its
    feet, which are those geometries that are called so, the share of the steps after
    which it touches the ground.
    """
    model = env.sys.mj_model
    found = {"x": _position(0), "y": _position(1)}
    for i in range(model.ngeom):
        name = model.geom(i).name
        if "foot" in name and model.geom_type[i] in (_SPHERE, _CAPSULE):
            foot = name.removesuffix("_geom").replace("_", "-")
            found[f"{foot}-contact"] = Measure(_touches(model, i), 0, 1, mean=True)
    return found


def _position(axis: int) -> Measure:
    return Measure(lambda state, seen: bare(state).pipeline_state.x.pos[0, axis])


def _touches(model: Any, geom: int) -> Callable[[EnvState, Array], Array]:
    """Return what tells whether a geometry touches the ground, at height 0."""
    from brax import math

    link, radius = int(model.geom_bodyid[geom]) - 1, float(model.geom_size[geom, 0])
    is_capsule = model.geom_type[geom] == _CAPSULE
    half = float(model.geom_size[geom, 1]) if is_capsule else 0.0
    center = np.asarray(model.geom_pos[geom], np.float32)
    turn = np.asarray(model.geom_quat[geom], np.float32)

    def touches(state: EnvState, observation: Array) -> Array:
        x = bare(state).pipeline_state.x
        height = (x.pos[link] + math.rotate(center, x.rot[link]))[2]
        axis = math.rotate(jnp.array([0.0, 0.0, 1.0]), math.quat_mul(x.rot[link], turn))
        return height - jnp.abs(axis[2]) * half - radius < _NEAR

    return touches
