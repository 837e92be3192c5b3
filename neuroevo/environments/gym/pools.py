"""Environments of EnvPool, a C++ implementation of many of Gymnasium's.

A pool is a vector environment whose seeds are given when it is made. Hence all episodes
that begin together get a new pool, which takes about a hundredth of a second, or up to
three thousandths of a second for each of MuJoCo's environments. It imports no JAX.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroevo.environments.gym.rows import Rows


@dataclasses.dataclass(frozen=True)
class MakePool:
    """What a pool is made of, besides its seeds."""

    name: str
    threads: int
    arguments: Mapping[str, Any]
    render_mode: str | None = None

    def __call__(self, seeds: Sequence[int]) -> Any:
        """Return a pool of environments with these seeds."""
        import envpool

        mode = {} if self.render_mode is None else {"render_mode": self.render_mode}
        return envpool.make(
            self.name,
            env_type="gymnasium",
            num_envs=len(seeds),
            num_threads=min(self.threads, len(seeds)),
            seed=[int(seed) for seed in seeds],
            **self.arguments,
            **mode,
        )


class PoolRows(Rows):
    """Environments in several pools, one for each time that episodes began."""

    def __init__(self, make: MakePool) -> None:
        first = make([0])
        super().__init__(first.single_observation_space, first.single_action_space)
        self._make = make
        self._given = np.dtype(first.single_action_space.dtype)
        self._space = first.single_action_space
        self._pools: dict[int, tuple[Any, int]] = {}  # of each row, and its place there
        self.max_steps = first.spec.config.max_episode_steps

    def sample(self) -> Any:
        """Return an action of the space."""
        self._space.seed(0)
        return self._space.sample()

    def reset(self, rows: list[int], seeds: list[int]) -> memoryview:
        """Begin new episodes with seeds; return the observations."""
        pool = self._make(seeds)
        self._pools.update({row: (pool, i) for i, row in enumerate(rows)})
        batch, info = pool.reset()
        found = self.new(len(rows))
        for i, observation in zip(info["env_id"], batch, strict=True):
            found[i] = self.observe(observation)
        return found.data

    def step(
        self, rows: list[int], actions: np.ndarray, results: np.ndarray
    ) -> memoryview:
        """Take a step of each; fill in `results`, and return the observations."""
        found = self.new(len(rows))
        parts: dict[int, tuple[Any, list[int], list[int]]] = {}
        for i, row in enumerate(rows):
            pool, place = self._pools[row]
            _, places, numbers = parts.setdefault(id(pool), (pool, [], []))
            places.append(place)
            numbers.append(i)
        for pool, places, numbers in parts.values():
            batch, rewards, terminated, truncated, info = pool.step(
                actions[numbers].astype(self._given), np.array(places, np.int32)
            )
            where = dict(zip(places, numbers, strict=True))
            order = [where[place] for place in info["env_id"].tolist()]
            found[order] = self.observe.batch(batch)
            results["reward"][order] = rewards
            results["ended"][order] = terminated | truncated
        return found.data

    def render(self, row: int) -> Any:
        """Return a picture of one of them, or None."""
        if self._make.render_mode is None:
            return None
        pool, place = self._pools[row]
        return pool.render(np.array([place]))[0]
