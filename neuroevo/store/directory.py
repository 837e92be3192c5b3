"""Run directories: the configuration, metrics, checkpoints and results of a run."""

import contextlib
import hashlib
import itertools
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import filelock

import neuroevo
from neuroevo.config import recorded
from neuroevo.config.schema import Schedule, Which
from neuroevo.config.yaml import read_yaml, to_yaml
from neuroevo.errors import UserError, first_line
from neuroevo.store import (
    archive_file,
    checkpoints,
    genome_file,
    metrics,
    provenance,
)
from neuroevo.store.archive_file import ArchiveFile
from neuroevo.store.files import atomic_write, kind_of, read_json, write_json

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
CENTER = "genome.npz"
BEST = "best.npz"
ARCHIVE = "archive.npz"
CHUNKS = ("chunk", "decode_chunk")  # options in `CONFIG`
START = "start.npz"
SUMMARY = "summary.json"
LOGGERS = "loggers.json"
LOCK = ".lock"

_GENOMES: dict[Which, str] = {"best": BEST, "center": CENTER}

# Files that a run leaves behind if it is killed before it writes its configuration.
_COPIES = "|".join(name.partition(".")[0] for name in recorded.FILES)
_LEFTOVER = re.compile(rf"start\.npz|({_COPIES})-\w+\.\w+|\.[\w.-]+\.tmp")


def default_path(names: Mapping[str, str], seed: int) -> Path:
    """Return ``runs/<env>-<encoding>-<strategy>-s<seed>``, see `RunDirectory.claim`."""
    parts = [names[part].rpartition(":")[2] for part in ("env", "encoding", "strategy")]
    return Path("runs") / "-".join([*parts, f"s{seed}"])


def check_new(path: Path) -> None:
    """Raise a `UserError` unless a run can be written to `path`.

    The directory may contain leftovers of a process that was killed before its run
    began.
    """
    expected = "a new or an empty directory as --run-dir"
    found = kind_of(path, expected)
    if found == "a directory" and not os.access(path, os.R_OK | os.X_OK):
        raise UserError(f"--run-dir {path}: no permission to read it")
    if is_run(path):
        raise _Taken(
            f"--run-dir {path}: already contains a run; expected a new directory (to "
            f"continue that run: neuroevo resume {shlex.quote(str(path))})"
        )
    if found:
        is_folder = found == "a directory"
        names = {file.name for file in path.iterdir()} if is_folder else {""}
        foreign = [name for name in names - {LOCK} if not _LEFTOVER.fullmatch(name)]
        if names and (foreign or LOCK not in names):
            raise _Taken(f"--run-dir {path}: expected a new or an empty directory")
    parents = [path, *path.absolute().parents]
    existing = next(parent for parent in parents if kind_of(parent, expected))
    if not existing.is_dir():
        raise UserError(f"--run-dir {path}: {existing} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--run-dir {path}: no permission to write in {existing}")


class _Taken(UserError):
    """A new run needs another directory."""


def is_run(path: Path) -> bool:
    """Return whether `path` is a run directory."""
    if kind_of(path, "a run directory") != "a directory":
        return False
    return kind_of(path / CONFIG, "a run") == "a file"


def check_run(path: Path) -> None:
    """Raise a `UserError` unless `path` is a run directory."""
    if not is_run(path):
        raise UserError(
            f"{path}: not a run; expected a directory that neuroevo train made"
        )


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration that a run was started with, as it was written."""
    check_run(path)
    values = read_yaml(path / CONFIG)
    if odd := [key for key in values if not isinstance(key, str)]:
        raise UserError(
            f"{path / CONFIG}: expected option names as keys, got {odd[0]!r}"
        )
    return recorded.translate(values)


def read_summary(path: Path) -> dict[str, Any]:
    """Return the results of a run; empty if damaged, which a resume repairs."""
    try:
        return read_json(path / SUMMARY)
    except UserError:
        return {}


def resume_config(path: Path) -> dict[str, Any]:
    """Return the configuration to resume a run, wherever its directory is now."""
    return recorded.locate(read_config(path), path)


def read_genome(path: Path, which: Which = "best") -> genome_file.GenomeFile:
    """Return the content of a genome file, or of a run's.

    Args:
        path: a genome file or a run directory.
        which: for a run, the center with the best held-out return, or the last center.

    Raises:
        UserError: if there is no genome.
    """
    expected = "a run directory or a genome"
    if kind_of(path, expected) != "a directory":
        return genome_file.load(path)
    if not is_run(path):
        raise UserError(f"{path}: not a run; expected {expected}")
    if kind_of(path / _GENOMES[which], expected) is None:
        raise UserError(
            f"{path}: no genome yet; expected a run that has written a checkpoint"
        )
    file = _with_chunks(path, genome_file.load(path / _GENOMES[which]))
    return file._replace(meta={**file.meta, "which": which})


def read_archive(path: Path) -> ArchiveFile | None:
    """Return the archive of a run; None if it has written none.

    Raises:
        UserError: if it cannot be read.
    """
    check_run(path)
    if kind_of(path / ARCHIVE, "an archive") is None:
        return None
    return archive_file.load(path / ARCHIVE)


def require_archive(path: Path) -> ArchiveFile:
    """Return the archive of a run.

    Raises:
        UserError: if it has none.
    """
    archive = read_archive(path)
    if archive is None:
        raise UserError(
            f"{path}: it has no archive of elites; expected a run with the strategy "
            "MAPElites, after its first checkpoint"
        )
    return archive


def read_elite(path: Path, descriptor: Sequence[float]) -> genome_file.GenomeFile:
    """Return the elite of a run that does nearly what a `descriptor` says.

    Raises:
        UserError: if the run has no archive, or the descriptor does not fit it.
    """
    archive = require_archive(path)
    return _with_chunks(path, archive.elite(archive.nearest(descriptor)))


def _with_chunks(path: Path, file: genome_file.GenomeFile) -> genome_file.GenomeFile:
    """Return `file` with the sizes of chunks of the run in `path`.

    The last digits of an evaluation may depend on them.
    """
    written = read_config(path)
    sizes = {name: written[name] for name in CHUNKS if name in written}
    return file._replace(meta={**file.meta, **sizes})


class Savable(Protocol):
    """An object that can write itself to a genome file."""

    def save(self, path: Path) -> None:
        """Write the file."""


class RunDirectory:
    """The open directory of a run; no other process can open it at the same time.

    Its methods raise a `UserError` if the disk is full or read-only.

    Attributes:
        path: the directory.
    """

    def __init__(self, path: Path, schedule: Schedule, *, new: bool = False):
        """Open the directory `path`, and create it if it does not exist.

        Args:
            path: the directory.
            schedule: when to write checkpoints, and how many to keep.
            new: whether the directory is for a new run.

        Raises:
            UserError: if another process has opened it, or if a `new` run cannot be
                written to it: see `check_new`.
        """
        kind_of(path, "a run directory")  # or it cannot be one
        self.path = path
        self._checkpoints = checkpoints.Checkpoints(path, schedule)
        with self.writing():
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _acquire(path)
        try:
            if new:
                check_new(path)  # another process may have been here meanwhile
                for file in path.iterdir():
                    if _LEFTOVER.fullmatch(file.name):
                        file.unlink(missing_ok=True)
        except BaseException:
            self._lock.release()
            raise

    @classmethod
    def claim(cls, path: Path, schedule: Schedule) -> Self:
        """Open a new directory: `path`, or ``path-2`` and so on if that is taken.

        If several processes ask for the same path at once, each gets its own directory.
        """
        for k in itertools.count(1):
            numbered = path if k == 1 else path.with_name(f"{path.name}-{k}")
            with contextlib.suppress(_Taken):
                check_new(numbered)
                return cls(numbered, schedule, new=True)
        raise AssertionError("there are names without end")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            # Waits for the current checkpoint. After a failure of the run, an error in
            # writing it adds nothing.
            with contextlib.suppress(Exception) if kind else self.writing():
                self._checkpoints.close()
        finally:
            self._lock.release()

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """Report in one line that something in the block could not be written."""
        return checkpoints.writing(self.path)

    def write_start(self, start: genome_file.GenomeFile) -> None:
        """Write the genome that the search starts from."""
        with self.writing():
            genome_file.save(self.path / START, start.arrays, start.meta)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved configuration, and copy the files that it names."""
        versioned = {recorded.VERSION_KEY: neuroevo.__version__} | dict(config)
        with self.writing():
            copied = recorded.with_files(versioned, self._copy)
            atomic_write(self.path / CONFIG, to_yaml(copied))

    def _copy(self, option: str, name: str) -> str:
        """Copy the file `name` of an option into the run; return the copy's name.

        Files with different content get different names, which distinguish the runs. A
        folder stays where it is.
        """
        file = Path(name)
        if file.is_dir():
            return str(file.absolute())
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:8]
        part = option.partition(".")[0]
        copy = self.path / f"{part}-{digest}{file.suffix}"
        if not copy.exists():
            atomic_write(copy, content)
        return copy.name

    def write_environment(self, facts: Mapping[str, Any]) -> None:
        """Write the `provenance` of results, and further `facts` about this session.

        Those about earlier sessions of the run, which it was resumed after, are kept.
        """
        last = read_json(self.path / ENVIRONMENT)
        earlier = [*last.pop("earlier", []), last] if last else []
        now = provenance.environment() | dict(facts)
        self._write_json(ENVIRONMENT, now | {"earlier": earlier})

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the results at the end of the run."""
        self._write_json(SUMMARY, summary)

    def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
        with self.writing():
            write_json(self.path / name, content)

    def append_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append one line for each generation."""
        with self.writing():
            self._checkpoints.check_for_errors()
            metrics.append_metrics(self.path, rows)

    def trim_metrics(self, generation: int) -> list[dict[str, Any]]:
        """Drop what was written after `generation` (or torn), and return the rest."""
        with self.writing():
            return metrics.trim_metrics(self.path, generation)

    def due(self, generation: int) -> bool:
        """Return whether it is time for a checkpoint."""
        return self._checkpoints.due(generation)

    def save(
        self,
        state: Any,
        progress: Mapping[str, Any],
        config: Mapping[str, Any],
        center_return: float,
    ) -> None:
        """Write a checkpoint, see `Checkpoints.save`."""
        with self.writing():
            # If the machine is lost, the metrics must still cover the checkpoint.
            metrics.sync_metrics(self.path)
            self._checkpoints.save(state, progress, config, center_return)

    def save_genomes(
        self, center: Savable, best: Savable, archive: ArchiveFile | None = None
    ) -> None:
        """Write the genome files of two solutions, once there is a checkpoint.

        Their presence without a checkpoint means that the checkpoint was lost. If the
        strategy keeps an `archive`, it is written, too.
        """
        with self.writing():
            if not (self.path / CENTER).exists():
                self._checkpoints.wait()
            center.save(self.path / CENTER)
            best.save(self.path / BEST)
            if archive is not None:
                archive_file.save(self.path / ARCHIVE, archive)

    def restore(
        self,
        like: checkpoints.Like,
        config: Mapping[str, Any],
        defaults: Mapping[str, Any],
    ) -> list[Any] | None:
        """Return the newest checkpoint that can be read, see `Checkpoints.restore`.

        Raises:
            UserError: also if the checkpoints are gone.
        """
        with self.writing():
            restored = self._checkpoints.restore(like, config, defaults)
        if restored is None and (self.path / CENTER).exists():
            raise UserError(
                f"{self.path}: its checkpoints are gone; expected them in "
                f"{checkpoints.folder(self.path)} (to start again from generation 0, "
                "in a new directory: neuroevo train --config "
                f"{shlex.quote(str(self.path / CONFIG))})"
            )
        return restored


def _acquire(path: Path) -> filelock.BaseFileLock:
    """Lock the run in `path` until the process ends, normally or not.

    Raises:
        UserError: if another process has locked it, or if it cannot be locked.
    """
    (path / LOCK).touch()
    lock = filelock.FileLock(path / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise _Taken(
            f"{path}: in use by another neuroevo process; expected a run that is not "
            "running"
        ) from None
    except (NotImplementedError, OSError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(
            f"{path}: {reason}; expected a file system with locks (flock)"
        ) from None
    return lock


def write_loggers(path: Path, known: Mapping[str, Any]) -> None:
    """Write what the loggers of a run need to know about its earlier sessions."""
    write_json(path / LOGGERS, known)
