"""Environments of brax, by their registered names.

The options of brax's own environments are in `tables`; those of environments that a
user registered are the arguments of their constructors. Output that brax and MuJoCo
print on import and construction does not reach the terminal.
"""

import functools
import inspect
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

from neuroevo.environments import observations, physics, wrappers
from neuroevo.environments.brax import bodies, measures, registered, tables
from neuroevo.environments.descriptors import Measures
from neuroevo.environments.options import Option, make_options, option_of
from neuroevo.environments.problems import making
from neuroevo.environments.quiet import quiet
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Spec
from neuroevo.traits import Bodies
from neuroevo.types import Environment

# Observations mix meters and radians with velocities ten times as large.
_SUGGESTS = {"normalization": "running"}


def names() -> list[str]:
    """Return the available names, including those that a user registered with brax."""
    known = registered.constructors() or tables.OPTIONS
    return [name for name in known if name not in tables.LEFT_OUT]


@functools.cache
def config(name: str) -> type:
    """Return the dataclass of options for the environment `name`.

    Its ``build()`` returns an `Environment`. For brax's own environments, brax is not
    imported.
    """
    own = tables.OPTIONS.get(name)
    options = tables.common_options(name) | (_read(name) if own is None else own)
    namespace = {
        "__doc__": tables.ABOUT.get(name, f"{name}, registered with brax."),
        "__module__": __name__ if own is not None else _module_of(name),
        "suggests": _SUGGESTS,
        "slow": True,  # a physics engine is slow on a CPU
        "build": wrappers.wrapped(lambda options: _build(options, name)),
        "features": property(functools.partial(bodies.features, name)),
        "actions": bodies.actions(name),
    }
    if tables.backends(name):
        namespace["bodies"] = functools.partialmethod(_bodies, name)
        namespace["measures"] = functools.partialmethod(_measures, name)
        options |= physics.OPTION
    return make_options(name, {**options, **wrappers.OPTIONS}, namespace)


def adapt(value: Any) -> SimpleNamespace | None:
    """Return options that build the brax environment `value`, if it is one.

    Raises:
        UserError: if it has wrappers.
    """
    envs = sys.modules.get("brax.envs")  # who has an environment has imported it
    if envs is None or not isinstance(value, envs.Env):
        return None
    name = type(value.unwrapped).__name__
    if isinstance(value, envs.Wrapper):
        raise UserError(
            f"environment {name}: it has wrappers ({type(value).__name__}), which "
            "brax.envs.create adds; expected one without wrappers, as from "
            "brax.envs.get_environment"
        )
    return SimpleNamespace(
        name=name, suggests=_SUGGESTS, slow=True, build=lambda: wrap(value)
    )


def wrap(
    env: Any,
    episode_length: int = 1000,
    action_repeat: int = 1,
    randomize: Sequence[str] = (),
) -> Environment:
    """Return a brax environment as an `Environment`.

    Args:
        env: a ``brax.envs.Env``, without wrappers.
        episode_length: the time limit in environment steps, including repeated ones.
        action_repeat: environment steps per action; their rewards are summed.
        randomize: factors that each episode draws anew, as NAME:LOW:HIGH; see
            `neuroevo.environments.physics`.

    Raises:
        UserError: if `randomize` is wrong.

    Example:
        >>> config("fast")(episode_length=10, action_repeat=2).build().max_steps
        5
    """
    # Physics takes seconds to trace, more under every `vmap`. Inlined, it makes the
    # same programs, but is traced once for all of them.
    once = functools.partial(jax.jit, inline=True)
    observe = functools.partial(observations.flatten, name=type(env).__name__)

    def reset(key):
        state = env.reset(key)
        return state, observe(state.obs)

    def step(key, state, action):
        del key  # brax is deterministic
        total, done = state.reward * 0, False
        for _ in range(action_repeat):
            state = env.step(state, action)
            total += jnp.where(done, 0, state.reward)
            done |= state.done > 0
        return state, observe(state.obs), total, done

    if randomize:
        reset, step = physics.randomized(env, "sys", randomize, reset, step)
    reset, step = once(reset), once(step)
    with quiet():
        # `env.observation_size` would run a reset, op by op, for up to 25 s.
        _, observation = jax.eval_shape(reset, jax.random.key(0))
    return Environment(
        spec=Spec(observation.shape, Box((env.action_size,))),
        reset=physics.in_one_batch(reset),
        step=physics.in_one_batch(step),
        max_steps=-(-episode_length // action_repeat),
    )


def _build(options: Any, name: str) -> Environment:
    """Make the environment `name` with `options`, a `config` dataclass."""
    env = _construct(options, name)
    randomize = vars(options).get("randomize", ())
    return wrap(env, options.episode_length, options.action_repeat, randomize)


def _bodies(options: Any, name: str) -> Bodies:
    """Return the bodies of the environment `name`, for drawing."""
    return bodies.make_bodies(name, options, _construct(options, name))


def _measures(options: Any, name: str) -> Measures:
    """Return what can describe an episode of the environment `name`."""
    return measures.measures(_construct(options, name))


def _construct(options: Any, name: str) -> Any:
    """Return the ``brax.envs.Env`` that `options` describe.

    Raises:
        UserError: if brax refuses the options, or the constructor of a user's
            environment fails.
    """
    with making(name), quiet():
        import brax.envs

        return brax.envs.get_environment(name, **arguments(options))


def arguments(options: Any) -> dict[str, Any]:
    """Return what the constructor in brax takes of an environment's `options`."""
    given = wrappers.own(options)
    for ours in ("action_repeat", "episode_length", "randomize"):
        given.pop(ours, None)
    return given


def _read(name: str) -> dict[str, Option]:
    """Return the options of an environment that a user registered."""
    constructor = (registered.constructors() or {})[name]
    found = {
        argument.name: option_of(
            argument.default, f"{argument.name} of the constructor of {name}"
        )
        for argument in inspect.signature(constructor).parameters.values()
        if argument.name != "backend"
    }
    return {key: option for key, option in found.items() if option is not None}


def _module_of(name: str) -> str:
    return (registered.constructors() or {})[name].__module__
