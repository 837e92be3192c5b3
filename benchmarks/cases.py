"""What is measured: a table of cases, in the order in which they run.

The first contender of a case is what the others are compared with.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from neuroevo.spaces import Box, Spec
from neuroevo.types import Environment


@dataclasses.dataclass(frozen=True)
class Contender:
    """One side of a comparison."""

    label: str
    kind: str  # name of a function in `contenders`
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    generations: int = 1  # in one repetition
    bound: bool = False  # not the same work: what the machine or environment can do


@dataclasses.dataclass(frozen=True)
class Compare:
    """Contenders that take turns in one process."""

    name: str
    section: str
    about: str
    options: Mapping[str, Any]  # as for `neuroevo.evolve`
    contenders: tuple[Contender, ...]
    gpu: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # on top of them
    seconds: float = 30.0  # after which no further round begins
    rounds: tuple[int, int] = (2, 9)  # at least and at most
    decode_only: bool = False  # in the environment `Still`


@dataclasses.dataclass(frozen=True)
class Memory:
    """The peak memory of each contender of a comparison, in a process of its own."""

    name: str
    section: str
    about: str
    of: str


@dataclasses.dataclass(frozen=True)
class Start:
    """The time from a command's start to its first generation."""

    name: str
    section: str
    about: str
    arguments: tuple[str, ...]
    rounds: int = 2


@dataclasses.dataclass(frozen=True)
class Still:
    """hopper's spaces with episodes of one step: of a generation the decode is left."""

    observation: tuple[int, ...] = (11,)
    actions: tuple[int, ...] = (3,)
    name = "still"

    def build(self) -> Environment:
        """Return the environment."""

        def reset(key):
            return jnp.zeros(()), jnp.zeros(self.observation)

        def step(key, state, action):
            return state, jnp.zeros(self.observation), action.sum(), jnp.array(True)

        return Environment(Spec(self.observation, Box(self.actions)), reset, step, 1)


# Held-out evaluations of the center, which the others do not make, are kept away but
# for one policy in the first generation. All compile anew.
COMMON = {"center_every": 10**6, "center_policies": 1, "compilation_cache": None}

HADES = {  # the preset hades-brax, smaller
    "preset": "hades-brax",
    "encoding.size": 4,
    "encoding.steps": 200,
    "population": 16,
}
HOPPER_FULL = HADES | {"env.terminate_when_unhealthy": False}
BREAKOUT = {  # the preset hades-minatar, smaller
    "preset": "hades-minatar",
    "normalization": "none",
    "population": 16,
    "episodes": 4,
}
CNN = {"name": "cnn", "channels": [16], "hidden": [128]}
STEP = {"std": 0.1, "optimizer": "adam", "learning_rate": 0.02}
FULL_RANK = {"strategy": {"name": "Open_ES", **STEP}}
DIRECT = {
    "encoding": "direct",
    "policy.hidden": [64, 64],
    **FULL_RANK,
    "policies": 1,
}
LOW_RANK = DIRECT | {
    "env": "CartPole-v1",
    "policy.hidden": [960, 960],
    "strategy": {"name": "EGGROLL", **STEP},
    "population": 256,
    "episodes": 1,
}
DIRECT_BRAX = DIRECT | {
    "normalization": "running",
    "population": 64,
    "episodes": 1,
}
MANY = {"population": 4096}


def against(*others: str, generations: int = 10, their_generations: int = 1):
    """Return neuroevo and `others`.

    These always play all steps, and one of their generations takes as long as another;
    neuroevo's depend on how long episodes last.
    """
    kinds = {"plain": "plain_formulation"}
    ours = Contender("neuroevo", "neuroevo", generations=generations)
    theirs = (
        Contender(label, kinds.get(label, label), generations=their_generations)
        for label in others
    )
    return (ours, *theirs)


def stepping(name: str, about: str, options: Mapping[str, Any]) -> Compare:
    """Return a comparison of rollouts with the bare steps of their environment."""
    contenders = (
        Contender("neuroevo", "neuroevo"),
        Contender("constant actions", "constant_actions", bound=True),
    )
    return Compare(
        f"rollout-{name}", PARTS, about, options, contenders, MANY, seconds=15
    )


GENERATIONS = "Generations"
PARTS = "Parts of a generation alone"
SCALING = "Scaling"
START = "From the command to the first generation"
MEMORY = "Memory"

MACHINE = (
    Contender("matrix products", "matmul", bound=True),
    Contender("triad", "triad", bound=True),
)

CASES = (
    Compare(
        "hades-hopper-4",
        GENERATIONS,
        "HaDES, hopper, 4 pairs, 16 candidates x 2 seeds x 4 episodes, networks 2x512",
        HADES,
        against("plain"),
    ),
    Compare(
        "direct-cartpole",
        GENERATIONS,
        "weights 64x64 of CartPole, 256 candidates x 16 episodes",
        DIRECT | {"env": "CartPole-v1", "population": 256, "episodes": 16},
        against("plain", "evosax", "evojax", their_generations=2),
        gpu=MANY,
    ),
    Compare(
        "hades-hopper-64",
        GENERATIONS,
        "the same as hades-hopper-4 with 64 pairs",
        HADES | {"encoding.size": 64},
        against("plain"),
    ),
    Compare(
        "hades-hopper-full",
        GENERATIONS,
        "the same as hades-hopper-4, every episode lasting 1000 steps",
        HOPPER_FULL,
        against("plain", generations=1),
    ),
    Compare(
        "hades-hopper-population",
        GENERATIONS,
        "the same as hades-hopper-4 with 64 candidates (2048 on a GPU)",
        HADES | {"population": 64},
        against("plain", generations=3),
        gpu={"population": 2048},
    ),
    Compare(
        "hades-breakout-mlp",
        GENERATIONS,
        "HaDES, Breakout, 16 pairs, 16 candidates (2048 on a GPU) x 2 seeds x "
        "4 episodes, 2x512 relu",
        BREAKOUT,
        against("plain", their_generations=2),
        gpu={"population": 2048},
    ),
    Compare(
        "hades-breakout-cnn",
        GENERATIONS,
        "the same with a CNN: 16 filters and 128 units",
        BREAKOUT | {"policy": CNN},
        against("plain", their_generations=2),
        gpu={"population": 2048},
    ),
    Compare(
        "hades-cartpole",
        GENERATIONS,
        "defaults: two pairs for CartPole, 64 candidates x 4 seeds x 2 episodes",
        {},
        against("plain", their_generations=5),
    ),
    Compare(
        "direct-hopper",
        GENERATIONS,
        "weights 64x64 of hopper, 64 candidates (4096 on a GPU) x 1 episode",
        DIRECT_BRAX | {"env": "hopper"},
        against("plain", "evosax"),
        gpu=MANY,
    ),
    Compare(
        "direct-ant",
        GENERATIONS,
        "the same for ant",
        DIRECT_BRAX | {"env": "ant"},
        against("plain", "evosax", generations=3),
        gpu=MANY,
    ),
    Compare(
        "low-rank",
        GENERATIONS,
        "929 k weights 960x960 of CartPole, 256 candidates x 1 episode",
        LOW_RANK,
        (
            Contender("EGGROLL", "neuroevo", generations=3),
            Contender("Open_ES", "neuroevo", FULL_RANK),
            Contender("evosax", "evosax", FULL_RANK),
        ),
        rounds=(1, 2),
    ),
    Compare(
        "low-rank-inference",
        PARTS,
        "networks 2x512 for CartPole: 1024 candidates of rank 1, 4 observations each",
        LOW_RANK | {"policy.hidden": [512, 512], "population": 1024, "episodes": 4},
        (
            Contender("candidates", "near_inference"),
            Contender("one network", "inference", bound=True),
        ),
        rounds=(20, 40),
    ),
    *(
        Compare(
            f"decode-{size}",
            PARTS,
            f"the decode of hades-hopper-{size}: 32 networks (4096 on a GPU), "
            "200 Adam steps",
            HADES | {"encoding.size": size},
            (*against("plain", generations=4), *MACHINE),
            gpu={"population": 2048},
            decode_only=True,
        )
        for size in (4, 64)
    ),
    stepping(
        "cartpole",
        "CartPole without bounds, 256 policies 64x64 x 16 episodes of 500 steps",
        DIRECT
        | {
            "env": {
                "name": "CartPole-v1",
                "x_threshold": 1e9,
                "theta_threshold_radians": 1e9,
            },
            "population": 256,
            "episodes": 16,
        },
    ),
    stepping(
        "hopper",
        "hopper that cannot fall, 64 policies 64x64 x 1 episode of 1000 steps",
        DIRECT_BRAX | {"env": {"name": "hopper", "terminate_when_unhealthy": False}},
    ),
    stepping(
        "breakout",
        "Breakout, 256 policies 64x64 x 4 episodes, counted up to their ends",
        DIRECT | {"env": "Breakout-MinAtar", "population": 256, "episodes": 4},
    ),
    Compare(
        "scaling-devices",
        SCALING,
        "hades-hopper-4 with episodes of 100 steps on one device and on two",
        HOPPER_FULL | {"env.episode_length": 100},
        tuple(Contender(f"devices {n}", "neuroevo", {"devices": n}, 3) for n in (1, 2)),
    ),
    Compare(
        "scaling-population",
        SCALING,
        "hades-cartpole with more candidates",
        {},
        tuple(
            Contender(f"population {n}", "neuroevo", {"population": n}, 10)
            for n in (64, 256, 1024)
        ),
    ),
    Start("start-cartpole", START, "`neuroevo train`", ("--env", "CartPole-v1")),
    Start(
        "start-hopper",
        START,
        "`neuroevo train --env hopper --encoding.size 4`",
        ("--env", "hopper", "--encoding.size", "4"),
        rounds=1,
    ),
    Memory(
        "memory-hopper",
        MEMORY,
        "hades-hopper-4, building and compiling included",
        "hades-hopper-4",
    ),
    Memory(
        "memory-cartpole",
        MEMORY,
        "direct-cartpole, building and compiling included",
        "direct-cartpole",
    ),
    Memory(
        "memory-low-rank",
        MEMORY,
        "low-rank, building and compiling included",
        "low-rank",
    ),
)
