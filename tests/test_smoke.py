"""Every registered part goes through one tiny run, by its name."""

import jax
import numpy as np
import pytest
import toy

import neuroevo
from neuroevo import config
from neuroevo.tasks import gymnax

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
    "final_seeds": 0,  # compiles no second program
    "devices": 1,
}
SLOW_TO_COMPILE = {
    "Asterix-MinAtar",
    "FrozenLake-misc",
    "Pong-misc",
    "Seaquest-MinAtar",
    "SpaceInvaders-MinAtar",
}


GYMNAX = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW_TO_COMPILE else [])
    for name in gymnax.names()
]


def check(**changes):
    reports = []
    run = neuroevo.evolve(**(TINY | changes), callback=reports.append)
    assert [report["generation"] for report in reports] == [1, 2]
    assert all(np.isfinite(report["fitness_mean"]) for report in reports)
    assert all(np.isfinite(report["center_return"]) for report in reports)
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


@pytest.mark.parametrize("name", GYMNAX)
def test_gymnax_tasks(name):
    check(env={"name": name, "max_steps_in_episode": 3}, encoding="direct")


@pytest.mark.parametrize("name", config.PARTS["normalization"].names())
def test_normalizations(name):
    check(env=toy.walk(limit=3), normalization=name)
