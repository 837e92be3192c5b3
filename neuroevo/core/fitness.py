"""The fitness of candidates, and what a generation reports of it."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from neuroevo.core import trees
from neuroevo.differences import Difference
from neuroevo.types import Array, Genome


def fitness_of(returns: Array, worst: float) -> Array:
    """Return the fitness (N,) of candidates, given the returns of their policies.

    If it is the mean over the worst policies, a candidate whose training fails now and
    then ranks below one that always does well (conditional value at risk, Rockafellar
    and Uryasev, 2000).

    Args:
        returns: (N, P, E) of N candidates, P policies each, and E episodes.
        worst: the share of the policies, the worst ones, that the fitness is of.
    """
    policies = returns.shape[1]
    count = max(1, math.ceil(worst * policies - 1e-6))  # 0.1 * 30 exceeds 3
    fitness = returns.reshape(len(returns), -1).mean(axis=1)
    if count == policies:
        return fitness
    ordered = jnp.sort(returns.mean(axis=2), axis=1)
    least = ordered[:, :count].mean(axis=1)
    return jnp.where(jnp.isnan(fitness), jnp.nan, least)  # sorting puts NaN last


def in_numbers(fitness: Array) -> dict[str, Any]:
    """Return what a report has of the candidates' fitness (N,), by field."""
    finite = jnp.isfinite(fitness)
    return {
        "fitness_mean": jnp.mean(fitness, where=finite),
        "fitness_std": jnp.std(fitness, where=finite),
        "fitness_max": jnp.max(fitness, where=finite, initial=-jnp.inf),
        "failures": jnp.sum(~finite),
    }


def share(truncated: Array | None) -> Array:
    """Return the share of episodes that the time limit ended; NaN if there are none."""
    return jnp.float32(jnp.nan) if truncated is None else truncated.mean()


def has_diverged(
    population: Genome | Difference, fitness: Array, center: Genome
) -> Array:
    """Return whether no candidate is finite, or the new center is not."""
    # Large genomes take time: check them only if no candidate succeeded.
    lost = jax.lax.cond(
        jnp.isfinite(fitness).any(),
        lambda: False,
        lambda: ~jax.vmap(trees.is_finite)(population).any(),
    )
    return ~trees.is_finite(center) | lost
