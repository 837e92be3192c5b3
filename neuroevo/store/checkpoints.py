"""Checkpoints of a run, written with orbax: what a resumed run needs, with a digest."""

import contextlib
import errno
import hashlib
import os
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from neuroevo.config import recorded
from neuroevo.config.schema import Schedule, group_of
from neuroevo.core import trees
from neuroevo.errors import UserError, first_line
from neuroevo.store.files import flatten, jsonable
from neuroevo.store.orbax_errors import os_error_number, silence_log

if TYPE_CHECKING:
    from orbax.checkpoint import CheckpointManager

VERSION = 2  # of the content of a checkpoint; version 1 used other random streams

# Errors that do not mean that a checkpoint is damaged.
_MAY_PASS = {
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE),
    *(errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT),
}
# A run has its own copies of these files, so that their names may change.
OWN_FILES = set(recorded.FILES)
_STEP = re.compile(r"0|[1-9][0-9]*")
Like = Callable[[Mapping[str, Any]], Any]  # from the host's counters to a state


class Checkpoints:
    """The checkpoints in a run directory that is open.

    They are written in the background; errors are reported later.
    """

    def __init__(self, run: Path, schedule: Schedule):
        """Prepare to write or read checkpoints in the directory `run`."""
        self._run = run
        self._schedule = schedule
        self._manager: CheckpointManager | None = None
        self._saved_at = time.monotonic()
        self._saved_generation: int | None = None

    def due(self, generation: int) -> bool:
        """Return whether it is time for a checkpoint."""
        every = self._schedule.every_generations
        return bool(every and generation % every == 0) or (
            time.monotonic() - self._saved_at >= self._schedule.every_seconds
        )

    def save(
        self,
        state: Any,
        progress: Mapping[str, Any],
        config: Mapping[str, Any],
        center_return: float,
    ) -> None:
        """Write a checkpoint of the engine's state and the host's counters.

        In addition to the latest checkpoints, the one with the best `center_return` is
        kept. There is at most one checkpoint of a generation.

        Args:
            state: the engine's state, including its `generation`.
            progress: the host's counters.
            config: the resolved configuration, which `restore` compares.
            center_return: the latest held-out return of the center; NaN if unknown.
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
            "config": jsonable(config),
            "progress": dict(progress),
            "types": _types(state),
            "digest": _digest(jax.tree.leaves(state)),
        }
        self._open().save(
            generation,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                progress=ocp.args.JsonSave(facts),
            ),
            metrics={"center": float(np.fmax(center_return, -1e300))},
            force=True,
        )

    def check_for_errors(self) -> None:
        """Raise the error of a checkpoint that could not be written, if any."""
        if self._manager is not None:
            self._manager.check_for_errors()

    def wait(self) -> None:
        """Wait until the current checkpoint has been written."""
        self._open().wait_until_finished()

    def close(self) -> None:
        """Wait until the current checkpoint has been written, and write no more."""
        if self._manager is not None:
            self._manager.close()

    def restore(
        self, like: Like, config: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> list[Any] | None:
        """Return the newest checkpoint that can be read, or None if there is none.

        Newer checkpoints that cannot be read are moved aside.

        Args:
            like: returns a state with the structure, shapes and types of the saved
                one, given the host's counters.
            config: the current resolved configuration of the run.
            defaults: the defaults of its options, which an option that is newer than
                the checkpoint must have.

        Returns:
            A list of three items: the leaves of the state, from which `from_host` makes
            a state; the host's counters; and a list of messages for the user.

        Raises:
            UserError: if there are checkpoints but none can be read, or if they belong
                to another configuration or version.
        """
        now, usual = jsonable(config), jsonable(defaults)
        steps = list_steps(self._run)
        damaged: dict[int, str] = {}
        if steps:
            self._open()
        for step in steps:
            try:
                leaves, progress = self._read(step, like, now, usual)
            except (UserError, MemoryError):
                raise
            except Exception as error:  # damage shows in many ways
                reason = first_line(error, 120)
                if os_error_number(error) in _MAY_PASS:
                    raise UserError(
                        f"{self._run}: its checkpoint {step} cannot be read: {reason}"
                    ) from None
                damaged[step] = reason
                continue
            self._saved_generation = step
            self._move_aside(damaged)
            return [leaves, progress, _notes(damaged)]
        if steps:
            raise UserError(
                f"{self._run}: none of its {len(steps)} checkpoints can be read; "
                f"expected at least one ({steps[0]}: {damaged[steps[0]]})"
            )
        return None

    def _open(self) -> "CheckpointManager":
        """Return orbax's manager of these checkpoints."""
        if self._manager is None:
            silence_log()
            path = folder(self._run).absolute()
            path.mkdir(exist_ok=True)
            self._manager = _make_manager(path, self._schedule.keep)
        return self._manager

    def _read(
        self,
        step: int,
        like: Like,
        config: Mapping[str, Any],
        defaults: Mapping[str, Any],
    ) -> tuple[list[np.ndarray], dict[str, Any]]:
        """Return the leaves and the counters of a checkpoint; raise if it is damaged.

        Raises:
            UserError: if its configuration, its types or its version differ.
        """
        import orbax.checkpoint as ocp

        manager = self._open()

        def read(**what: Any) -> Any:
            return manager.restore(step, args=ocp.args.Composite(**what))

        facts = read(progress=ocp.args.JsonRestore()).progress
        _check_version(self._run, facts["version"])
        _check_config(self._run, facts["config"], config, defaults)
        template = _to_host(like(facts["progress"]))
        _check_types(self._run, facts["types"], _types(template))
        leaves = jax.tree.leaves(read(state=ocp.args.StandardRestore(template)).state)
        leaves = [np.asarray(leaf) for leaf in leaves]
        if _digest(leaves) != facts["digest"]:
            raise ValueError("its digest does not match")
        return leaves, facts["progress"]

    def _move_aside(self, steps: Iterable[int]) -> None:
        """Rename checkpoints so that they no longer count, and nothing is lost."""
        for step in steps:
            place = folder(self._run) / str(step)
            aside, k = place.with_name(f"{step}.damaged"), 2
            while aside.exists():
                aside, k = place.with_name(f"{step}.damaged-{k}"), k + 1
            place.rename(aside)
        if steps:
            self._open().reload()


def folder(run: Path) -> Path:
    """Return the directory of a run's checkpoints."""
    return run / "checkpoints"


def list_steps(run: Path) -> list[int]:
    """Return the generations of a run's checkpoints, the newest first."""
    place = folder(run)
    names = [file.name for file in place.iterdir()] if place.is_dir() else []
    return sorted((int(name) for name in names if _STEP.fullmatch(name)), reverse=True)


@contextlib.contextmanager
def writing(run: Path) -> Iterator[None]:
    """Report in one line that something in the block could not be written.

    Raises:
        UserError: for an error of the operating system, with how to continue.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if (number := os_error_number(error)) is None:
            raise
        steps = list_steps(run)
        remedy = steps and (
            f"; its newest checkpoint, of generation {steps[0]}, is safe; to continue "
            f"from there: neuroevo resume {shlex.quote(str(run))}"
        )
        raise UserError(
            f"{run}: cannot be written: {os.strerror(number)}{remedy or ''}"
        ) from None


def from_host(leaves: Sequence[np.ndarray], like: Any) -> Any:
    """Return the state with the structure of `like` and these `leaves`."""
    likes, structure = jax.tree.flatten(trees.unwrap_keys(like))
    arrays = [
        jax.numpy.asarray(leaf, like.dtype)
        for leaf, like in zip(leaves, likes, strict=True)
    ]
    return trees.wrap_keys(jax.tree.unflatten(structure, arrays), like)


def _make_manager(path: Path, keep: int) -> "CheckpointManager":
    import orbax.checkpoint as ocp  # takes half a second
    from orbax.checkpoint.checkpoint_managers import preservation_policy

    def center(metrics: Mapping[str, float]) -> float:
        return metrics["center"]

    kept = [
        preservation_policy.LatestN(keep),
        preservation_policy.BestN(
            get_metric_fn=center, n=1, keep_checkpoints_without_metrics=False
        ),
    ]
    options = ocp.CheckpointManagerOptions(
        preservation_policy=preservation_policy.AnyPreservationPolicy(kept),
        best_fn=center,  # or metrics would not be written down
        cleanup_tmp_directories=True,
        create=False,
        # Of several processes, the first alone has a run directory.
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=0, active_processes={0}
        ),
    )
    return ocp.CheckpointManager(path, options=options)


def _check_version(run: Path, version: int) -> None:
    """Raise a `UserError` unless this version of neuroevo can resume a checkpoint."""
    if version > VERSION:
        raise UserError(
            f"{run}: its checkpoints have version {version}; this neuroevo reads "
            f"version {VERSION}: upgrade neuroevo"
        )
    if version < VERSION:
        raise UserError(
            f"{run}: its checkpoints are from neuroevo 0.1, which used other random "
            "streams; expected that version to resume it (to start from its best "
            f"genome: neuroevo train --start {shlex.quote(str(run))})"
        )


def _check_config(
    run: Path,
    was: Mapping[str, Any],
    now: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> None:
    """Raise a `UserError` if an option that affects the search has changed."""
    was, now = dict(flatten(defaults)) | dict(flatten(was)), dict(flatten(now))
    for key in sorted(was.keys() | now.keys()):
        free = group_of(key) != "search" or key in OWN_FILES
        if not free and was.get(key) != now.get(key):
            raise UserError(
                f"{run}: {key} is {now.get(key)!r:.60} but was {was.get(key)!r:.60} in "
                "its checkpoint; expected the value that the run was started with"
            )


def _check_types(run: Path, was: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise a `UserError` if the parts or the types of the state have changed."""
    for name in sorted(was.keys() ^ now.keys()):
        where = "its checkpoint" if name in was else "the present state"
        raise UserError(
            f"{run}: only {where} has {name}; expected the versions of neuroevo and of "
            "its libraries that the run was started with"
        )
    for name in sorted(was.keys() & now.keys()):
        if was[name] != now[name]:
            raise UserError(
                f"{run}: {name} of its state is {now[name]} but was {was[name]} in its "
                "checkpoint; expected the switches of JAX that the run was started "
                "with (JAX_ENABLE_X64)"
            )


def _notes(damaged: Mapping[int, str]) -> list[str]:
    return [
        f"checkpoint {step} cannot be read ({reason}): it was moved aside, and the run "
        "continues from the one before"
        for step, reason in damaged.items()
    ]


def _to_host(state: Any) -> Any:
    """Return a state as numpy arrays, its PRNG keys as their data."""
    return jax.tree.map(np.asarray, jax.device_get(trees.unwrap_keys(state)))


def _types(state: Any) -> dict[str, str]:
    """Return the types of a state's leaves by name."""
    leaves, _ = jax.tree.flatten_with_path(state)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf.dtype.name
        for path, leaf in leaves
    }


def _digest(leaves: Iterable[np.ndarray]) -> str:
    """Return a digest of the types, shapes and bits of arrays."""
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(f"{leaf.dtype.str} {leaf.shape};".encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()
