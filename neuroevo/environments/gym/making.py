"""Makes environments of Gymnasium, in processes, from functions that make one."""

import dataclasses
import functools
import importlib.util
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from neuroevo import cgroups
from neuroevo.environments.actions import Taker, join, scale_to
from neuroevo.environments.gym.actions import type_of
from neuroevo.environments.gym.pools import MakePool
from neuroevo.environments.gym.workers import Workers
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, MultiDiscrete, Spec
from neuroevo.types import HostEnvironment

DEFAULT_LIMIT = 1000  # steps, of an environment without a time limit


def require_gymnasium() -> None:
    """Raise a `UserError` unless Gymnasium is installed."""
    if importlib.util.find_spec("gymnasium") is None:
        raise UserError(
            "environments of Gymnasium need the package gymnasium: pip install "
            "'neuroevo[gym]'"
        )


class Made:
    """Options of the environments that a function makes; see `from_function`."""

    slow: ClassVar[bool] = True

    def __init__(self, name: str, make: Callable[[], Any], **options: Any) -> None:
        """Take the name, the function, and options of `make_environment`."""
        self.name = name
        self._make, self._options = make, options

    @property
    def features(self) -> tuple[str, ...] | None:
        """The names of what is observed, once it has been built."""
        return FEATURES.get(self.name)

    def build(self) -> HostEnvironment:
        """Start a process with the environment."""
        require_gymnasium()
        return make_environment(self.name, self._make, **self._options)


# Of the environments that have been built, by name; known when one has been made.
FEATURES: dict[str, tuple[str, ...] | None] = {}


def from_function(
    make: Callable[[], Any],
    *,
    max_steps: int | None = None,
    workers: int | None = None,
    timeout: float = 60.0,
) -> Made:
    """Return what can be passed as ``env`` for the environments that `make` returns.

    Args:
        make: returns a new ``gymnasium.Env``, or a ``gymnasium.vector.VectorEnv`` with
            ``autoreset_mode`` DISABLED. If it has an argument ``render_mode``, videos
            show what the environment renders.
        max_steps: time limit in steps; None for the environment's own, or 1000.
        workers: number of processes; None for one on each core.
        timeout: time in which a process must have answered, in seconds.
    """
    name = getattr(make, "__name__", type(make).__name__)
    options = {"max_steps": max_steps, "workers": workers, "timeout": timeout}
    return Made(name, make, **options)


def make_environment(
    name: str,
    make: Callable[..., Any],
    *,
    max_steps: int | None = None,
    workers: int | None = None,
    timeout: float = 60.0,
) -> HostEnvironment:
    """Return an environment whose instances `make` makes in other processes.

    Raises:
        UserError: if one cannot be made, or if its spaces are not supported.
    """
    count = workers or cgroups.cores()
    instances = Workers(name, make, count=count, timeout=timeout)
    facts = instances.facts
    FEATURES[name] = facts["features"] and tuple(facts["features"])
    try:
        action, convert = _taker(name, facts["action"])
    except UserError:
        instances.close()
        raise
    own = facts["max_steps"] or DEFAULT_LIMIT
    pictures: Callable[..., Any] = make
    if isinstance(make, MakePool):
        pictures = dataclasses.replace(make, render_mode="rgb_array")
    elif "render_mode" in _parameters(make):
        pictures = functools.partial(make, render_mode="rgb_array")
    return HostEnvironment(
        spec=Spec(tuple(facts["shape"]), action),
        instances=instances,
        max_steps=own if max_steps is None else max_steps,
        convert=convert,
        pictured=lambda: Workers(name, pictures, count=1, timeout=timeout),
        most=facts["most"],
    )


def _parameters(make: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):
        return {}


def _taker(name: str, facts: Mapping[str, Any]) -> Taker:
    """Return the actions of policies, and what converts B of them for Gymnasium."""
    dtype, shape = type_of(facts)
    if "parts" in facts:
        joined = join([_taker(name, part) for part in facts["parts"]])

        def pack(actions: Any) -> np.ndarray:
            records = np.empty(len(actions), dtype)
            for field, part in zip(
                dtype.names or (), joined.convert(actions), strict=True
            ):
                records[field] = part
            return records

        return Taker(joined.space, pack)
    if facts["kind"] == "Discrete":
        start = facts["start"]
        return Taker(
            Discrete(facts["n"]), lambda actions: np.asarray(actions, dtype) + start
        )
    if facts["kind"] == "Box":
        if math.prod(shape) < 1:
            raise UserError(f"environment {name}: its actions are empty, {shape}")
        scale: Callable[[Any], Any] = scale_to(
            facts["low"], facts["high"], shape, dtype, name
        )

        def convert(actions: Any) -> np.ndarray:
            each = np.asarray(actions, np.float32).reshape(-1, *shape)
            return np.asarray(scale(each), dtype)

        return Taker(Box(shape or (1,)), convert)
    starts = np.array(facts["start"], dtype)
    return Taker(
        MultiDiscrete(tuple(facts["n"])),
        lambda actions: (np.asarray(actions, dtype) + starts).reshape(-1, *shape),
    )
