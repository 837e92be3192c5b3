"""Every registered part goes through one tiny run, by its name."""

import jax
import numpy as np
import pytest
import toy

import neuroevo
from neuroevo import config

TINY = {
    "policy": {"name": "mlp", "hidden": [4], "kernel_init": "lecun"},
    "encoding": {"name": "dataset", "size": 8, "steps": 2},
    "strategy": "SNES",
    "population": 8,
    "generations": 2,
    "seeds": 1,
    "episodes": 1,
    "center_every": 1,
    "center_seeds": 1,
    "final_seeds": 1,
    "final_episodes": 1,
    "devices": 2,
}
SLOW_TO_COMPILE = {"Pong-misc", "Seaquest-MinAtar", "FrozenLake-misc"}


def gymnax_ids():
    for name in config.PARTS["env"]._entry_points["gymnax"].load().names():
        slow = [pytest.mark.slow] if name in SLOW_TO_COMPILE else []
        yield pytest.param(name, marks=slow)


def check(**changes):
    run = neuroevo.evolve(**(TINY | changes))
    assert [row["generation"] for row in run.metrics] == [1, 2]
    assert all(np.isfinite(row["fitness_mean"]) for row in run.metrics)
    assert np.isfinite(run.summary["final_return_mean"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.genome))


@pytest.mark.parametrize("name", config.PARTS["strategy"].names())
def test_strategies(name):
    options = {"encoding": toy.offset, "env": toy.walk(limit=3)}
    if name == "GESMR_GA":
        options["population"] = 9
    check(strategy=name, **options)


@pytest.mark.parametrize("policy", config.PARTS["policy"].names())
@pytest.mark.parametrize("encoding", config.PARTS["encoding"].names())
def test_encodings_and_policies(encoding, policy):
    env = {"name": "Catch-bsuite" if policy != "cnn" else "Breakout-MinAtar"}
    options = {"dataset": {"size": 3, "steps": 2}}.get(encoding, {})
    check(
        env=env | {"max_steps_in_episode": 3},
        encoding={"name": encoding} | options,
        policy=policy,
    )


@pytest.mark.parametrize("name", gymnax_ids())
def test_gymnax_tasks(name):
    check(env={"name": name, "max_steps_in_episode": 3}, encoding="direct")


@pytest.mark.parametrize("name", config.PARTS["normalization"].names())
def test_normalizations(name):
    check(env=toy.walk(limit=3), normalization=name)
