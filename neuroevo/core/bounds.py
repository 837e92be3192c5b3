"""Bounds of genes: what lies beyond counts as the bound.

A strategy is told the fitness of what it asked for, so that its candidates stay as they
are: what is clipped is a copy, when it is decoded and when it becomes a result.
"""

import jax
import jax.numpy as jnp

from neuroevo.types import ConvertGenome, Encoding, Genome, Params, Start


def within(encoding: Encoding) -> ConvertGenome | None:
    """Return a function that moves genes to their bounds, or None without bounds."""
    if encoding.bounds is None:
        return None
    low, high = encoding.bounds
    return lambda genome: jax.tree.map(jnp.clip, genome, low, high)


def bounded(encoding: Encoding) -> Encoding:
    """Return an encoding that decodes and exports genes within its bounds."""
    clip = within(encoding)
    if clip is None:
        return encoding

    def decode(genome: Genome, start: Start) -> Params:
        return encoding.decode(clip(genome), start)

    def export(genome: Genome) -> Genome:
        genome = clip(genome)
        return encoding.export(genome) if encoding.export else genome

    return encoding._replace(decode=decode, export=export, identity=False)
