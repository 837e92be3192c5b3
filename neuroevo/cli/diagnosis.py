"""The checks of ``neuroevo doctor``: versions, devices, folders and a short run."""

import importlib.metadata
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import neuroevo
from neuroevo import api, devices
from neuroevo.config.schema import PARTS
from neuroevo.registry import Registry
from neuroevo.run import compilation
from neuroevo.store import genome_file
from neuroevo.store.directory import BEST
from neuroevo.store.metrics import read_metrics
from neuroevo.store.provenance import environment, version

EXTRAS = (
    *("tensorboard", "wandb", "mlflow", "pyarrow", "submitit"),
    *("playground", "pgx", "xminigrid", "craftax", "jumanji"),
)
_SETTINGS: dict[str, Any] = {
    "env": {"name": "CartPole-v1", "max_steps_in_episode": 20},
    "encoding": "direct",
    "policy": {"name": "mlp", "hidden": [8]},
    "strategy": "SNES",
    "population": 8,
    "generations": 2,
    "episodes": 1,
    "center_every": 1,
    "center_policies": 1,
    "final_policies": 0,
}


def examine() -> dict[str, Any]:
    """Return what a bug report should say about this machine, as plain data."""
    devices.configure(None)
    compilation.use_cache("auto")
    devices.start()
    found = devices.select(None)
    facts = environment()
    cache = compilation.cache_in_use()
    return {
        "neuroevo": neuroevo.__version__,
        "from": str(Path(neuroevo.__file__).parent),
        "python": facts["python"],
        "platform": facts["platform"],
        "devices": devices.label(found),
        "free_memory_bytes": devices.memory(found)[1],
        "versions": facts["versions"],
        "extras": {name: version(name) for name in EXTRAS},
        "plugins": {registry.kind: _foreign(registry) for registry in PARTS.values()},
        "cache": cache,
        "cache_bytes": _size(Path(cache)) if cache else 0,
    }


def self_test() -> dict[str, Any]:
    """Evolve for a few seconds in a temporary folder; raise an error if that fails.

    Returns:
        The `seconds` that the run took, and how many of them were `compile_seconds`.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="neuroevo-doctor-") as folder:
        path = Path(folder) / "run"
        run = api.evolve(run_dir=path, **_SETTINGS)
        rows = read_metrics(path)
        file = genome_file.load(path / BEST)
        genome = genome_file.to_arrays(run.genome)
    if [row["generation"] for row in rows] != [1, 2]:
        raise RuntimeError(f"expected the metrics of two generations, got {rows}")
    if not all(1 <= row["center_return"] <= 20 for row in rows):
        raise RuntimeError(f"expected returns from 1 to 20, got {rows}")
    for name, array in genome.items():
        np.testing.assert_array_equal(file.arrays[name], array)
    return {
        "seconds": time.monotonic() - began,
        "compile_seconds": run.summary["compile_seconds"],
    }


def _foreign(registry: Registry) -> list[str]:
    """Return the entry points of a registry that other packages provide."""
    points = importlib.metadata.entry_points(group=registry.group)
    return [p.name for p in points if p.dist and p.dist.name != "neuroevo"]


def _size(folder: Path) -> int:
    """Return the bytes of the files in `folder`."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
