"""A genome together with what it takes to decode, evaluate and save it."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from neuroevo import multihost
from neuroevo import returns as measures
from neuroevo.config.resolve import Config
from neuroevo.core import engine, keys
from neuroevo.core.evaluation import act_with
from neuroevo.run.parts import Parts
from neuroevo.store import genome_file
from neuroevo.types import ActWith, Trajectory


def drawn(seed: int | None) -> int:
    """Return `seed`, or for None a new one, the same in every process."""
    return multihost.from_main(keys.fresh_seed) if seed is None else seed


@dataclasses.dataclass(frozen=True)
class Solution:
    """What a run found, or a genome file holds.

    Attributes:
        config: names and options of the parts.
        parts: environment, task, policy and encoding, built.
        answer: the genome, and the observation statistics it goes with.
    """

    config: Config
    parts: Parts
    engine: engine.Engine
    answer: engine.Answer

    @property
    def genome(self) -> Any:
        """The genome: a pytree of arrays."""
        return self.answer.genome

    def decode(self, seed: int = 0) -> Any:
        """Return the parameters of the policy `seed` decoded from the genome.

        It is that of ``neuroevo render`` and ``neuroevo train-policy`` with the seed.
        """
        start = self.parts.encoding.start(keys.policy(seed))
        return jax.jit(self.parts.encoding.decode)(self.genome, start)

    def record(self, seed: int = 0, policies: int = 1) -> list[Trajectory]:
        """Return an episode, to be shown, of each of several fresh policies.

        They are those of ``decode(seed)``, ``decode(seed + 1)`` and so on.
        """
        record, state = self.parts.task.record, self.answer.task
        seeds = range(seed, seed + policies)
        return [
            record(self._act, self.decode(s), state, keys.recording(s)) for s in seeds
        ]

    @functools.cached_property
    def _act(self) -> ActWith:
        """The same function at every use: what it is part of compiles once."""
        return act_with(self.parts.policy)

    def evaluate(
        self, policies: int = 8, episodes: int = 8, *, seed: int | None = None
    ) -> dict[str, Any]:
        """Return what `policies` fresh policies achieve in `episodes` episodes each.

        No search has met these policies and episodes. With the seed of a run they are
        those of its final evaluation.

        Args:
            policies: number of policies.
            episodes: number of episodes of each.
            seed: of the policies and episodes; None for new ones at every call.

        Returns:
            `measures.describe` of the returns, and what was measured, `seed` included.
        """
        seed = drawn(seed)
        policy_keys = keys.policy_keys(keys.evaluation(seed), policies)
        genomes = jax.tree.map(lambda x: x[None], self.genome)
        outcome = self.engine.evaluate(
            genomes, self.answer.task, policy_keys, episodes=episodes
        )
        return {
            "env": self.config.names["env"],
            **measures.describe(outcome.returns[0]),
            "episode_length_mean": float(np.mean(outcome.lengths)),
            "policies": policies,
            "episodes": episodes,
            "seed": seed,
        }

    def arrays(self) -> dict[str, Any]:
        """Return the arrays of its genome file by name."""
        return {
            **self.parts.encoding.constants,
            **genome_file.to_arrays(self.genome),
            **self.parts.task.constants(self.answer.task),
        }

    def meta(self) -> Mapping[str, Any]:
        """Return what a genome file says of how to decode its arrays."""
        described = self.config.to_dict()
        parts = ("env", "encoding", "policy", "normalization")
        meta = {part: described[part] for part in parts}
        if self.parts.spec is not None:
            meta["spec"] = genome_file.from_spec(self.parts.spec)
        return meta

    def save(self, path: str | Path) -> None:
        """Write a genome file that `neuroevo.load` and ``neuroevo evaluate`` read."""
        genome_file.save(Path(path), self.arrays(), self.meta())
