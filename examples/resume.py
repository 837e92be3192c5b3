"""Stop and resume a run: the result equals that of an uninterrupted run, bit for bit.

python examples/resume.py

On the command line:

    neuroevo train --run-dir runs/stopped --generations 10
    neuroevo resume runs/stopped --generations 20
"""

import tempfile
from pathlib import Path

import numpy as np

import neuroevo

TIMES = {"seconds", "cpu_seconds"}  # metrics that differ between any two runs


def main(half: int = 10, population: int = 64, **options):
    """Train for ``2 * half`` generations, without a stop and with one halfway."""
    options = {
        "env": "CartPole-v1",
        "encoding": "dataset",
        "population": population,
        **options,
    }
    with tempfile.TemporaryDirectory() as folder:
        stopped, whole = Path(folder, "stopped"), Path(folder, "whole")
        neuroevo.evolve(**options, run_dir=stopped, generations=half)
        resumed = neuroevo.evolve(
            **options, run_dir=stopped, generations=2 * half, resume=True
        )
        uninterrupted = neuroevo.evolve(**options, run_dir=whole, generations=2 * half)
        first, second = (_arrays(path / "genome.npz") for path in (stopped, whole))

    same_genome = all(np.array_equal(first[name], second[name]) for name in second)
    same_metrics = _untimed(resumed.metrics) == _untimed(uninterrupted.metrics)
    print(f"{2 * half} generations, with and without a stop after {half}:")
    print("same genome, bit for bit:", same_genome)
    print("same metrics:", same_metrics)
    return same_genome, same_metrics


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files if name != "meta"}


def _untimed(metrics):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in metrics]


if __name__ == "__main__":
    main()
