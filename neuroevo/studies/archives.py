"""Archives of elites, measured again.

Among many candidates, those enter an archive that were lucky in a few episodes. On
fresh policies and episodes, elites do less well, and some do something else (Flageat
and Cully, "Uncertain Quality-Diversity", 2023, arXiv 2302.00463).
"""

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.config import ranges
from neuroevo.core import keys
from neuroevo.run import switches
from neuroevo.solution import Solution, drawn
from neuroevo.store import genome_file
from neuroevo.store.archive_file import ArchiveFile


@switches.pinned()
def remeasure(
    solution: Solution,
    archive: ArchiveFile,
    *,
    policies: int = 1,
    episodes: int = 8,
    seed: int | None = None,
) -> ArchiveFile:
    """Return an archive with its elites where they belong on fresh episodes.

    An elite that fails is dropped; of several that come to lie in one cell, the best
    remains.

    Args:
        solution: any solution of the run, with the parts that decode and evaluate.
        archive: the archive.
        policies: number of fresh policies of each elite.
        episodes: number of episodes of each policy.
        seed: seed of the policies and episodes; None draws a new one.

    Raises:
        UserError: for arguments that are out of range.
    """
    policies = ranges.argument("policies", policies, ranges.Count)
    episodes = ranges.argument("episodes", episodes, ranges.Count)
    structure = jax.tree.structure(solution.genome)
    names = genome_file.to_arrays(solution.genome)
    genomes = [jnp.asarray(archive.genomes[name]) for name in names]
    outcome = solution.engine.evaluate(
        jax.tree.unflatten(structure, genomes),
        solution.answer.task,
        keys.policy_keys(keys.evaluation(drawn(seed)), policies),
        episodes=episodes,
    )
    fitness = np.asarray(outcome.returns).mean(axis=(1, 2))
    described = np.asarray(outcome.descriptors).mean(axis=(1, 2))
    known = np.isfinite(fitness) & np.isfinite(described).all(axis=1)
    found = archive.grid.places(described[known])
    by_fitness = np.argsort(-fitness[known], kind="stable")
    _, first = np.unique(found[by_fitness], axis=0, return_index=True)
    kept = np.sort(by_fitness[first])
    rows = np.flatnonzero(known)[kept]
    return archive._replace(
        genomes={name: array[rows] for name, array in archive.genomes.items()},
        fitness=fitness[rows],
        descriptors=described[rows],
        places=found[kept],
    )
