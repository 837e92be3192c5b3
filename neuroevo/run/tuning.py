"""How much memory a run needs, told before anything is compiled."""

import math
from typing import Any

import jax

from neuroevo.config.resolve import Config
from neuroevo.errors import UserError
from neuroevo.run import build
from neuroevo.terminal.formatting import format_bytes

# Copies of an array that exist at once, from what compiled programs were seen to use.
_STATE = 2  # a strategy's state: the present one and the next
_POPULATION = 5  # asked for, evaluated, and what `tell` makes of it: 5.2 with SNES
_ENTERING = 1.25  # policies in play, and those that take the places of some
_TRAINED = 4  # parameters, their gradient and an optimizer's two statistics
PROGRAM = 10**9  # what JAX, its compiler and an environment take, about


def estimate(config: Config, parts: build.Parts) -> dict[str, int]:
    """Return the bytes that a run needs on one device, by what they are for.

    They come from the shapes of its parts, and nothing is computed.
    """
    settings = config.settings
    key = jax.random.key(0)
    genome = build.shapes(parts.encoding.init)
    state = jax.eval_shape(parts.strategy.init, key, genome)
    population, _ = jax.eval_shape(parts.strategy.ask, key, state)
    policy = size(build.shapes(parts.policy.init))
    start = size(jax.eval_shape(parts.encoding.start, key))
    trained = min(settings.chunk, settings.decode_chunk)
    return {
        "strategy": _STATE * size(state),
        "population": _POPULATION * size(population),
        "chunk": policy * math.ceil(settings.chunk * _ENTERING + _TRAINED * trained)
        + start * (settings.policies + settings.center_policies),
    }


def check(config: Config, parts: build.Parts, devices: int, free: float | None) -> int:
    """Return the bytes that a run needs on `devices` that share `free` bytes.

    Raises:
        UserError: if they do not suffice, with what would help. None is no limit.
    """
    needs = estimate(config, parts)
    total = PROGRAM + devices * sum(needs.values())
    if free is None or total <= free:
        return total
    largest = max(needs, key=needs.get)
    advice = {
        "strategy": "a strategy with less state, such as SNES or Open_ES",
        "population": "a smaller --population or network",
        "chunk": "a smaller --chunk or network",
    }[largest]
    if devices > 1:
        advice += ", or --devices 1"
    raise UserError(
        f"about {format_bytes(total)} of memory needed, of which "
        f"{format_bytes(devices * needs[largest])} for the {largest}, and "
        f"{format_bytes(free)} are free: use {advice}"
    )


def size(tree: Any) -> int:
    """Return the bytes of a pytree of arrays or shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
