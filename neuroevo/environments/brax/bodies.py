"""What observations of brax say of its robots: names, and how the bodies lie.

Most observations are generalized coordinates, less those that say where the robot is,
then their velocities.
"""

from typing import Any

import numpy as np

from neuroevo.types import Bodies

# The generalized coordinates that observations begin with, those in parentheses
# (where the robot is) only on request.
_COORDINATES = {
    "hopper": "(x) height pitch thigh leg foot",
    "walker2d": "(x) height pitch right-thigh right-leg right-foot left-thigh left-leg "
    "left-foot",
    "halfcheetah": "(x) z pitch back-thigh back-shin back-foot front-thigh front-shin "
    "front-foot",
    "inverted_pendulum": "position angle",
}
_FEATURES = {
    "ant": "(x) (y) height rotation-w rotation-x rotation-y rotation-z hip-1 ankle-1 "
    "hip-2 ankle-2 hip-3 ankle-3 hip-4 ankle-4 x-velocity y-velocity z-velocity "
    "x-rotation-velocity y-rotation-velocity z-rotation-velocity hip-1-velocity "
    "ankle-1-velocity hip-2-velocity ankle-2-velocity hip-3-velocity ankle-3-velocity "
    "hip-4-velocity ankle-4-velocity",
    "inverted_double_pendulum": "position sin-angle-1 sin-angle-2 cos-angle-1 "
    "cos-angle-2 velocity angular-velocity-1 angular-velocity-2",
    "reacher": "cos-angle-1 cos-angle-2 sin-angle-1 sin-angle-2 target-x target-y "
    "tip-velocity-x tip-velocity-y target-to-tip-x target-to-tip-y target-to-tip-z",
} | {
    name: " ".join([names, *(f"{n.strip('()')}-velocity" for n in names.split())])
    for name, names in _COORDINATES.items()
}
_ACTIONS = {
    "hopper": "thigh leg foot",
    "walker2d": "right-thigh right-leg right-foot left-thigh left-leg left-foot",
    "halfcheetah": "back-thigh back-shin back-foot front-thigh front-shin front-foot",
    "ant": "hip-4 ankle-4 hip-1 ankle-1 hip-2 ankle-2 hip-3 ankle-3",
    "inverted_pendulum": "force",
    "inverted_double_pendulum": "force",
    "reacher": "joint-1 joint-2",
}
# How many coordinates, the first ones, observations leave out unless asked for them.
_HIDDEN = {
    "hopper": 1,
    "walker2d": 1,
    "halfcheetah": 1,
    "ant": 2,
    "humanoid": 2,
    "humanoidstandup": 2,
    "inverted_pendulum": 0,
}
_HEIGHT = ("hopper", "walker2d")  # see the torso's height, not the coordinate


def features(name: str, options: Any) -> tuple[str, ...] | None:
    """Return what the numbers in an observation are called, if that is known."""
    names = _words(_FEATURES.get(name))
    if names is None or not _hides(options):
        return names and tuple(n.strip("()") for n in names)
    return tuple(n for n in names if not n.startswith("("))


def actions(name: str) -> tuple[str, ...] | None:
    """Return what the numbers in an action are called, if that is known."""
    return _words(_ACTIONS.get(name))


def make_bodies(name: str, options: Any, env: Any) -> Bodies:
    """Return the bodies of a brax environment.

    Args:
        name: as it is registered.
        options: what it was made with.
        env: the ``brax.envs.Env``.
    """
    model = env.sys.mj_model

    def tail(observation):
        hidden = _HIDDEN[name] if _hides(options) or name == "humanoidstandup" else 0
        q = np.zeros(model.nq)
        q[hidden:] = observation[: model.nq - hidden]
        if name in _HEIGHT:
            q[1] -= model.body_pos[1, 2]
        return q

    def double_pendulum(observation):
        position, *angles = observation[:5]
        return np.array([position, *np.arctan2(angles[:2], angles[2:])])

    def reacher(observation):
        angles = np.arctan2(observation[2:4], observation[:2])
        return np.concatenate([angles, observation[4:6]])

    special = {"inverted_double_pendulum": double_pendulum, "reacher": reacher}
    return Bodies(
        model=model,
        coordinates=lambda state: state.pipeline_state.q,
        pose=tail if name in _HIDDEN else special.get(name),
        seconds=float(env.dt),
    )


def _hides(options: Any) -> bool:
    return getattr(options, "exclude_current_positions_from_observation", True)


def _words(text: str | None) -> tuple[str, ...] | None:
    return text and tuple(word.replace("-", " ") for word in text.split())
