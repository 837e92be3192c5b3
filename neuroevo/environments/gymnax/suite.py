"""Environments of gymnax, by their registered ids.

The options of gymnax's own environments are in `tables`; those of environments that a
user registered with ``gymnax.register`` are the scalar fields of their parameters.
"""

import contextlib
import dataclasses
import functools
import importlib
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.environments import descriptors, observations, randomization, wrappers
from neuroevo.environments.actions import Taker, join, scale_to
from neuroevo.environments.gymnax import tables
from neuroevo.environments.options import AtLeastOne, Option, make_options, option_of
from neuroevo.environments.problems import making
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.types import Action, Environment, Key

_LIMIT = "max_steps_in_episode"
_UNBOUNDED = 1e30
_RANDOMIZE = randomization.option(
    "parameters that each episode draws anew, as NAME:LOW:HIGH (gravity:8:12)"
)
_OTHERS = ("craftax", "xminigrid")  # they resemble gymnax's, and have suites of ours


def names() -> list[str]:
    """Return the available ids, including those that a user registered with gymnax."""
    gymnax = sys.modules.get("gymnax")  # importing it takes two seconds
    registered = list(tables.PARAMS) if gymnax is None else gymnax.registered_envs
    return [name for name in registered if name not in tables.LEFT_OUT]


@functools.cache
def config(name: str) -> type:
    """Return the dataclass of options for the environment `name`.

    Its ``build()`` returns an `Environment`. For gymnax's own environments, this
    neither imports gymnax nor starts a JAX backend.

    Raises:
        UserError: if an environment that a user registered cannot be made.
    """
    arguments = tables.ARGUMENTS.get(name, {})
    params = tables.PARAMS.get(name) or _read_params(name)
    namespace = {
        "__doc__": tables.ABOUT.get(name, f"{name}, registered with gymnax."),
        "__module__": __name__,
        "build": wrappers.wrapped(
            lambda options: _build(options, name, frozenset(arguments))
        ),
        "features": property(functools.partial(_name_features, name=name)),
        "actions": property(functools.partial(_name_actions, name=name)),
        "measures": lambda options: _measures(options, name, frozenset(arguments)),
    }
    options = {**arguments, **params, **_RANDOMIZE, **wrappers.OPTIONS}
    return make_options(name, options, namespace)


def adapt(value: Any) -> types.SimpleNamespace | None:
    """Return options that build the gymnax environment `value`, if it is one.

    Args:
        value: an environment with gymnax's methods, or the result of ``gymnax.make``:
            an environment and its parameters.
    """
    pair = isinstance(value, tuple) and len(value) == 2
    env = value[0] if pair else value
    if isinstance(env, type) or not hasattr(env, "default_params"):
        return None
    if type(env).__module__.partition(".")[0] in _OTHERS:
        return None
    params = value[1] if pair else env.default_params
    return types.SimpleNamespace(name=_name_of(env), build=lambda: wrap(env, params))


def wrap(
    env: Any,
    params: Any,
    max_steps: int | None = None,
    draw: Callable[[Key], Any] | None = None,
) -> Environment:
    """Return a gymnax environment as an `Environment`.

    Observations become one float32 array, in which discrete ones are one-hot; see
    `observations.flatten`. Box actions are scaled from ``[-1, 1]`` to the bounds of the
    action space; see `scale_to`.

    Args:
        env: an environment with gymnax's ``reset_env`` and ``step_env``; the fourth
            result of ``step_env`` is true at the end of an episode.
        params: its parameters.
        max_steps: the time limit in steps; by default the ``max_steps_in_episode`` of
            `params`.
        draw: returns the parameters of an episode, drawn with its key; None: always
            `params`.

    Raises:
        UserError: if its spaces or its time limit are not supported.

    Example:
        >>> import gymnax
        >>> wrap(*gymnax.make("Pendulum-v1")).spec
        Spec(observation=(3,), action=Box(shape=(1,)))
    """
    name = _name_of(env)
    for method in ("reset_env", "step_env", "observation_space", "action_space"):
        if not callable(getattr(env, method, None)):
            raise UserError(
                f"environment {name}: it has no {method}; expected gymnax's reset_env, "
                "step_env (which does not reset by itself), observation_space and "
                "action_space"
            )
    if max_steps is None:
        max_steps = _limit_of(name, params)
    observe = functools.partial(
        observations.flatten, counts=_counts(env.observation_space(params)), name=name
    )
    action_spec, scale = _taker(name, env.action_space(params))

    def begin(params, key):
        observation, state = env.reset_env(key, params)
        return state, observe(observation)

    def advance(params, key, state, action):
        observation, state, reward, terminated, _ = env.step_env(
            key, state, scale(action), params
        )
        if hasattr(env, "is_truncated"):  # gymnax 1; earlier, part of the fourth result
            terminated = jnp.logical_or(terminated, env.is_truncated(state, params))
        return state, observe(observation), jnp.asarray(reward, jnp.float32), terminated

    reset: Callable = functools.partial(begin, params)
    step: Callable = functools.partial(advance, params)
    if draw is not None:
        reset, step = randomization.drawing(draw, begin, advance)
    _, observation = jax.eval_shape(reset, jax.random.key(0))
    return Environment(Spec(observation.shape, action_spec), reset, step, max_steps)


def _limit_of(name: str, params: Any) -> int:
    limit = getattr(params, _LIMIT, None)
    if limit is None:
        raise UserError(
            f"environment {name}: its parameters have no {_LIMIT}; expected it, or "
            "max_steps as an argument of neuroevo.environments.gymnax.suite.wrap"
        )
    return int(limit)


def _counts(space: Any) -> Any:
    """Return how many values discrete observations have, for `observations.flatten`."""
    from gymnax.environments import spaces

    if isinstance(space, spaces.Dict):
        return {key: _counts(each) for key, each in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(map(_counts, space.spaces))
    return int(space.n) if isinstance(space, spaces.Discrete) else 0


def _taker(name: str, space: Any) -> Taker:
    """Return the actions of policies, and how they become gymnax's."""
    from gymnax.environments import spaces

    if isinstance(space, spaces.Discrete):
        return Taker(Discrete(int(space.n)), _same)
    if isinstance(space, spaces.Box):
        shape = tuple(space.shape)
        scale = scale_to(space.low, space.high, shape, space.dtype, name)
        return Taker(Box(shape), scale)
    if isinstance(space, spaces.Dict | spaces.Tuple):
        named = isinstance(space, spaces.Dict)
        parts = space.spaces.values() if named else space.spaces
        if not len(parts):
            raise UserError(
                f"environment {name}: its action space is empty; expected an action"
            )
        joined = join([_taker(name, part) for part in parts])
        kind = functools.partial(_named, tuple(space.spaces)) if named else tuple
        return Taker(joined.space, lambda action: kind(joined.convert(action)))
    raise UserError(
        f"environment {name}: its action space is a {type(space).__name__}; expected "
        "gymnax.environments.spaces.Discrete, Box, Dict or Tuple"
    )


def _named(names: tuple[str, ...], parts: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(names, parts, strict=True))


def _same(action: Action) -> Action:
    return action


def _name_of(env: Any) -> str:
    name = getattr(env, "name", None)
    return name if isinstance(name, str) else type(env).__name__


# --- making an environment from its options -------------------------------------------


def _read_params(name: str) -> Mapping[str, Option]:
    """Return the options of an environment that a user registered.

    They do not include arguments of the constructor, which gymnax does not expose.
    """
    _, params = _make(name, {})
    fields = dataclasses.fields(params) if dataclasses.is_dataclass(params) else ()
    found = {
        field.name: option_of(
            getattr(params, field.name), f"{field.name} of its {type(params).__name__}"
        )
        for field in fields
    }
    limit = found.pop(_LIMIT, None)
    options = {key: option for key, option in found.items() if option is not None}
    text = "time limit of an episode in steps"
    default = 1000 if limit is None else int(limit.default)
    return {_LIMIT: Option(default, text, AtLeastOne), **options}


def _make(name: str, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return an environment of gymnax and its parameters.

    Raises:
        UserError: if the environment cannot be made, with the reason.
    """
    with _on_first_use("matplotlib.pyplot", "seaborn"):  # its pictures need them
        import gymnax

    with making(name):
        return gymnax.make(name, **arguments)


class _OnFirstUse(types.ModuleType):
    """Stands for a module that is imported when something of it is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def _on_first_use(*names: str) -> Iterator[None]:
    """Let modules that are imported here import these, which takes seconds, later."""
    stand_ins = {name: _OnFirstUse(name) for name in names if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


def _build(options: Any, name: str, arguments: frozenset[str]) -> Environment:
    """Make the environment `name` with `options`, a `config` dataclass."""
    env, params = _make_with(options, name, arguments)
    limit, draw = vars(options).get(_LIMIT), None
    if options.randomize:
        given = wrappers.own(options).items()
        known = [k for k, x in given if isinstance(x, float) and k != _LIMIT]
        ranges = randomization.ranges(options.randomize, known)
        draw = functools.partial(_drawn, name, params, ranges)
    return wrap(env, params, limit, draw)


def _drawn(
    name: str, params: Any, ranges: Mapping[str, randomization.Range], key: Key
) -> Any:
    """Return parameters with those in `ranges` drawn evenly."""
    changes = randomization.evenly(ranges, key)
    return _derived(name, dataclasses.replace(params, **changes))


def _make_with(options: Any, name: str, arguments: frozenset[str]) -> tuple[Any, Any]:
    given = {k: v for k, v in vars(options).items() if v is not None}
    env, params = _make(name, {k: given.pop(k) for k in arguments & given.keys()})
    # A parameter keeps its type: BernoulliBandit's time limit is a float, for one.
    changes = {
        key: type(getattr(params, key))(value)
        for key, value in given.items()
        if hasattr(params, key)
    }
    if changes:
        params = dataclasses.replace(params, **changes)
    return env, _derived(name, params)


def _derived(name: str, params: Any) -> Any:
    """Return parameters with those that follow from others."""
    derived = tables.DERIVED.get(name, {})
    changes = {key: derive(params) for key, derive in derived.items()}
    return dataclasses.replace(params, **changes) if changes else params


def _measures(
    options: Any, name: str, arguments: frozenset[str]
) -> descriptors.Measures:
    """Return the numbers of the last observation, with the bounds of the space."""
    env, params = _make_with(options, name, arguments)
    space = env.observation_space(params)
    shape, low = getattr(space, "shape", None), getattr(space, "low", None)
    if low is None or not shape:  # nothing is known of the bounds
        return {}
    low, high = (np.broadcast_to(x, shape).reshape(-1) for x in (low, space.high))
    # gymnax has the largest numbers that there are where there is no bound.
    low = np.where(low > -_UNBOUNDED, low, -np.inf)
    high = np.where(high < _UNBOUNDED, high, np.inf)
    names = _name_features(options, name)
    return descriptors.observed(shape, names, low.tolist(), high.tolist())


def _name_features(options: Any, name: str) -> tuple[str, ...] | None:
    """Return the names of what is observed, or None if unknown."""
    if name in tables.PARAMS:
        return tables.FEATURES.get(name)
    env, params = _make_with(options, name, frozenset())
    observation, _ = jax.eval_shape(env.reset_env, jax.random.key(0), params)
    return observations.names(observation, _counts(env.observation_space(params)))


def _name_actions(options: Any, name: str) -> tuple[str, ...] | None:
    """Return the names of an environment's actions, or None if unknown."""
    if not vars(options).get("use_minimal_action_set", True):
        return tables.MINATAR_ACTIONS
    return tables.ACTIONS.get(name)
