"""A genome together with what it takes to decode, evaluate and save it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from neuroevo import engine, genome_file, runs
from neuroevo.build import Parts
from neuroevo.config import Config


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

    def evaluate(
        self, seeds: int = 8, episodes: int = 8, *, seed: int = 0
    ) -> dict[str, Any]:
        """Return the return of `seeds` fresh policies in `episodes` episodes each.

        The keys are none that the search used. ``return_std`` is over all episodes;
        ``return_per_seed`` holds a mean for each policy.
        """
        key = jax.random.fold_in(self.key, seed)
        outcome = self.engine.evaluate(self.answer, key, seeds=seeds, episodes=episodes)
        returns = np.asarray(outcome.returns, np.float64)
        return {
            "env": self.config.names["env"],
            "return_mean": float(returns.mean()),
            "return_std": float(returns.std()),
            "return_per_seed": returns.mean(axis=1).tolist(),
            "episode_length_mean": float(np.mean(outcome.lengths)),
            "seeds": seeds,
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
        return runs.jsonable({part: described[part] for part in parts})

    def save(self, path: str | Path) -> None:
        """Write a genome file that `neuroevo.load` and ``neuroevo evaluate`` read."""
        genome_file.save(Path(path), self.arrays(), self.meta())
