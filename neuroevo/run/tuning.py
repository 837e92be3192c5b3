"""Adapts a run to the machine: chooses batch sizes and checks the memory.

Everything follows from the shapes of the parts; nothing is compiled.
"""

import dataclasses
import math
from typing import Any

import jax
from humanize import naturalsize

from neuroevo import devices
from neuroevo.config.schema import Config, Search
from neuroevo.core import keys, trees
from neuroevo.core.evaluation import Sizes
from neuroevo.core.layout import WIDTH
from neuroevo.errors import OutOfMemory
from neuroevo.progress import Role
from neuroevo.run.parts import Parts, count, shapes, size
from neuroevo.traits import EnvironmentTraits, StrategyTraits, traits

_MANY = 8192  # episodes that take seconds even in a fast environment
_MANY_EXAMPLES = 2**18  # that take seconds even in a network of moderate size
_WIDE = 128  # units of a layer


def is_lengthy(config: Config, parts: Parts) -> bool:
    """Return whether a generation may take seconds, so that it needs several calls."""
    names = ("population", "policies", "episodes")
    episodes = math.prod(getattr(config.settings, name, 1) for name in names)
    splits = getattr(parts.environment, "splits", None)
    examples = splits[Role.SEARCH].examples if splits else 0
    many = episodes > _MANY or episodes * examples > _MANY_EXAMPLES
    descends = parts.strategy is not None and parts.strategy.descent is not None
    hosted = parts.task.host is not None
    return many or descends or hosted or is_slow(config)


def is_slow(config: Config) -> bool:
    """Return whether the environment is a physics engine, or as slow as one."""
    return traits(EnvironmentTraits, config.parts["env"]).slow


def trains_much(config: Config) -> bool:
    """Return whether training may take longer than play.

    That is so if a layer has more than 128 units, or if a strategy differentiates the
    training.
    """
    policy = config.parts.get("policy")
    wide = max(getattr(policy, "hidden", ()), default=0) > _WIDE
    return wide or descends(config)


def descends(config: Config) -> bool:
    """Return whether the strategy differentiates the training on the pairs."""
    strategy = config.parts.get("strategy")
    return bool(strategy and traits(StrategyTraits, strategy).learns_from_rows)


def resolve_auto(config: Config, parts: Parts, same: Config | None = None) -> Config:
    """Return `config` with numbers instead of ``auto``.

    The sizes of chunks can change the last digits of results. They are recorded, so
    that a run can be repeated.

    Args:
        config: the configuration.
        parts: the parts of the run.
        same: the configuration of another search whose programs this one uses.
    """
    automatic = {
        "chunk": lambda: _chunk(config, parts, shares=parts.shares),
        "decode_chunk": lambda: _decode_chunk(count(shapes(parts.policy.init))),
        "center_every": lambda: _center_every(config),
    }
    numbers = {
        name: getattr(same.settings, name) if same else choose()
        for name, choose in automatic.items()
        if getattr(config.settings, name, None) == "auto"
    }
    settings = dataclasses.replace(config.settings, **numbers)
    return dataclasses.replace(config, settings=settings)


def _memory(config: Config, parts: Parts) -> Any:
    """Return the shapes of what a policy remembers in all of its episodes."""
    if parts.policy.init_memory is None:
        return ()
    memory = jax.eval_shape(parts.policy.init_memory, shapes(parts.policy.init))
    episodes = getattr(config.settings, "episodes", _FEWEST)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((episodes, *x.shape), x.dtype), memory
    )


# Episodes in a chunk on a CPU. With fewer, a processor is idle. With more, physics
# engines are hardly faster, and more episodes wait for the longest one.
_FEWEST, _MOST = 8, 32
# Parameters of a chunk, which every step reads. The cache that all cores share is fast
# enough for a physics engine, whose steps take long; for other environments, a core's
# own has to suffice.
_CACHED_SLOW, _CACHED_FAST = 2**20, 2**17


def of_whole_policies(sizes: Sizes, config: Config, parts: Parts) -> Sizes:
    """Return the batch sizes for policies that share no parameters.

    They are at most `sizes`, those for policies that share some.
    """
    chunk = min(sizes.chunk, _chunk(config, parts, shares=False))
    settings = dataclasses.replace(config.settings, chunk=chunk)
    width = group_width(dataclasses.replace(config, settings=settings))
    return sizes._replace(chunk=chunk, width=width)


def _own(parts: Parts, *, shares: bool) -> Any:
    """Return the shapes of the parameters that each policy has for itself."""
    if not shares:
        return shapes(parts.policy.init)
    return jax.eval_shape(lambda asked: trees.take(asked, 0), _searched(parts)[1])


def _searched(parts: Parts) -> tuple[Any, Any]:
    """Return the shapes of a strategy's state and of a population."""
    assert parts.strategy is not None
    key = keys.abstract()
    state = jax.eval_shape(parts.strategy.init, key, shapes(parts.encoding.init))
    return state, jax.eval_shape(parts.strategy.ask, key, state)[0]


def _chunk(config: Config, parts: Parts, *, shares: bool) -> int:
    """Return how many policies to roll out together.

    If their episodes are played on the host, enough for every process to have many
    steps to take between two actions.

    On a CPU, as many as fit into its cache with their parameters and memory. On an
    accelerator, many more, to hide latency, but at most one device's share of a
    generation. Policies that share their weights (`shares`) have little of their own.

    In a physics engine on a CPU, an empty slot costs as much as any other, and episodes
    of equal length end together: chunks of equal size then leave the fewest empty. For
    that, a chunk may be half as large again.
    """
    settings, slow = config.settings, is_slow(config)
    episodes = getattr(settings, "episodes", _FEWEST)
    parameters = count(_own(parts, shares=shares)) + count(_memory(config, parts))
    if parts.task.host is not None:
        return max(1, _HOSTED // episodes)
    if devices.is_cpu():
        most = max(1, _MOST // episodes) if slow else 64
        cached = _CACHED_SLOW if slow else _CACHED_FAST
        # Shared weights are read once for all policies of a chunk.
        fitting = most if shares else min(most, cached // parameters)
        chunk = max(-(-_FEWEST // episodes), fitting)
        if slow and isinstance(settings, Search):
            share = _share(config)
            chunk = math.ceil(share / max(1, round(share / chunk)))
    else:
        most = _MANY_AT_ONCE // episodes if slow else _MANY_AT_ONCE
        numbers = min(_NUMBERS_AT_ONCE, _accelerator_room())
        chunk = max(1, min(most, numbers // parameters))
        if isinstance(settings, Search):  # an evaluation has as many as it is told to
            chunk = min(chunk, _share(config))
    if chunk < WIDTH or slow:
        return chunk
    return chunk // WIDTH * WIDTH


def _share(config: Config) -> int:
    """Return how many policies a device plays in a generation that tests the center."""
    settings = config.settings
    policies = settings.population * settings.policies + settings.center_policies
    return math.ceil(policies / len(devices.select(config.devices)))


_HOSTED = 64  # episodes at a time; measured, see docs/performance.md


def _decode_chunk(parameters: int) -> int:
    """Return how many policies with this many `parameters` to train together.

    On a CPU, large policies are trained one by one: an optimizer's statistics take more
    of the cache, and single matrix products are fast.
    """
    if devices.is_cpu():
        return max(1, min(16, 2**15 // parameters))
    return max(1, min(_MANY_AT_ONCE, _accelerator_room() // parameters))


# Policies, and episodes of a physics engine, with which an accelerator is busy: with
# more, each step takes longer, and more of them wait for the longest episode.
_MANY_AT_ONCE = 4096
# Parameters, likewise: each step reads all of them, those of ended episodes too.
_NUMBERS_AT_ONCE = 2**29


def _accelerator_room() -> int:
    """Return how many parameters half of an accelerator's free memory can train.

    The other half is for the population and the state of the episodes.
    """
    _, free = devices.memory(devices.select(None))
    return 2**28 if free is None else int(free / (2 * 4 * (_ENTERING + _TRAINED)))


_OFTEN = 5  # generations: a curve needs no more points
_CENTER_SHARE = 20  # times as many policies belong to candidates


def _center_every(config: Config) -> int:
    """Return how many generations pay for an evaluation of the center."""
    settings = config.settings
    if descends(config):
        return _OFTEN  # training costs more than evaluating
    policies = getattr(settings, "population", 1) * getattr(settings, "policies", 1)
    center = getattr(settings, "center_policies", 0)
    return max(_OFTEN, math.ceil(_CENTER_SHARE * center / policies))


def stride() -> int:
    """Return how many steps to take between two looks at which episodes have ended.

    An accelerator stands still while the host decides whether a loop goes on.
    """
    return 1 if devices.is_cpu() else 8


def group_width(config: Config, *, hosted: bool = False) -> int:
    """Return how many policies to evaluate in a group, with the same random numbers.

    If an episode costs more than its random numbers, the group is a single policy.
    """
    small = config.settings.chunk < WIDTH
    return 1 if small or hosted or is_slow(config) else WIDTH


# Copies of an array that exist at once, as measured in compiled programs.
_STATE = 2  # a strategy's state: the present one and the next
_POPULATION = 5  # asked for, evaluated, and what `tell` makes of it: 5.2 with SNES
_ENTERING = 1.25  # policies in play, and those that take the places of some
_TRAINED = 4  # parameters, their gradient and an optimizer's two statistics
PROGRAM = 10**9  # what JAX, its compiler and an environment take, about


def estimate_memory(config: Config, parts: Parts) -> dict[str, int]:
    """Return the bytes that a run needs on one device, by purpose."""
    settings = config.settings
    state, population = _searched(parts)
    policy = size(_own(parts, shares=parts.shares)) + size(_memory(config, parts))
    start = size(jax.eval_shape(parts.encoding.start, keys.abstract()))
    trained = min(settings.chunk, settings.decode_chunk)
    return {
        "strategy": _STATE * size(state),
        "population": _POPULATION * size(population),
        "chunk": policy * math.ceil(settings.chunk * _ENTERING + _TRAINED * trained)
        + start * (settings.policies + settings.center_policies),
        "data": size(parts.task.data),
    }


def check_memory(config: Config, parts: Parts, sharing: int, free: float | None) -> int:
    """Return the bytes that a run needs on the devices that share a memory.

    Args:
        config: the configuration, with sizes of chunks as numbers.
        parts: the parts of the run.
        sharing: the number of devices that share the memory.
        free: free bytes of the memory; None if unknown.

    Raises:
        OutOfMemory: if the memory does not suffice, with what would help.
    """
    needs = estimate_memory(config, parts)
    total = PROGRAM + sharing * sum(needs.values())
    if free is None or total <= free:
        return total
    largest = max(needs, key=lambda name: needs[name])
    archived = parts.strategy is not None and parts.strategy.archive is not None
    advice = {
        "strategy": "fewer --strategy.cells, or a smaller genome"
        if archived
        else "a strategy with less state, such as SNES or Open_ES",
        "population": "a smaller --population or network",
        "chunk": "a smaller --chunk or network",
        "data": "fewer data",
    }[largest]
    if sharing > 1:
        advice += ", or --devices 1"
    raise OutOfMemory(
        f"the run needs about {naturalsize(total)} of memory "
        f"({naturalsize(sharing * needs[largest])} for the {largest}), but only "
        f"{naturalsize(free)} are free: use {advice}"
    )
