"""Every registered part goes through one tiny run, by its name."""

import itertools

import jax
import numpy as np
import pytest
import toy

import neuroevo
from neuroevo.config import resolve
from neuroevo.config.custom import parts_in
from neuroevo.config.layers import Layer
from neuroevo.config.schema import PARTS
from neuroevo.core import keys
from neuroevo.environments.gymnax import suite as gymnax
from neuroevo.run import loop
from neuroevo.run.run import Counters, Run

TINY = {
    "policy": {"name": "mlp", "hidden": [4], "kernel_init": "lecun"},
    "encoding": {"name": "dataset", "size": 8, "steps": 2},
    "strategy": "SNES",
    "population": 8,
    "generations": 2,
    "policies": 1,
    "episodes": 1,
    "center_every": 1,
    "center_policies": 1,
    "final_policies": 0,  # compiles no second program
    "devices": 1,
}
# Compiling takes seconds for each. The others run on their own in the tests of
# strategies, and are traced in those of tasks.
RUN = {"CMA_ES", "Pendulum-v1", "running", ("dataset", "cnn")}


def each_of(names):
    return [
        pytest.param(name, marks=[] if name in RUN else pytest.mark.slow)
        for name in names
    ]


def check(**changes):
    reports = []
    run = neuroevo.evolve(**(TINY | changes), callback=reports.append)
    assert [report["generation"] for report in reports] == [1, 2]
    assert all(np.isfinite(report["fitness_mean"]) for report in reports)
    assert all(np.isfinite(report["center_return"]) for report in reports)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.genome))


def trace(**changes):
    """Check the types of a run's program, which is the most that can go wrong in it."""
    custom, options = parts_in(TINY | changes)
    resolved = resolve.resolve([Layer("test", options)], custom=custom)
    run = Run(resolved)
    state = jax.eval_shape(run.engine.init, keys.search(0))
    limits = loop.call_limits(run.config.settings, Counters(), 2)
    after, _, log = jax.eval_shape(run.engine.advance, state, limits)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert jax.tree.leaves(after) == jax.tree.leaves(state)
    assert log.fitness_mean.shape == log.center_return.shape


def with_strategy(name):
    population = 9 if name == "GESMR_GA" else 8
    options = {"encoding": toy.offset, "env": toy.walk(limit=3)}
    return options | {"strategy": name, "population": population}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS["strategy"].names())
def test_strategies_trace(name):
    trace(**with_strategy(name))


@pytest.mark.parametrize("name", each_of(PARTS["strategy"].names()))
def test_strategies(name):
    check(**with_strategy(name))


@pytest.mark.parametrize(
    ("encoding", "policy"),
    [
        pytest.param(*both, marks=[] if both in RUN else pytest.mark.slow)
        for both in itertools.product(
            PARTS["encoding"].names(), PARTS["policy"].names()
        )
    ],
)
def test_encodings_and_policies(encoding, policy):
    env = {"name": "Catch-bsuite" if policy != "cnn" else "Breakout-MinAtar"}
    options = {"dataset": {"size": 3, "steps": 2}}.get(encoding, {})
    check(
        env=env | {"max_steps_in_episode": 3},
        encoding={"name": encoding} | options,
        policy=policy,
    )


@pytest.mark.parametrize("name", each_of(gymnax.names()))
def test_gymnax_tasks(name):
    check(env={"name": name, "max_steps_in_episode": 3}, encoding="direct")


@pytest.mark.parametrize("name", each_of(PARTS["normalization"].names()))
def test_normalizations(name):
    check(env=toy.walk(limit=3), encoding=toy.offset, normalization=name)
