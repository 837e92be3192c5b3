"""A genome together with what it takes to decode, evaluate and save it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from neuroevo import returns as measures
from neuroevo.config.resolve import Config
from neuroevo.core import engine
from neuroevo.run.parts import Parts
from neuroevo.store import genome_file
from neuroevo.types import Trajectory


@dataclasses.dataclass(frozen=True)
class Solution:
    """What a run found, or a genome file holds.

    Attributes:
        config: names and options of the parts.
        parts: environment, task, policy and encoding, built.
        answer: the genome, and the observation statistics it goes with.
        key: root of the randomness of its evaluations.
    """

    config: Config
    parts: Parts
    engine: engine.Engine
    answer: engine.Answer
    key: jax.Array

    @property
    def genome(self) -> Any:
        """The genome: a pytree of arrays."""
        return self.answer.genome

    def decode(self, seed: int = 0) -> Any:
        """Return the parameters of a fresh policy decoded from the genome."""
        start = self.parts.encoding.start(jax.random.key(seed))
        return jax.jit(self.parts.encoding.decode)(self.genome, start)

    def record(self, seed: int = 0, policies: int = 1) -> list[Trajectory]:
        """Return an episode, to be shown, of each of several fresh policies.

        They are those of ``decode(seed)``, ``decode(seed + 1)`` and so on.
        """
        policy, task = self.parts.policy, self.parts.task

        @jax.jit
        def play(params, state, key):
            def act(observation, key):
                return policy.act(policy.apply(params, observation), key)

            return task.record(act, state, key)

        def record(seed):
            key = jax.random.fold_in(self.key, seed)
            return jax.device_get(play(self.decode(seed), self.answer.task, key))

        return [record(seed + i) for i in range(policies)]

    def evaluate(
        self, policies: int = 8, episodes: int = 8, *, seed: int = 0
    ) -> dict[str, Any]:
        """Return what `policies` fresh policies achieve in `episodes` episodes each.

        The keys are none that the search used. For the returns see
        `measures.describe`; the rest says what was measured.
        """
        key = jax.random.fold_in(self.key, seed)
        genomes = jax.tree.map(lambda x: x[None], self.genome)
        outcome = self.engine.evaluate(
            genomes, self.answer.task, key, policies=policies, episodes=episodes
        )
        return {
            "env": self.config.names["env"],
            **measures.describe(outcome.returns[0]),
            "episode_length_mean": float(np.mean(outcome.lengths)),
            "policies": policies,
            "episodes": episodes,
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
