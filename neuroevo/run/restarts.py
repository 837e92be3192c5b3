"""Restarts: how many candidates the next attempt of a search has, and how they differ.

After a plateau, a search begins anew from another genome. Larger populations see more
of the landscape: IPOP doubles them with every restart (Auger and Hansen, "A restart CMA
evolution strategy with increasing population size", CEC 2005). BIPOP does so by turns
with small populations that search nearby (Hansen, "Benchmarking a BI-population CMA-ES
on the BBOB-2009 function testbed", GECCO workshop 2009).
"""

import dataclasses
from collections.abc import Sequence

import jax

from neuroevo.config.schema import Config
from neuroevo.core import keys
from neuroevo.errors import UserError
from neuroevo.run import build
from neuroevo.run.parts import Parts
from neuroevo.traits import StrategyTraits, traits

_FEWEST = 4  # candidates of an attempt


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A search from one initial genome."""

    population: int
    std: float = 1.0  # factor on the strategy's initial standard deviation
    small: bool = False  # whether it is one of BIPOP's small ones
    generation: int = 0  # generations of the run before it


def check(config: Config) -> None:
    """Raise a `UserError` unless the strategy can restart as `config` says."""
    settings, strategy = config.settings, config.parts.get("strategy")
    growing = getattr(settings, "restart_population", "same") != "same"
    if getattr(settings, "restart_after", None) is None:
        if growing:
            raise UserError(
                f"restart_population {settings.restart_population}: expected "
                "--restart-after N as well, which says when to restart"
            )
        return
    found, name = traits(StrategyTraits, strategy), config.names["strategy"]
    if found.learns_from_rows:
        raise UserError(
            f"restart_after: the strategy {name} does not restart; expected a larger "
            "--population, of which each candidate starts elsewhere"
        )
    if found.needs_descriptor:
        raise UserError(
            f"restart_after: a restart would empty the archive of {name}; expected "
            "none, or another strategy"
        )


def following(config: Config, attempts: Sequence[Attempt], generation: int) -> Attempt:
    """Return the attempt after `attempts`, which begins in this generation."""
    settings = config.settings
    first = attempts[0].population
    grown = max(attempt.population for attempt in attempts)
    match settings.restart_population:
        case "same":
            return Attempt(first, generation=generation)
        case "ipop":
            return Attempt(2 * grown, generation=generation)
    # The regime that has evaluated fewer candidates is next.
    ends = [attempt.generation for attempt in attempts[1:]] + [generation]
    spent = {True: 0, False: 0}
    for attempt, end in zip(attempts, ends, strict=True):
        spent[attempt.small] += attempt.population * (end - attempt.generation)
    if spent[True] >= spent[False]:
        return Attempt(2 * grown, generation=generation)
    key = keys.restart(settings.seed, len(attempts)).size
    share, exponent = map(float, jax.random.uniform(key, (2,)))
    small = int(first * (grown / (2 * first)) ** share**2)
    even = max(_FEWEST, small - small % 2)  # many strategies draw pairs
    return Attempt(even, 10 ** (-2 * exponent), True, generation)


def adapt(config: Config, parts: Parts, attempt: Attempt) -> tuple[Config, Parts]:
    """Return the configuration and the parts of an attempt.

    Raises:
        UserError: if the strategy does not take its population.
    """
    strategy = config.parts["strategy"]
    if attempt.std != 1 and hasattr(strategy, "std"):
        strategy = dataclasses.replace(strategy, std=attempt.std * strategy.std)
    settings = dataclasses.replace(config.settings, population=attempt.population)
    adapted = dataclasses.replace(
        config, settings=settings, parts={**config.parts, "strategy": strategy}
    )
    return adapted, parts._replace(strategy=build.build_strategy(adapted, parts))
