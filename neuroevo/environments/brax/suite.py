"""Environments of brax, by their registered names.

The options of an environment are read off its constructor. Nothing that brax and
MuJoCo say on import and construction reaches the terminal.
"""

import contextlib
import dataclasses
import functools
import inspect
import io
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import tyro

from neuroevo.environments.brax import bodies
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Spec
from neuroevo.types import Bodies, Environment

# Written down because importing brax takes seconds; a test compares them with brax's.
# swimmer is left out: brax 0.14.2 calls `jnp.clip(a_min=…)` for its fluid, which jax
# no longer accepts.
_NAMES = (
    "ant",
    "fast",
    "halfcheetah",
    "hopper",
    "humanoid",
    "humanoidstandup",
    "inverted_pendulum",
    "inverted_double_pendulum",
    "pusher",
    "reacher",
    "walker2d",
)
_LEFT_OUT = ("swimmer",)
_BACKENDS = ("positional", "spring", "generalized", "mjx")
_BACKENDS_OF = {"fast": ()}  # has no physics

_HELP = {
    "ctrl_cost_weight": "weight of the penalty on large actions",
    "forward_reward_weight": "weight of the forward velocity in the reward",
    "healthy_reward": "reward for each step in a healthy state",
    "terminate_when_unhealthy": "end the episode when the state is no longer healthy",
    "healthy_z_range": "heights of the torso that are healthy, in m",
    "healthy_angle_range": "angles of the torso that are healthy, in rad",
    "healthy_state_range": "values of the other state variables that are healthy",
    "reset_noise_scale": "scale of the random deviation of initial states",
    "exclude_current_positions_from_observation": "hide the horizontal position",
}


def names() -> list[str]:
    """Return the names on offer, those that a user registered with brax included."""
    brax_envs = sys.modules.get("brax.envs")
    registered = getattr(brax_envs, "_envs", _NAMES)
    return [name for name in registered if name not in _LEFT_OUT]


def backends(name: str) -> tuple[str, ...]:
    """Return the physics pipelines that an environment runs on, the default first."""
    return _BACKENDS_OF.get(name, _BACKENDS)


@functools.cache
def config(name: str) -> type:
    """Return the dataclass of options for the environment `name`.

    Its ``build()`` returns an `Environment`.
    """
    fields = [
        (
            "episode_length",
            Annotated[int, tyro.conf.arg(help="time limit in environment steps")],
            1000,
        ),
        (
            "action_repeat",
            Annotated[int, tyro.conf.arg(help="environment steps for each action")],
            1,
        ),
    ]
    if choices := backends(name):
        annotation = Annotated[
            Literal[choices], tyro.conf.arg(help="physics pipeline of brax")
        ]
        fields.insert(0, ("backend", annotation, choices[0]))
    constructor = _import_brax()._envs[name]
    for option in inspect.signature(constructor).parameters.values():
        if option.name == "backend":
            continue
        if isinstance(option.default, bool | int | float | str):
            annotation = type(option.default)
        elif isinstance(option.default, tuple):
            annotation = tuple[tuple(type(x) for x in option.default)]
        else:
            continue
        text = _HELP.get(option.name, f"see brax's {name}")
        annotation = Annotated[annotation, tyro.conf.arg(help=text)]
        fields.append((option.name, annotation, option.default))
    return dataclasses.make_dataclass(
        name,
        fields,
        namespace={
            "__doc__": f"{name} of brax.",
            "__module__": __name__,
            # Observations mix meters and radians with velocities ten times as large.
            "suggests": {"normalization": "running"},
            "slow": True,  # as physics engines are on a CPU
            "build": functools.partialmethod(_build, name),
            "features": property(functools.partial(bodies.features, name)),
            "actions": bodies.actions(name),
            "bodies": functools.partialmethod(_bodies, name) if choices else None,
        },
        frozen=True,
    )


def _build(options: Any, name: str) -> Environment:
    """Make the environment `name` with `options`, a `config` dataclass.

    Raises:
        UserError: if an option is out of range, or brax refuses it.
    """
    repeat, length = options.action_repeat, options.episode_length
    for option, value in (("episode_length", length), ("action_repeat", repeat)):
        if value < 1:
            raise UserError(f"env.{option} must be at least 1, not {value}")
    return wrap(_construct(options, name), length, repeat)


def _construct(options: Any, name: str) -> Any:
    """Return the ``brax.envs.Env`` that `options` describe."""
    given = dataclasses.asdict(options)
    del given["action_repeat"], given["episode_length"]
    constructor = _import_brax()._envs[name]
    try:
        with _quiet():
            return constructor(**given)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: {' '.join(str(error).split())}") from error


def _bodies(options: Any, name: str) -> Bodies:
    """Return the bodies of the environment `name`, for those who draw them."""
    return bodies.make_bodies(name, options, _construct(options, name))


def wrap(env: Any, episode_length: int = 1000, action_repeat: int = 1) -> Environment:
    """Return a brax environment as an `Environment`.

    Args:
        env: a ``brax.envs.Env``, without wrappers.
        episode_length: the time limit in environment steps, repeated ones included.
        action_repeat: environment steps for each action; their rewards are summed.
    """

    def reset(key):
        state = env.reset(key)
        return state, state.obs

    def step(key, state, action):
        del key  # brax is deterministic
        total, done = state.reward * 0, False
        for _ in range(action_repeat):
            state = env.step(state, action)
            total += jnp.where(done, 0, state.reward)
            done |= state.done > 0
        return state, state.obs, total, done

    with _quiet():
        # `env.observation_size` would run a reset, op by op, for up to 25 s.
        _, observation = jax.eval_shape(reset, jax.random.key(0))
    return Environment(
        spec=Spec(observation.shape, Box((env.action_size,))),
        reset=reset,
        step=step,
        max_steps=-(-episode_length // action_repeat),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep brax and MuJoCo from talking, and MuJoCo from writing MUJOCO_LOG.TXT."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(brax|mujoco|jaxopt)\b")
        import mujoco

        handler = mujoco.get_mju_user_warning()
        mujoco.set_mju_user_warning(lambda message: None)
        try:
            yield
        finally:
            mujoco.set_mju_user_warning(handler)


def _import_brax() -> ModuleType:
    """Import ``brax.envs`` without its prints."""
    with _quiet():
        import brax.envs

    return brax.envs
