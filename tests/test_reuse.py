"""A search that differs only in its seed and limits compiles nothing."""

import jax
import numpy as np
import pytest
from compilations import counting_compilations
from toy import CARTPOLE, Walk

import neuroevo
from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.run import reuse
from neuroevo.run.run import Run

VARIANTS = {
    "dataset": {},
    "vary": {"policy": {"name": "mlp", "hidden": [4], "vary_widths": [2, 4]}},
    "EGGROLL": {"encoding": "direct", "strategy": "EGGROLL"},
    "restarts": {"restart_after": 1, "restart_population": "ipop", "generations": 3},
}


@pytest.fixture(autouse=True)
def _nothing_kept():
    reuse.forget()
    yield
    reuse.forget()


def evolve(**options):
    return neuroevo.evolve(**(CARTPOLE | options))


def configured(options, **custom):
    return resolve.resolve([Layer("test", options)], custom=custom or None)


def found(run):
    """Return everything that a run has found, but for the clocks."""
    clocks = {"seconds", "cpu_seconds", "compile_seconds", "compile_cpu_seconds"}
    others = clocks | {"peak_memory_bytes"}
    rows = [
        {key: value for key, value in row.items() if key not in others}
        for row in (*run.metrics, run.summary)
    ]
    return repr(rows), jax.tree.map(np.asarray, run.genome)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_the_results_are_those_of_a_search_alone(variant):
    alone = found(evolve(**variant, seed=1))
    reuse.forget()
    first = evolve(**variant, seed=0)
    second = evolve(**variant, seed=1)
    assert second.config.settings.seed == 1
    assert found(second)[0] == alone[0] != found(first)[0]
    jax.tree.map(np.testing.assert_array_equal, found(second)[1], alone[1])


def test_seeds_and_limits_compile_nothing(tmp_path):
    evolve()
    with counting_compilations() as compiled:
        evolve(seed=1, generations=3, patience=2, run_dir=tmp_path / "run")
    assert not compiled


@pytest.mark.parametrize(
    "other",
    [
        {"population": 6},
        {"env": {"name": "CartPole-v1", "max_steps_in_episode": 11}},
        {"policy": {"name": "mlp", "hidden": [3]}},
        {"strategy": "SNES"},
        {"worst": 0.5, "policies": 2},
        {"chunk": 2},
        {"center_policies": 2},
        {"episode_growth": [5, 2]},
        {"devices": 2},
    ],
    ids=str,
)
def test_another_search_uses_its_own(other):
    options = CARTPOLE | {"center_every": 1}
    first = Run(configured(options))
    second = Run(configured(options | other))
    assert second.engine is not first.engine
    assert Run(configured(options | {"seed": 1})).engine is first.engine


def test_what_may_change_unseen_is_not_kept(tmp_path):
    """A part of somebody else's, a file, and an environment's own processes."""
    file = tmp_path / "statistics.npz"
    named = CARTPOLE | {"normalization": {"name": "constant", "file": str(file)}}
    assert reuse.key_of(configured(named))
    file.touch()
    assert reuse.key_of(configured(named)) is None
    assert reuse.key_of(configured(CARTPOLE, env=Walk())) is None
    named["normalization"]["file"] = "x" * 5000  # too long for a file
    assert reuse.key_of(configured(named))
    assert reuse.key_of(configured(CARTPOLE)) == reuse.key_of(configured(CARTPOLE))


def test_a_start_has_programs_of_its_own(tmp_path):
    evolve(run_dir=tmp_path / "run")
    with counting_compilations() as compiled:
        run = evolve(start=tmp_path / "run", seed=1)
    assert compiled and run.generation == 2


def test_only_the_latest_searches_are_kept():
    engines = [
        Run(configured(CARTPOLE | {"population": n})).engine for n in range(4, 9)
    ]
    again = Run(configured(CARTPOLE | {"population": 8})).engine
    first = Run(configured(CARTPOLE | {"population": 4})).engine
    assert again is engines[-1] and first is not engines[0]
