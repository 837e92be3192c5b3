"""Parts that cost nothing to compile, for tests of everything around them."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from neuroevo.spaces import Box, Spec
from neuroevo.types import Encoding, Environment

CARTPOLE = {  # a run that takes seconds, nearly all of them to compile
    "env": {"name": "CartPole-v1", "max_steps_in_episode": 10},
    "encoding": {"name": "dataset", "steps": 1, "optimizer": "sgd"},
    "policy": {"name": "mlp", "hidden": []},
    "strategy": "SimpleES",
    "population": 4,
    "generations": 2,
    "policies": 1,
    "episodes": 1,
    "center_policies": 1,
    "final_policies": 1,
    "final_episodes": 1,
    "devices": 1,
}


def walk(noise: float = 0.1, limit: int = 20) -> Environment:
    """A point that is to stay near the origin; the episode ends when it is lost."""

    def reset(key):
        position = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        return position, position

    def step(key, state, action):
        position = state + 0.5 * action + noise * jax.random.normal(key, (2,))
        distance = jnp.linalg.norm(position)
        return position, position, 1.0 - distance, distance > 3.0

    return Environment(Spec((2,), Box((2,))), reset, step, limit)


@dataclasses.dataclass(frozen=True)
class Walk:
    """The walk, as a plug-in."""

    limit: int = 20
    """Time limit in steps."""

    def build(self) -> Environment:
        return walk(limit=self.limit)


@dataclasses.dataclass(frozen=True)
class SlowWalk(Walk):
    """The walk as if it were a physics engine: each generation takes several calls."""

    slow: ClassVar[bool] = True


def offset(policy, spec):
    """An encoding: a few numbers that shift a fresh policy's parameters."""

    def init(key):
        return {"shift": jnp.zeros(4)}

    def decode(genome, key):
        params = policy.init(key)
        scale = genome["shift"].sum()
        return optax.tree.add_scale(params, scale, params)

    return Encoding(init, decode)
