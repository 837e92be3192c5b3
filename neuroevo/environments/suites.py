"""What the adapters of optional suites share.

A suite is a package of environments that neuroevo can use without depending on it. Its
names are known here, so that a wrong name is told the nearest one of every suite; the
package is imported when one of its environments is built.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import io
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neuroevo.core import trees
from neuroevo.environments import observations, physics
from neuroevo.environments.descriptors import Measures
from neuroevo.environments.options import AtLeastOne, Option, make_options
from neuroevo.environments.problems import making
from neuroevo.environments.wrappers import OPTIONS, wrapped
from neuroevo.spaces import Box, Discrete, MultiDiscrete, Spec
from neuroevo.traits import Bodies
from neuroevo.types import Action, Array, Environment, EnvState, Key, Legal


class Raw(NamedTuple):
    """An environment as its suite has it, which may show any pytree of numbers.

    Attributes:
        name: its name, for messages.
        reset: returns the state and what is observed.
        step: returns the state, what is observed, the reward and whether the
            environment has ended the episode.
        action: the actions.
        max_steps: the time limit.
        legal: the legal actions of a state; None if all are.
        counts: which integers become one-hot; see `observations.flatten`.
        is_physics: whether it is a physics engine; see `physics.in_one_batch`.
    """

    name: str
    reset: Callable[[Key], tuple[EnvState, Any]]
    step: Callable[[Key, EnvState, Action], tuple[EnvState, Any, Array, Array]]
    action: Discrete | MultiDiscrete | Box
    max_steps: int
    legal: Legal | None = None
    counts: Any = None
    is_physics: bool = False


def environment(raw: Raw) -> Environment:
    """Return an environment of a suite as an `Environment`."""
    # Some suites take seconds to trace, more under every `vmap`. Inlined, they make the
    # same programs, but are traced once for all of them.
    once = functools.partial(jax.jit, inline=True)
    observe = functools.partial(observations.flatten, counts=raw.counts, name=raw.name)

    # Warnings about the code of a suite would not help a user. They come in tracing.
    @once
    @_silently
    def reset(key):
        state, observation = raw.reset(key)
        return trees.strong(state), observe(observation)

    @once
    @_silently
    def step(key, state, action):
        state, observation, reward, done = raw.step(key, state, action)
        reward = jnp.asarray(reward, jnp.float32)
        return trees.strong(state), observe(observation), reward, done

    _, observation = jax.eval_shape(reset, jax.random.key(0))
    spec = Spec(observation.shape, raw.action)
    play: tuple[Callable, Callable] = reset, step
    if raw.is_physics:
        play = physics.in_one_batch(reset), physics.in_one_batch(step)
    return Environment(spec, *play, raw.max_steps, raw.legal)


def _silently(function: Callable) -> Callable:
    @functools.wraps(function)
    def call(*args):
        with warnings.catch_warnings(action="ignore"):
            return function(*args)

    return call


def features(raw: Raw) -> tuple[str, ...] | None:
    """Return the names of what is observed, or None for a single array."""
    _, observation = jax.eval_shape(raw.reset, jax.random.key(0))
    return observations.names(observation, raw.counts)


def limit(steps: int) -> Mapping[str, Option]:
    """Return the option of a time limit."""
    return {"max_steps": Option(steps, "time limit of an episode in steps", AtLeastOne)}


@dataclasses.dataclass(frozen=True, eq=False)
class Suite:
    """A family of environments that an optional package has; see `registry.Family`.

    Attributes:
        package: the package to import.
        extra: the extra of neuroevo that installs it.
        about: what the suite has, in a few words.
        goals: the names of its environments, with the goal of each in one line.
        options: returns the options of an environment.
        make: makes the environment of a name with its options; it may raise anything.
        wrap: returns an object of the suite as `Raw`, and None for any other object.
            It is called only if the package has been imported.
        bodies: returns the rigid bodies of an environment, for drawing.
        measures: what describes an episode, besides what it shows at its end.
        traits: further attributes of the options; see `neuroevo.traits`.
    """

    package: str
    extra: str
    about: str
    goals: Mapping[str, str]
    options: Callable[[str], Mapping[str, Option]]
    make: Callable[[str, Any], Raw]
    wrap: Callable[[Any], Raw | None]
    bodies: Callable[[str, Any], Bodies] | None = None
    measures: Measures | None = None
    traits: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def names(self) -> list[str]:
        """Return the names of its environments."""
        return list(self.goals)

    @functools.cache  # noqa: B019, suites live as long as the process
    def config(self, name: str) -> type:
        """Return the dataclass of options for the environment `name`.

        Its ``build()`` returns an `Environment`. The suite is not imported.
        """
        namespace = {
            "__doc__": self.goals[name],
            "__module__": __name__,
            "build": wrapped(lambda options: environment(self._raw(name, options))),
            "features": property(lambda options: features(self._raw(name, options))),
            **self.traits,
        }
        if self.measures is not None:
            namespace["measures"] = lambda options: self.measures
        if self.bodies is not None:
            bodies = self.bodies
            namespace["bodies"] = lambda options: bodies(name, options)
        return make_options(name, {**self.options(name), **OPTIONS}, namespace)

    def adapt(self, value: Any) -> types.SimpleNamespace | None:
        """Return options that build `value`, if it is an environment of the suite."""
        if self.package not in sys.modules or (raw := self.wrap(value)) is None:
            return None
        build = functools.partial(environment, raw)
        return types.SimpleNamespace(name=raw.name, build=build, **self.traits)

    def missing(self) -> str | None:
        """Return the command that installs the suite; None if it is installed."""
        if importlib.util.find_spec(self.package) is not None:
            return None
        return f"pip install 'neuroevo[{self.extra}]'"

    @functools.lru_cache(maxsize=2)  # noqa: B019, to name features after building
    def _raw(self, name: str, options: Any) -> Raw:
        """Make the environment `name`.

        Raises:
            UserError: if the suite cannot make it, with the reason.
        """
        # Craftax, for one, prints that it prepares its pictures.
        with making(name), contextlib.redirect_stdout(io.StringIO()):
            return self.make(name, options)
