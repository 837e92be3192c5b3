"""Run directories: configuration, metrics, checkpoints and results of a run on disk."""

import fcntl
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

import neuroevo
from neuroevo import config, genome_file
from neuroevo.errors import UserError

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
ENVIRONMENT = "environment.json"
CENTER = "genome.npz"
BEST = "best.npz"
START = "start.npz"
SUMMARY = "summary.json"


def default_path(names: Mapping[str, str], seed: int) -> Path:
    """Return the first free ``runs/<env>-<encoding>-<strategy>-s<seed>[-k]``."""
    parts = [names[part].rpartition(":")[2] for part in ("env", "encoding", "strategy")]
    stem = Path("runs") / "-".join([*parts, f"s{seed}"])
    path, k = stem, 2
    while path.exists():
        path, k = stem.with_name(f"{stem.name}-{k}"), k + 1
    return path


def check_new(path: Path) -> None:
    """Raise a `UserError` unless a run can be written to `path`."""
    if is_run(path):
        raise UserError(
            f"--run-dir {path}: holds a run already; expected a new directory (to "
            f"continue that run: neuroevo resume {path})"
        )
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"--run-dir {path}: expected a new or an empty directory")
    existing = next(p for p in [path, *path.absolute().parents] if p.exists())
    if not existing.is_dir():
        raise UserError(f"--run-dir {path}: {existing} is not a directory")
    if not os.access(existing, os.W_OK):
        raise UserError(f"--run-dir {path}: no permission to write in {existing}")


def is_run(path: Path) -> bool:
    """Return whether `path` is a run directory."""
    return (path / CONFIG).is_file()


def read_config(path: Path) -> Mapping[str, Any]:
    """Return the configuration that a run was started with."""
    if not is_run(path):
        raise UserError(
            f"{path}: not a run; expected a directory that neuroevo train made"
        )
    return config.read_yaml(path / CONFIG)


def read_genome(path: Path) -> genome_file.GenomeFile:
    """Return the content of a genome file, or of the best one of a run directory."""
    if path.is_dir():
        if not is_run(path):
            raise UserError(f"{path}: not a run; expected a run directory or a genome")
        path = path / BEST
    return genome_file.load(path)


class RunDirectory:
    """The open directory of a run, which no other process can open meanwhile."""

    def __init__(self, path: Path, checkpoints: Any):
        """Open `path`, making it if need be; `checkpoints` says what to keep.

        Raises:
            UserError: if another process has it open.
        """
        self.path = path
        self._settings = checkpoints
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / ".lock").open("w")
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            # The lock ends with the process, however that ends.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"{path}: in use by another neuroevo process; expected a run that is "
                "not running"
            ) from None
        self._metrics = (path / METRICS).open("a")
        self._manager = None
        self._saved_at = time.monotonic()
        self._saved_generation = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._manager is not None:
            self._manager.close()  # waits for a checkpoint that is being written
        self._metrics.close()
        self._lock.close()

    @property
    def checkpoints(self):
        """Return the orbax manager of this run's checkpoints."""
        if self._manager is None:
            import orbax.checkpoint as ocp  # takes half a second
            from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

            best = keep.BestN(get_metric_fn=lambda metrics: metrics["center"], n=1)
            policies = [keep.LatestN(self._settings.keep), best]
            path = (self.path / "checkpoints").absolute()
            path.mkdir(exist_ok=True)
            self._manager = ocp.CheckpointManager(
                path,
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=keep.AnyPreservationPolicy(policies),
                    cleanup_tmp_directories=True,
                    create=False,
                    # Of several processes, the first one alone has a run directory.
                    multiprocessing_options=ocp.options.MultiprocessingOptions(
                        primary_host=0, active_processes={0}
                    ),
                ),
            )
        return self._manager

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved configuration."""
        versioned = {"neuroevo": neuroevo.__version__} | dict(config)
        text = yaml.safe_dump(versioned, sort_keys=False, allow_unicode=True)
        _write(self.path / CONFIG, text)

    def write_environment(self, devices: str) -> None:
        """Write versions, devices, git revision and command line."""
        facts = environment() | {"devices": devices}
        _write(self.path / ENVIRONMENT, json.dumps(facts, indent=2) + "\n")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the results at the end of the run."""
        text = json.dumps(jsonable(summary), indent=2, allow_nan=False)
        _write(self.path / SUMMARY, text + "\n")

    def append_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append one line for each generation."""
        for row in rows:
            self._metrics.write(json.dumps(jsonable(row), allow_nan=False) + "\n")
        self._metrics.flush()

    def trim_metrics(self, generation: int) -> list[dict[str, Any]]:
        """Drop what was logged after `generation` (or torn), and return the rest."""
        rows = [
            row for row in read_metrics(self.path) if row["generation"] <= generation
        ]
        self._metrics.close()
        lines = [json.dumps(row) + "\n" for row in rows]
        _write(self.path / METRICS, "".join(lines))
        self._metrics = (self.path / METRICS).open("a")
        return rows

    def due(self, generation: int) -> bool:
        """Return whether it is time for a checkpoint."""
        every = self._settings.every_generations
        return bool(every and generation % every == 0) or (
            time.monotonic() - self._saved_at >= self._settings.every_seconds
        )

    def save(
        self, state: Any, progress: Mapping[str, Any], center_return: float | None
    ) -> None:
        """Write a checkpoint of the engine's state and the host's counters.

        Besides the latest ones, that with the best `center_return` is kept.
        """
        import orbax.checkpoint as ocp

        generation = int(state.generation)
        self._saved_at = time.monotonic()
        if generation == self._saved_generation:
            return
        self._saved_generation = generation
        self.checkpoints.save(
            generation,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(_to_host(state)),
                progress=ocp.args.JsonSave(dict(progress)),
            ),
            metrics={"center": -1e300 if center_return is None else center_return},
            force=True,
        )

    def restore(self, like: Any) -> list[Any] | None:
        """Return state and counters of the newest checkpoint that can be read.

        `like` has the structure, shapes and types of the state, which `from_host` makes
        of the arrays. None if there is no checkpoint at all.

        Raises:
            UserError: if there are checkpoints and none can be read.
        """
        import orbax.checkpoint as ocp

        template = _to_host(like)
        steps = sorted(self.checkpoints.all_steps(), reverse=True)
        for step in steps:
            try:
                restored = self.checkpoints.restore(
                    step,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(template),
                        progress=ocp.args.JsonRestore(),
                    ),
                )
            except Exception:  # a damaged step fails in many ways: try the one before
                continue
            self._saved_generation = step
            for damaged in [s for s in steps if s > step]:
                self.checkpoints.delete(damaged)
            return [jax.tree.leaves(restored.state), restored.progress]
        if steps:
            raise UserError(
                f"{self.path}: none of its {len(steps)} checkpoints can be read with "
                "its config.yaml; expected the configuration that wrote them"
            )
        return None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's metrics, up to the first torn line."""
    rows = []
    file = path / METRICS
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in one of a run's files, or nothing if it is not there yet."""
    return json.loads(file.read_text()) if file.exists() else {}


def environment() -> dict[str, Any]:
    """Return what a run's results may depend on besides its configuration."""
    packages = "neuroevo jax jaxlib numpy flax optax evosax gymnax brax mujoco"
    versions = {}
    for package in [*packages.split(), "orbax-checkpoint"]:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "versions": versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_revision": git.stdout.strip() or None,
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def jsonable(value: Any) -> Any:
    """Return `value` as plain data; what is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | jax.Array):
        return jsonable(np.asarray(value).tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [jsonable(v) for v in value]
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def _to_host(state: Any) -> Any:
    """Return a state as numpy arrays, its PRNG keys as their data."""

    def to_host(leaf):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.asarray(jax.device_get(leaf))

    return jax.tree.map(to_host, state)


def from_host(arrays: Sequence[np.ndarray], like: Any) -> Any:
    """Return a state of the structure and types of `like`, see `restore`."""

    def leaf_from_host(array, like):
        if jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(array, impl=jax.random.key_impl(like))
        return jax.numpy.asarray(array, like.dtype)

    leaves, structure = jax.tree.flatten(like)
    leaves = map(leaf_from_host, arrays, leaves)
    return jax.tree.unflatten(structure, leaves)


def _write(path: Path, text: str) -> None:
    """Write a file in one step: a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
