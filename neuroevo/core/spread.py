"""How far apart the candidates of a generation are, and when that is too little."""

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.differences import Difference, Factors, is_factors
from neuroevo.types import Array, Genome

_MOST_CANDIDATES = 32  # enough for two digits, however large the population
COLLAPSED = 1e-6  # of the initial spread


def spread(
    population: Genome | Difference, center: Genome, *, differences: bool = False
) -> Array:
    """Return the standard deviation of the candidates, over all numbers of a genome.

    It is estimated from at most 32 candidates. In a leaf where it is smaller than the
    precision of the numbers in `center`, it counts as zero.

    Args:
        population: genomes, with a leading axis.
        center: the genome that they surround.
        differences: whether the population consists of differences to the center.

    Returns:
        A float32 scalar: the root of the mean variance.

    >>> population = {"w": jnp.array([[0.9, 1.9], [1.1, 2.1]])}
    >>> round(float(spread(population, {"w": jnp.array([1.0, 2.0])})), 3)
    0.1
    >>> float(spread(population, {"w": jnp.array([1e7, 2e7])}))
    0.0
    """
    count = jax.tree.leaves(population)[0].shape[0]
    rows = np.linspace(0, count - 1, min(count, _MOST_CANDIDATES)).round().astype(int)
    some = jax.tree.map(lambda x: x[rows].astype(jnp.float32), population)
    total, size = jnp.float32(0), 0
    leaves = jax.tree.leaves(some, is_leaf=is_factors)
    for leaf, middle in zip(leaves, jax.tree.leaves(center), strict=True):
        variance = _square(leaf) if differences else jnp.sum(jnp.var(leaf, axis=0))
        magnitude = jnp.mean(jnp.square(middle.astype(jnp.float32)))
        smallest = jnp.finfo(middle.dtype).eps ** 2 * magnitude
        total += jnp.where(variance / middle.size <= smallest, 0, variance)
        size += middle.size
    return jnp.sqrt(total / size)


def _square(differences: Array | Factors) -> Array:
    """Return the mean, over the candidates, of the sum of a difference's squares."""
    if not isinstance(differences, Factors):
        return jnp.sum(jnp.mean(jnp.square(differences), axis=0))
    # The squared norm of a product, from the inner products of its factors' rows.
    left, right = (jnp.einsum("nri,nsi->nrs", x, x) for x in differences)
    return jnp.mean(jnp.sum(left * right, axis=(1, 2)))


def has_collapsed(spread: float, initial: float) -> bool:
    """Return whether a search with this `spread` can find nothing new.

    >>> has_collapsed(5e-8, initial=0.1), has_collapsed(1e-3, initial=0.1)
    (True, False)
    """
    return spread <= COLLAPSED * initial
