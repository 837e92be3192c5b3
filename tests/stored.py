"""Tiny runs on disk, and what it means that two of them are the same."""

import shutil
from pathlib import Path

import numpy as np

import neuroevo
from neuroevo.store.metrics import read_metrics, trim_metrics

TINY = {
    "env": {"name": "CartPole-v1", "max_steps_in_episode": 10},
    "policy": {"name": "mlp", "hidden": [4], "kernel_init": "lecun"},
    "population": 6,
    "policies": 1,
    "episodes": 2,
    "center_every": 2,
    "center_policies": 2,
    "final_policies": 0,  # compiles no second program
    "devices": 1,
    "checkpoint": {"every_generations": 1, "keep": 2},
}
WEIGHTS = ("subspace", "cosine", "hypernetwork", "lowrank", "seeds", "mixed")
SEARCHES = {
    "dataset-SNES": {"encoding": {"name": "dataset", "steps": 3}, "strategy": "SNES"},
    "direct-DE": {"encoding": "direct", "strategy": "DifferentialEvolution"},
    "running": {"encoding": "direct", "normalization": "running"},
    **{name: {"encoding": name, "strategy": "SNES"} for name in WEIGHTS},
}


def evolve(path, generations, **options):
    return neuroevo.evolve(
        run_dir=path, generations=generations, **(TINY | SEARCHES["running"] | options)
    )


def rewind(whole: Path, copy: Path, generation: int) -> Path:
    """Copy a run as it was at `generation`, but for its genomes; two checkpoints."""
    shutil.copytree(whole, copy)
    for step in (copy / "checkpoints").iterdir():
        if not generation - 2 < int(step.name) <= generation:
            shutil.rmtree(step)
    trim_metrics(copy, generation)
    return copy


def without_times(rows):
    """Return metrics without what no two runs have in common."""
    times = {"seconds", "cpu_seconds"}
    return [{k: v for k, v in row.items() if k not in times} for row in rows]


def assert_same_run(one: Path, two: Path):
    """Metrics agree except for times; genome files agree bit for bit."""
    first, second = (without_times(read_metrics(path)) for path in (one, two))
    assert first == second
    for name in ("genome.npz", "best.npz"):
        with np.load(one / name) as a, np.load(two / name) as b:
            assert a.files == b.files
            for array in a.files:
                np.testing.assert_array_equal(a[array], b[array])
