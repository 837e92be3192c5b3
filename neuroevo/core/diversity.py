"""Strategies with an archive: what they are told, and how diverse their elites are."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from neuroevo.types import Array, Outcome, Strategy, StrategyState


class Diversity(NamedTuple):
    """What a report has of an archive; scalars."""

    coverage: Array  # share of the cells that are filled
    qd_score: Array  # sum of the elites' fitness above the archive's offset


def dtypes(strategy: Strategy) -> Any:
    """Return the types of what `of` returns."""
    has_one = strategy.archive is not None
    return Diversity(jnp.float32, jnp.float32) if has_one else None  # type: ignore


def of(strategy: Strategy, state: StrategyState) -> Diversity | None:
    """Return how diverse the elites in a state are; None without an archive."""
    if strategy.archive is None:
        return None
    fitness = strategy.archive.elites(state).fitness
    filled = jnp.isfinite(fitness)
    return Diversity(
        jnp.mean(filled, dtype=jnp.float32),
        jnp.sum(fitness - strategy.archive.offset, where=filled),
    )


def described(strategy: Strategy, played: Outcome) -> tuple[Array, ...]:
    """Return what `tell` takes last: the mean descriptors (N, D) of the candidates.

    The outcomes are those of N candidates, P policies each: (N, P, E, D). The result is
    empty for a strategy without an archive.
    """
    return () if strategy.archive is None else (played.descriptors.mean(axis=(1, 2)),)
