"""The order in which policies are evaluated: in groups that share random numbers.

A *block* consists of several genomes, each with several policies. All policies with the
same key, one for every genome of the block, share their initial parameters and the
randomness of their episodes. They are evaluated in groups of `width`, and a group ends
when all of its members have ended. The last group of a key is filled up with copies of
its last genome.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from neuroevo.progress import Role
from neuroevo.types import Array

WIDTH = 8  # policies in a group, if there are enough of them


class Block(NamedTuple):
    """Genomes, as indices, the number of policies of each, and what they are for."""

    genomes: np.ndarray  # (G,)
    policies: int
    role: Role = Role.SEARCH


class Layout(NamedTuple):
    """The groups of all blocks, in the order of their evaluation."""

    width: int
    genomes: np.ndarray  # (groups * width,) of each policy, its genome
    keys: np.ndarray  # (groups,) of each group, its key
    roles: np.ndarray  # (groups,) int32 of each group, its role
    group_ends: np.ndarray  # with none of the blocks, the first one, two of them, …
    key_ends: np.ndarray
    parts: Sequence[Callable[[Array], Array]]  # of all groups, a block's: (G, policies)


def lay_out(blocks: Sequence[Block], width: int) -> Layout:
    """Return the groups for `blocks`, of `width` policies each if that pays off."""
    width = width if worth(width, len(blocks[0].genomes)) else 1
    genomes, keys, roles, parts, group_ends, key_ends = [], [], [], [], [0], [0]
    for block in blocks:
        size, count = len(block.genomes), block.policies
        padded = np.pad(block.genomes, (0, -size % width), mode="edge")
        each = len(padded) // width
        genomes.append(np.tile(padded, count))
        keys.append(np.repeat(key_ends[-1] + np.arange(count), each))
        roles.append(np.full(count * each, block.role, np.int32))
        parts.append(functools.partial(_part, group_ends[-1], count, each, size))
        group_ends.append(group_ends[-1] + count * each)
        key_ends.append(key_ends[-1] + count)
    return Layout(
        width,
        np.concatenate(genomes),
        np.concatenate(keys),
        np.concatenate(roles),
        np.array(group_ends),
        np.array(key_ends),
        parts,
    )


def worth(width: int, genomes: int) -> bool:
    """Return whether groups of `width` repeat at most an eighth of the work.

    >>> worth(8, genomes=64), worth(8, genomes=63), worth(8, genomes=3)
    (True, True, False)
    """
    return 8 * (-genomes % width) <= genomes


def _part(begin: int, count: int, each: int, size: int, x: Array) -> Array:
    """Return the part of `x` that belongs to a block, without repeated genomes."""
    x = x[begin : begin + count * each].reshape(count, -1, *x.shape[2:])
    return x[:, :size].swapaxes(0, 1)
