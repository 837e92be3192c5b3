"""Environments of gymnax, by their registered ids.

The options of an environment are read off gymnax: the scalar arguments of its
constructor and the scalar fields of its ``EnvParams``. What its features and actions
are called is not to be found there, and written down here.
"""

import dataclasses
import functools
import inspect
import sys
from types import ModuleType
from typing import Annotated, Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.types import Environment

# Written down because importing gymnax takes two seconds; a test compares them with
# gymnax's own. MNISTBandit-bsuite is left out: it downloads its images.
_NAMES = (
    "CartPole-v1",
    "Pendulum-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Asterix-MinAtar",
    "Breakout-MinAtar",
    "Freeway-MinAtar",
    "Seaquest-MinAtar",
    "SpaceInvaders-MinAtar",
    "Catch-bsuite",
    "DeepSea-bsuite",
    "MemoryChain-bsuite",
    "UmbrellaChain-bsuite",
    "DiscountingChain-bsuite",
    "SimpleBandit-bsuite",
    "FourRooms-misc",
    "MetaMaze-misc",
    "PointRobot-misc",
    "BernoulliBandit-misc",
    "GaussianBandit-misc",
    "Reacher-misc",
    "Swimmer-misc",
    "Pong-misc",
    "FrozenLake-misc",
)
_LEFT_OUT = ("MNISTBandit-bsuite",)

# Parameters that gymnax derives from others, recomputed by `build`.
_DERIVED = {
    "CartPole-v1": {
        "total_mass": lambda p: p.masspole + p.masscart,
        "polemass_length": lambda p: p.masspole * p.length,
    }
}
# The time limit follows from a constructor argument, unless one is asked for.
_OWN_LIMIT = ("DeepSea-bsuite", "FrozenLake-misc")

# What observations (along their last axis) and actions are called.
_FEATURES = {
    "CartPole-v1": ("position", "velocity", "angle", "angular velocity"),
    "Pendulum-v1": ("cos angle", "sin angle", "angular velocity"),
    "Acrobot-v1": (
        "cos angle 1",
        "sin angle 1",
        "cos angle 2",
        "sin angle 2",
        "angular velocity 1",
        "angular velocity 2",
    ),
    "MountainCar-v0": ("position", "velocity"),
    "MountainCarContinuous-v0": ("position", "velocity"),
    "Asterix-MinAtar": ("player", "enemy", "trail", "gold"),
    "Breakout-MinAtar": ("paddle", "ball", "trail", "brick"),
    "Freeway-MinAtar": ("chicken", "car", *(f"speed {i}" for i in range(1, 6))),
    "Seaquest-MinAtar": (
        "submarine",
        "its back",
        "own bullet",
        "trail",
        "enemy bullet",
        "enemy fish",
        "enemy submarine",
        "oxygen",
        "divers aboard",
        "diver",
    ),
    "SpaceInvaders-MinAtar": (
        "cannon",
        "alien",
        "aliens move left",
        "aliens move right",
        "own bullet",
        "enemy bullet",
    ),
}
_MINATAR_ACTIONS = ("stay", "left", "up", "right", "down", "fire")
_ACTIONS = {
    "CartPole-v1": ("left", "right"),
    "Pendulum-v1": ("torque",),
    "Acrobot-v1": ("torque -1", "no torque", "torque +1"),
    "MountainCar-v0": ("left", "none", "right"),
    "MountainCarContinuous-v0": ("force",),
    "Asterix-MinAtar": _MINATAR_ACTIONS[:5],
    "Breakout-MinAtar": ("stay", "left", "right"),
    "Freeway-MinAtar": ("stay", "up", "down"),
    "Seaquest-MinAtar": _MINATAR_ACTIONS,
    "SpaceInvaders-MinAtar": ("stay", "left", "right", "fire"),
}

_HELP = {
    "max_steps_in_episode": "time limit in steps",
    "use_minimal_action_set": "offer only the actions that have an effect",
    "ramping": "grow harder with time",
    "dt": "time step in seconds",
    "tau": "time step in seconds",
    "gravity": "acceleration in m/s^2",
    "fail_prob": "probability that an action is replaced by another one",
    "is_slippery": "moves may go astray",
    "success_rate": "probability that a move goes where it should, if slippery",
    "dense_reward": "reward closeness at every step instead of success only",
    "size": "side of the square grid",
    "num_bits": "length of the memorized context in bits",
    "n_distractor": "number of irrelevant observation dimensions",
}


def names() -> list[str]:
    """Return the ids on offer, those that a user registered with gymnax included."""
    gymnax = sys.modules.get("gymnax")
    registered = getattr(gymnax, "registered_envs", _NAMES)
    return [name for name in registered if name not in _LEFT_OUT]


@functools.cache
def config(name: str) -> type:
    """Return the dataclass of options for the environment `name`.

    Its ``build()`` returns an `Environment`. No jax backend is started.
    """
    factory, params_type = _lookup(name)
    options = {
        parameter.name: parameter.default
        for parameter in inspect.signature(factory).parameters.values()
    }
    arguments = frozenset(options)
    options |= {
        field.name: field.default
        for field in dataclasses.fields(params_type)
        if field.name not in _DERIVED.get(name, ())
    }
    fields = []
    for option, default in options.items():
        if option == "max_steps_in_episode":
            annotation = int
            default = int(default)
            if name in _OWN_LIMIT:
                annotation, default = int | None, None
        elif isinstance(default, bool | int | float | str):
            annotation = type(default)
        else:
            continue  # arrays and nested settings
        text = _HELP.get(option, f"see gymnax's {name}")
        annotation = Annotated[annotation, tyro.conf.arg(help=text)]
        fields.append((option, annotation, default))
    return dataclasses.make_dataclass(
        name.translate(str.maketrans("-", "_")),
        fields,
        namespace={
            "__doc__": f"{name} of gymnax.",
            "__module__": __name__,
            "suggests": {},
            "build": functools.partialmethod(_build, name, arguments),
            "features": _FEATURES.get(name),
            "actions": property(functools.partial(_name_actions, name=name)),
        },
        frozen=True,
    )


def _build(options: Any, name: str, arguments: frozenset[str]) -> Environment:
    """Make the environment `name` with `options`, a `config` dataclass.

    Raises:
        UserError: if gymnax refuses an option.
    """
    given = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if getattr(options, field.name) is not None
    }
    limit = given.get("max_steps_in_episode", 1)
    if limit < 1:
        raise UserError(f"env.max_steps_in_episode must be at least 1, not {limit}")
    factory, _ = _lookup(name)
    try:
        env = factory(**{k: v for k, v in given.items() if k in arguments})
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: {' '.join(str(error).split())}") from error
    params = env.default_params
    # BernoulliBandit's time limit is a float, and it must stay one.
    params = params.replace(
        **{
            k: type(getattr(params, k))(v)
            for k, v in given.items()
            if k not in arguments
        }
    )
    params = params.replace(
        **{k: derive(params) for k, derive in _DERIVED.get(name, {}).items()}
    )
    return wrap(env, params)


def _name_actions(options: Any, name: str) -> tuple[str, ...] | None:
    """Return what the actions of an environment are called, if that is known."""
    minimal = getattr(options, "use_minimal_action_set", True)
    return _ACTIONS.get(name) if minimal else _MINATAR_ACTIONS


def wrap(env: Any, params: Any) -> Environment:
    """Return a gymnax environment as an `Environment`.

    Observations become float32, discrete ones one-hot. Box actions are mapped
    affinely from ``[-1, 1]`` to the bounds of the action space.

    Args:
        env: a ``gymnax.environments.environment.Environment``.
        params: its ``EnvParams``.
    """
    from gymnax.environments import spaces

    seen = env.observation_space(params)
    is_discrete = isinstance(seen, spaces.Discrete)
    space = env.action_space(params)

    def observe(observation):
        if is_discrete:
            return jax.nn.one_hot(observation, seen.n)
        return jnp.asarray(observation, jnp.float32)

    def reset(key):
        observation, state = env.reset_env(key, params)
        return state, observe(observation)

    if isinstance(space, spaces.Discrete):
        action_spec = Discrete(space.n)

        def rescale(action):
            return action

    else:
        action_spec = Box(tuple(space.shape))
        low, high = (np.asarray(bound, np.float32) for bound in (space.low, space.high))

        def rescale(action):
            return low + (action + 1) * ((high - low) / 2)

    def step(key, state, action):
        observation, state, reward, terminated, _ = env.step_env(
            key, state, rescale(action), params
        )
        done = terminated | env.is_truncated(state, params)
        return state, observe(observation), jnp.asarray(reward, jnp.float32), done

    _, observation = jax.eval_shape(reset, jax.random.key(0))
    return Environment(
        spec=Spec(observation.shape, action_spec),
        reset=reset,
        step=step,
        max_steps=int(params.max_steps_in_episode),
    )


def _lookup(name: str) -> tuple[Any, type]:
    """Return the constructor of an environment and its ``EnvParams``."""
    factory = _import_gymnax().registration._registry[name]
    return factory, sys.modules[factory.__module__].EnvParams


class _Array(np.ndarray):
    """A constant that jax can index with traced integers."""

    def __getitem__(self, index):
        return jnp.asarray(np.asarray(self))[index]


def _import_gymnax() -> ModuleType:
    """Import gymnax without starting a jax backend.

    gymnax 1.0.1 makes one array while it is imported (the directions of FrozenLake).
    That would start jax's backend as soon as an environment's options are looked up,
    and settle the number of CPU devices before the options are known.
    """
    if "gymnax" not in sys.modules:
        constant = lambda *args: np.array(*args).view(_Array)  # noqa: E731
        with mock.patch.object(jnp, "array", constant):
            import gymnax
    import gymnax

    return gymnax
