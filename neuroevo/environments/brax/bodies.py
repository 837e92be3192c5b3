"""What observations of brax show: the names of features, and the poses of bodies."""

from typing import Any

import numpy as np

from neuroevo.environments.brax import tables
from neuroevo.environments.wrappers import bare
from neuroevo.traits import Bodies


def features(name: str, options: Any) -> tuple[str, ...] | None:
    """Return the names of the numbers in an observation, or None if unknown."""
    names = _words(tables.FEATURES.get(name))
    if names is None or not _hides(options):
        return names and tuple(n.strip("()") for n in names)
    return tuple(n for n in names if not n.startswith("("))


def actions(name: str) -> tuple[str, ...] | None:
    """Return the names of the numbers in an action, or None if unknown."""
    return _words(tables.ACTIONS.get(name))


def make_bodies(name: str, options: Any, env: Any) -> Bodies:
    """Return the bodies of a brax environment.

    Args:
        name: its registered name.
        options: the options that it was made with.
        env: the ``brax.envs.Env``.
    """
    model = env.sys.mj_model

    def tail(observation):
        keeps = not _hides(options) and name != "humanoidstandup"
        hidden = 0 if keeps else tables.HIDDEN[name]
        q = np.zeros(model.nq)
        q[hidden:] = observation[: model.nq - hidden]
        if name in tables.HEIGHT:
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
        coordinates=lambda state: bare(state).pipeline_state.q,
        pose=tail if name in tables.HIDDEN else special.get(name),
        seconds=float(env.dt),
    )


def _hides(options: Any) -> bool:
    return vars(options).get("exclude_current_positions_from_observation", True)


def _words(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(word.replace("-", " ") for word in text.split())
