"""Run directories: configuration, metrics, checkpoints and results of a run on disk."""

import contextlib
import errno
import fcntl
import hashlib
import importlib.metadata
import io
import json
import logging
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

import neuroevo
from neuroevo.config.schema import group_of
from neuroevo.config.yaml import read_yaml
from neuroevo.core import keys
from neuroevo.errors import UserError, first_line, kind_of
from neuroevo.store import genome_file
from neuroevo.store.files import atomic_write, flatten, jsonable, to_json

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
ENVIRONMENT = "environment.json"
CENTER = "genome.npz"
BEST = "best.npz"
CHUNKS = ("chunk", "decode_chunk")  # options in `CONFIG`
START = "start.npz"
SUMMARY = "summary.json"
LOGGERS = "loggers.json"
LOCK = ".lock"
VERSION = 1  # of what a checkpoint holds

# What a run that was killed before it had a configuration leaves behind.
_LEFTOVERS = {LOCK, START, *(f".{name}.tmp" for name in (START, CONFIG))}

# Errors that say nothing of what a checkpoint holds.
_MAY_PASS = {
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE),
    *(errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT),
}


def default_path(names: Mapping[str, str], seed: int) -> Path:
    """Return the first free ``runs/<env>-<encoding>-<strategy>-s<seed>[-k]``."""
    parts = [names[part].rpartition(":")[2] for part in ("env", "encoding", "strategy")]
    stem = Path("runs") / "-".join([*parts, f"s{seed}"])
    path, k = stem, 2
    while kind_of(path, "a place for the run"):
        path, k = stem.with_name(f"{stem.name}-{k}"), k + 1
    return path


def check_new(path: Path) -> None:
    """Raise a `UserError` unless a run can be written to `path`.

    It may hold what is left of a process that was killed before the run began.
    """
    expected = "a new or an empty directory as --run-dir"
    found = kind_of(path, expected)
    if found == "a directory" and not os.access(path, os.R_OK | os.X_OK):
        raise UserError(f"--run-dir {path}: no permission to look into it")
    if is_run(path):
        raise UserError(
            f"--run-dir {path}: holds a run already; expected a new directory (to "
            f"continue that run: neuroevo resume {shlex.quote(str(path))})"
        )
    if found:
        is_folder = found == "a directory"
        names = {file.name for file in path.iterdir()} if is_folder else {None}
        if names and not {LOCK} <= names <= _LEFTOVERS:
            raise UserError(f"--run-dir {path}: expected a new or an empty directory")
    parents = [path, *path.absolute().parents]
    existing = next(parent for parent in parents if kind_of(parent, expected))
    if not existing.is_dir():
        raise UserError(f"--run-dir {path}: {existing} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--run-dir {path}: no permission to write in {existing}")


def is_run(path: Path) -> bool:
    """Return whether `path` is a run directory."""
    return kind_of(path / CONFIG, "a run") == "a file"


def read_config(path: Path) -> Mapping[str, Any]:
    """Return the configuration that a run was started with."""
    if not is_run(path):
        raise UserError(
            f"{path}: not a run; expected a directory that neuroevo train made"
        )
    return read_yaml(path / CONFIG)


def read_genome(path: Path) -> genome_file.GenomeFile:
    """Return the content of a genome file, or of the best one of a run directory."""
    expected = "a run directory or a genome"
    if kind_of(path, expected) == "a directory":
        if not is_run(path):
            raise UserError(f"{path}: not a run; expected {expected}")
        return _with_chunks(path, genome_file.load(path / BEST))
    return genome_file.load(path)


def _with_chunks(path: Path, file: genome_file.GenomeFile) -> genome_file.GenomeFile:
    """Return `file` with the sizes of chunks that the run in `path` has.

    The last digits of an evaluation may depend on them.
    """
    written = read_config(path)
    sizes = {name: written[name] for name in CHUNKS if name in written}
    return file._replace(meta={**file.meta, **sizes})


class RunDirectory:
    """The open directory of a run, which no other process can open meanwhile.

    Its methods raise a `UserError` when the disk is full or cannot be written to.
    """

    def __init__(self, path: Path, checkpoints: Any, *, new: bool = False):
        """Open `path`, making it if need be; `checkpoints` says what to keep.

        Raises:
            UserError: if another process has it open, or if a `new` run is to be
                written to it and cannot be: see `check_new`.
        """
        self.path = path
        self._settings = checkpoints
        with self.writing():
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / LOCK).open("w")
        try:
            # The lock ends with the process, however that ends.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{path}: in use by another neuroevo process; expected a run that is "
                "not running"
            ) from None
        except OSError as error:
            raise UserError(
                f"{path}: {error.strerror}; expected a file system with locks (flock)"
            ) from None
        if new:
            check_new(path)  # another process may have been here since the first check
            for name in _LEFTOVERS - {LOCK}:
                (path / name).unlink(missing_ok=True)
        self._manager = None
        self._saved_at = time.monotonic()
        self._saved_generation = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *error):
        with self._lock:
            if self._manager is None:
                return
            # Waits for a checkpoint that is being written. If the run failed, that it
            # cannot be written either is no news.
            with contextlib.suppress(Exception) if kind else self.writing():
                self._manager.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Tell in one line that something inside could not be written."""
        try:
            yield
        except Exception as error:
            if (number := _os_error(error)) is None:
                raise
            steps = _steps(self.path)
            remedy = steps and (
                f"; its newest checkpoint, of generation {steps[0]}, is safe; to go on "
                f"from there: neuroevo resume {shlex.quote(str(self.path))}"
            )
            raise UserError(
                f"{self.path}: cannot be written: {os.strerror(number)}{remedy or ''}"
            ) from None

    @property
    def checkpoints(self):
        """Return the orbax manager of this run's checkpoints."""
        if self._manager is None:
            import orbax.checkpoint as ocp  # takes half a second
            from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

            def center(metrics):
                return metrics["center"]

            best = keep.BestN(
                get_metric_fn=center, n=1, keep_checkpoints_without_metrics=False
            )
            policies = [keep.LatestN(self._settings.keep), best]
            path = _checkpoints(self.path).absolute()
            # What goes wrong in there we tell ourselves.
            logging.getLogger("absl").addFilter(_not_of_orbax)
            with self.writing():
                path.mkdir(exist_ok=True)
                self._manager = ocp.CheckpointManager(
                    path,
                    options=ocp.CheckpointManagerOptions(
                        preservation_policy=keep.AnyPreservationPolicy(policies),
                        best_fn=center,  # or metrics would not be written down
                        cleanup_tmp_directories=True,
                        create=False,
                        # Of several processes, the first alone has a run directory.
                        multiprocessing_options=ocp.options.MultiprocessingOptions(
                            primary_host=0, active_processes={0}
                        ),
                    ),
                )
        return self._manager

    def write_start(self, start: genome_file.GenomeFile) -> None:
        """Write the genome that the search begins at."""
        with self.writing():
            genome_file.save(self.path / START, start.arrays, start.meta)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved configuration."""
        versioned = {"neuroevo": neuroevo.__version__} | dict(config)
        text = yaml.safe_dump(versioned, sort_keys=False, allow_unicode=True)
        with self.writing():
            atomic_write(self.path / CONFIG, text)

    def write_environment(self, devices: str) -> None:
        """Write versions, devices, git revision and command line."""
        facts = environment() | {"devices": devices}
        with self.writing():
            atomic_write(self.path / ENVIRONMENT, to_json(facts, indent=2) + "\n")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the results at the end of the run."""
        text = to_json(summary, indent=2)
        with self.writing():
            atomic_write(self.path / SUMMARY, text + "\n")

    def append_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append one line for each generation."""
        lines = [to_json(row) + "\n" for row in rows]
        with self.writing():
            if self._manager is not None:
                self._manager.check_for_errors()
            with (self.path / METRICS).open("a") as file:
                file.write("".join(lines))

    def trim_metrics(self, generation: int) -> list[dict[str, Any]]:
        """Drop what was logged after `generation` (or torn), and return the rest."""
        rows, end = [], 0
        for row, row_end in _scan(self.path / METRICS):
            if row["generation"] > generation:
                break
            rows.append(row)
            end = row_end
        with self.writing(), (self.path / METRICS).open("ab") as file:
            file.truncate(end)
        return rows

    def due(self, generation: int) -> bool:
        """Return whether it is time for a checkpoint."""
        every = self._settings.every_generations
        return bool(every and generation % every == 0) or (
            time.monotonic() - self._saved_at >= self._settings.every_seconds
        )

    def save(
        self,
        state: Any,
        progress: Mapping[str, Any],
        described: Mapping[str, Any],
        center_return: float,
    ) -> None:
        """Write a checkpoint of the engine's state and the host's counters.

        `described` is the configuration, which must be the same to restore it. Besides
        the latest checkpoints, the one with the best `center_return` is kept. They are
        written while the run goes on; what goes wrong is told later.
        """
        import orbax.checkpoint as ocp

        generation = int(state.generation)
        self._saved_at = time.monotonic()
        if generation == self._saved_generation:
            return
        self._saved_generation = generation
        state = _to_host(state)
        facts = {
            "version": VERSION,
            "config": jsonable(described),
            "progress": dict(progress),
            "digest": _digest(jax.tree.leaves(state)),
        }
        with self.writing():
            # Were the machine lost, metrics must not lack what the checkpoint has.
            with (self.path / METRICS).open("a") as file:
                os.fsync(file.fileno())
            self.checkpoints.save(
                generation,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    progress=ocp.args.JsonSave(facts),
                ),
                metrics={"center": float(np.fmax(center_return, -1e300))},
                force=True,
            )

    def save_genomes(self, center: Any, best: Any) -> None:
        """Write genome files of two solutions, once a checkpoint has been written.

        A run that has them and no checkpoint has lost it.
        """
        with self.writing():
            if not (self.path / CENTER).exists():
                self.checkpoints.wait_until_finished()
            center.save(self.path / CENTER)
            best.save(self.path / BEST)

    def restore(self, like: Any, described: Mapping[str, Any]) -> list[Any] | None:
        """Return the newest checkpoint that can be read, or None if none was written.

        These are the leaves of the state, the host's counters and, a list of texts,
        what the user should know. `like` has the structure, shapes and types of the
        state, which `from_host` makes of the leaves; `described` is the configuration.
        Newer checkpoints, which cannot be read, are moved aside.

        Raises:
            UserError: if there are checkpoints and none can be read, or they are of
                another configuration or a newer neuroevo, or they are gone.
        """
        steps, damaged = _steps(self.path), {}
        manager, template = self.checkpoints, _to_host(like)
        for step in steps:
            try:
                leaves, progress = self._read(manager, step, template, described)
            except (UserError, MemoryError):
                raise
            except Exception as error:  # damage shows in many ways
                if _os_error(error) in _MAY_PASS:
                    raise UserError(
                        f"{self.path}: its checkpoint {step} cannot be read: "
                        f"{first_line(error)}"
                    ) from None
                damaged[step] = first_line(error)
                continue
            self._saved_generation = step
            with self.writing():
                self._move_aside(damaged)
            notes = [
                f"checkpoint {number} cannot be read ({reason}): moved aside, "
                "continuing from the one before"
                for number, reason in damaged.items()
            ]
            return [leaves, progress, notes]
        if steps:
            raise UserError(
                f"{self.path}: none of its {len(steps)} checkpoints can be read; "
                f"expected at least one ({steps[0]}: {damaged[steps[0]]})"
            )
        if (self.path / CENTER).exists():
            raise UserError(
                f"{self.path}: its checkpoints are gone; expected them in "
                f"{_checkpoints(self.path)} (to start again from generation 0, in a "
                f"new directory: neuroevo train --config {self.path / CONFIG})"
            )
        return None

    def _read(
        self, manager: Any, step: int, template: Any, described: Mapping[str, Any]
    ) -> tuple[list[np.ndarray], dict[str, Any]]:
        """Return the leaves and the counters of a checkpoint; raise if it is damaged.

        Raises:
            UserError: if it is not of this configuration, or of a newer neuroevo.
        """
        import orbax.checkpoint as ocp

        def read(**what):
            return manager.restore(step, args=ocp.args.Composite(**what))

        facts = read(progress=ocp.args.JsonRestore()).progress
        if facts["version"] > VERSION:
            raise UserError(
                f"{self.path}: its checkpoints are of version {facts['version']}; this "
                f"neuroevo reads up to {VERSION}: upgrade it"
            )
        self._check_config(facts["config"], jsonable(described))
        leaves = jax.tree.leaves(read(state=ocp.args.StandardRestore(template)).state)
        leaves = [np.asarray(leaf) for leaf in leaves]
        if _digest(leaves) != facts["digest"]:
            raise ValueError("it is not what was written")
        return leaves, facts["progress"]

    def _check_config(self, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Raise a `UserError` if a generation would not be computed as it was."""
        was, now = dict(flatten(was)), dict(flatten(now))
        for key in sorted(was.keys() | now.keys()):
            if group_of(key) == "search" and was.get(key) != now.get(key):
                raise UserError(
                    f"{self.path}: {key} is {now.get(key)!r:.60} and was "
                    f"{was.get(key)!r:.60} in its checkpoint; expected what the run "
                    "was started with"
                )

    def _move_aside(self, steps: Iterable[int]) -> None:
        """Rename checkpoints so that they no longer count, and nothing is lost."""
        for step in steps:
            folder = _checkpoints(self.path) / str(step)
            aside, k = folder.with_name(f"{step}.damaged"), 2
            while aside.exists():
                aside, k = folder.with_name(f"{step}.damaged-{k}"), k + 1
            folder.rename(aside)
        if steps:
            self.checkpoints.reload()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's metrics; a torn line is none."""
    return [row for row, _ in _scan(path / METRICS)]


def _scan(file: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the rows of a file of metrics, each with the offset where it ends."""
    end = 0
    with file.open("rb") if file.exists() else io.BytesIO() as lines:
        for line in lines:
            end += len(line)
            try:
                row = json.loads(line)
                whole = line.endswith(b"\n") and isinstance(row["generation"], int)
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if whole:
                yield row, end


def _checkpoints(path: Path) -> Path:
    return path / "checkpoints"


def _steps(path: Path) -> list[int]:
    """Return the generations of a run's checkpoints, the newest first."""
    folder = _checkpoints(path)
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    return sorted((int(name) for name in names if _STEP.fullmatch(name)), reverse=True)


_STEP = re.compile(r"0|[1-9][0-9]*")


def _not_of_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in Path(record.pathname).parts


def _os_error(error: BaseException) -> int | None:
    """Return the number of the system's error that `error` tells of, if any."""
    if isinstance(error, OSError):
        return error.errno
    # This is how the library that writes arrays tells of one.
    found = re.search(r"\[os_error_code='(\d+)'\]", str(error))
    return int(found[1]) if found else None


def _digest(leaves: Iterable[np.ndarray]) -> str:
    """Return a digest of the types, shapes and bits of arrays."""
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(f"{leaf.dtype.str} {leaf.shape};".encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()


def write_loggers(path: Path, known: Mapping[str, Any]) -> None:
    """Write what the loggers of a run have to know of its sessions before."""
    atomic_write(path / LOGGERS, to_json(known, indent=2) + "\n")


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in one of a run's files, or nothing if it is not there yet.

    Raises:
        UserError: if that is no JSON object.
    """
    try:
        found = json.loads(file.read_bytes()) if file.exists() else {}
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not a readable JSON file: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{file}: expected a JSON object")
    return found


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
        "random": dict(keys.SETTINGS),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_revision": git.stdout.strip() or None,
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


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
