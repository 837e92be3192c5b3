"""Domain randomization: every episode draws parameters of its environment anew."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from neuroevo.environments.options import Option
from neuroevo.errors import UserError, unknown
from neuroevo.types import Action, Array, EnvState, Key

Range = tuple[float, float]


class Drawn(NamedTuple):
    """The state of an environment whose episodes draw their parameters."""

    state: EnvState
    parameters: Any


def option(help: str) -> Mapping[str, Option]:
    """Return the option that says what episodes draw."""
    return {"randomize": Option((), help, tuple[str, ...])}


def ranges(texts: Sequence[str], known: Iterable[str]) -> dict[str, Range]:
    """Return the range of each parameter that episodes draw.

    Args:
        texts: the option: NAME:LOW:HIGH for each of them.
        known: the names of those that there are.

    Raises:
        UserError: for anything else.

    Example:
        >>> ranges(("gravity:8:12",), ["gravity", "length"])
        {'gravity': (8.0, 12.0)}
    """
    found = {}
    for text in texts:
        name, *ends = text.split(":")
        if name not in known:
            raise unknown("env.randomize", name, known)
        try:
            low, high = map(float, ends)
        except ValueError:
            low, high = math.nan, math.nan
        if not low <= high or math.isinf(low) or math.isinf(high):
            raise UserError(
                f"env.randomize {text}: expected NAME:LOW:HIGH, such as {name}:0.5:1.5"
            )
        found[name] = low, high
    return found


def evenly(ranges: Mapping[str, Range], key: Key) -> dict[str, Array]:
    """Return a number from each of several ranges."""
    each = zip(jax.random.split(key, len(ranges)), ranges.items(), strict=True)
    return {
        name: jax.random.uniform(own, minval=low, maxval=high)
        for own, (name, (low, high)) in each
    }


def drawing(
    draw: Callable[[Key], Any],
    reset: Callable[[Any, Key], tuple[EnvState, Array]],
    step: Callable[[Any, Key, EnvState, Action], tuple[EnvState, Array, Array, Array]],
) -> tuple[Callable, Callable]:
    """Return `reset` and `step` of an environment whose episodes draw parameters.

    Args:
        draw: returns the parameters of an episode.
        reset: resets an environment with these parameters.
        step: takes a step in it.
    """

    def reset_drawn(key: Key) -> tuple[Drawn, Array]:
        key, own = jax.random.split(key)
        parameters = draw(own)
        state, observation = reset(parameters, key)
        return Drawn(state, parameters), observation

    def step_drawn(
        key: Key, drawn: Drawn, action: Action
    ) -> tuple[Drawn, Array, Array, Array]:
        state, parameters = drawn
        state, observation, reward, done = step(parameters, key, state, action)
        return Drawn(state, parameters), observation, reward, done

    return reset_drawn, step_drawn
