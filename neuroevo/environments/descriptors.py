"""Descriptors of behavior: numbers that say how an episode went, for quality-diversity.

Every environment that is known by name has them as an option: what it shows at the end
of an episode, and measures of its own, such as the place that a robot has reached.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp

from neuroevo.environments.options import Option
from neuroevo.errors import UserError, did_you_mean
from neuroevo.traits import EnvironmentTraits, traits
from neuroevo.types import (
    Action,
    Array,
    Descriptor,
    Environment,
    EnvState,
    HostEnvironment,
    Key,
)

OPTION: Mapping[str, Option] = {
    "descriptor": Option(
        (),
        "what describes an episode, for quality-diversity: numbers in its last "
        "observation, or measures of its own, as NAME, INDEX or NAME:LOW:HIGH",
        tuple[str, ...],
    )
}


class Measure(NamedTuple):
    """A number that describes an episode.

    Attributes:
        of: returns the number, given the state of the environment after a step, and
            what it shows.
        low: its lowest value; infinite if unknown.
        high: its highest value.
        mean: whether its mean over all steps counts, and not the last value.
    """

    of: Callable[[EnvState, Array], Array]
    low: float = -math.inf
    high: float = math.inf
    mean: bool = False


Measures = Mapping[str, Measure]
AnyEnvironment = TypeVar("AnyEnvironment", Environment, HostEnvironment)


class Summed(NamedTuple):
    """The state of an environment, with sums over the steps of its episode."""

    state: EnvState
    sums: Array  # (M,)
    steps: Array  # int32


def measures(options: Any, shape: tuple[int, ...]) -> Measures:
    """Return what can describe an episode: an environment's own measures come first.

    Args:
        options: the options of an environment.
        shape: that of its observations.
    """
    given = traits(EnvironmentTraits, options)
    own = {} if given.measures is None else given.measures()
    shown = observed(shape, given.features)
    return {**own, **{k: v for k, v in shown.items() if k not in own}}


def observed(
    shape: tuple[int, ...],
    features: Sequence[str] | None,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
) -> Measures:
    """Return the numbers of the last observation, by name and by index.

    Of an image with named channels, there are the place of what a channel shows and the
    share of the image that it covers as well; see `shown`.

    Args:
        shape: that of an observation.
        features: names of the numbers in a vector, or of the channels of an image; None
            if they are unknown.
        low: the lowest values.
        high: the highest values.
    """
    size = math.prod(shape)
    lows = [-math.inf] * size if low is None else low
    highs = [math.inf] * size if high is None else high
    each = [Measure(_number(i), float(lows[i]), float(highs[i])) for i in range(size)]
    names = [name.replace(" ", "-") for name in features or ()]
    named: dict[str, Measure] = {}
    if shape[-1:] == (len(set(names)),):
        if len(shape) == 1:
            named = dict(zip(names, each, strict=True))
        elif len(shape) == 3:
            for channel, name in enumerate(names):
                parts = shown(shape[0], shape[1], channel)
                named |= {f"{name}-{part}": measure for part, measure in parts.items()}
    return {**named, **{str(i): measure for i, measure in enumerate(each)}}


def shown(rows: int, columns: int, channel: int) -> Measures:
    """Return what describes a channel of an image.

    They are ``x`` and ``y``, the mean column and row of what is not zero (0 where
    nothing is), and ``share``, how much of the image it covers.

    Args:
        rows: height of the image.
        columns: its width.
        channel: index of the channel.

    Example:
        >>> x, y, share = shown(2, 4, channel=0).values()
        >>> image = jnp.zeros((2, 4, 1)).at[1, 2:].set(1.0)
        >>> [float(measure.of(None, image)) for measure in (x, y, share)]
        [2.5, 1.0, 0.25]
    """

    def lit(image: Array) -> Array:
        return jnp.asarray(image[..., channel] != 0, jnp.float32)

    def middle(image: Array, axis: int) -> Array:
        counts = lit(image).sum(1 - axis)
        return counts @ jnp.arange(counts.size) / jnp.maximum(counts.sum(), 1)

    return {
        "x": Measure(lambda state, image: middle(image, 1), 0, columns - 1),
        "y": Measure(lambda state, image: middle(image, 0), 0, rows - 1),
        "share": Measure(lambda state, image: lit(image).mean(), 0, 1),
    }


def _number(index: int) -> Callable[[EnvState, Array], Array]:
    return lambda state, observation: observation.reshape(-1)[index]


def described(
    environment: AnyEnvironment, texts: Sequence[str], measures: Measures
) -> AnyEnvironment:
    """Return an environment with the descriptor that an option asks for.

    Args:
        environment: the environment.
        texts: the option: NAME or NAME:LOW:HIGH for each number.
        measures: what there is to choose from.

    Raises:
        UserError: if there is no such measure, or for ranges that are wrong.

    Example:
        >>> still = neuroevo.Environment(
        ...     spec=neuroevo.Spec(observation=(1,), action=neuroevo.Discrete(2)),
        ...     reset=lambda key: (jnp.zeros(()), jnp.ones(1)),
        ...     step=lambda key, state, action: (state, jnp.ones(1), 0.0, False),
        ...     max_steps=10,
        ... )
        >>> described(still, ["0:0:2"], observed((1,), None)).descriptor.high
        (2.0,)
    """
    names, low, high = zip(*(_parse(text, measures) for text in texts), strict=True)
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"env.descriptor {name}: expected it once, got it twice")
    chosen = [measures[name] for name in names]
    means = [measure.of for measure in chosen if measure.mean]
    if means and isinstance(environment, Environment):
        environment = _summing(environment, means)

    def of(state: EnvState, observation: Array) -> Array:
        state, sums, steps = state if means else (state, (), 1)
        averages = iter([x / jnp.maximum(steps, 1) for x in sums])
        numbers = [
            next(averages) if measure.mean else measure.of(state, observation)
            for measure in chosen
        ]
        return jnp.stack([jnp.asarray(x, jnp.float32) for x in numbers])

    return environment._replace(descriptor=Descriptor(names, low, high, of))


def suggestion(options: Any, shape: tuple[int, ...]) -> str:
    """Return an example of the option for an environment with these options."""
    found = list(measures(options, shape).items())[:2]
    return " ".join(
        name if _is_known(measure) else f"{name}:-1:1" for name, measure in found
    )


def _parse(text: str, measures: Measures) -> tuple[str, float, float]:
    """Return the name of a measure, and its range."""
    name, *ends = text.split(":")
    name = name.strip().replace(" ", "-")
    if name not in measures:
        raise _unknown(name, [*measures])
    measure, example = measures[name], f"{name}:-1:1"
    if not ends:
        if not _is_known(measure):
            raise UserError(
                f"env.descriptor {name}: it has no bounds of its own; expected "
                f"{name}:LOW:HIGH, such as {example}"
            )
        return name, measure.low, measure.high
    try:
        low, high = map(float, ends)
    except ValueError:
        low, high = math.nan, math.nan
    if not (low < high and math.isfinite(low) and math.isfinite(high)):
        raise UserError(
            f"env.descriptor {text}: expected NAME:LOW:HIGH with LOW below HIGH, such "
            f"as {example}"
        )
    return name, low, high


def _unknown(name: str, known: Sequence[str]) -> UserError:
    """Return the error for a measure that there is not."""
    indices = sum(each.isdigit() for each in known)
    listed = [each for each in known if not each.isdigit()]
    names = f"{', '.join(listed)}, or " if listed else ""
    near = did_you_mean(name, listed)
    return UserError(
        f"env.descriptor {name}: unknown; expected {names}an index from 0 to "
        f"{indices - 1}{near}"
    )


def _is_known(measure: Measure) -> bool:
    """Return whether the range of a measure is known."""
    return math.isfinite(measure.low) and math.isfinite(measure.high)


def _summing(
    environment: Environment, means: Sequence[Callable[[EnvState, Array], Array]]
) -> Environment:
    """Return an environment that sums numbers over the steps of an episode."""
    legal = environment.legal

    def reset(key: Key) -> tuple[EnvState, Array]:
        state, observation = environment.reset(key)
        return Summed(state, jnp.zeros(len(means)), jnp.int32(0)), observation

    def step(
        key: Key, summed: Summed, action: Action
    ) -> tuple[EnvState, Array, Array, Array]:
        state, observation, reward, done = environment.step(key, summed.state, action)
        numbers = [jnp.asarray(of(state, observation), jnp.float32) for of in means]
        sums = summed.sums + jnp.stack(numbers)
        return Summed(state, sums, summed.steps + 1), observation, reward, done

    return environment._replace(
        reset=reset, step=step, legal=legal and (lambda summed: legal(summed.state))
    )
