"""What a distillation learns from: finding out what a teacher is."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from neuroevo import loading, registry
from neuroevo.config.command import Command, read
from neuroevo.config.layers import Layer, nested
from neuroevo.errors import UserError
from neuroevo.loading import LiveRun, Source
from neuroevo.run import teaching
from neuroevo.solution import Solution
from neuroevo.store import genome_file, npz, rows_file, zoo
from neuroevo.store.directory import BEST, is_run
from neuroevo.store.files import kind_of

TEACHER = "teacher.npz"
_EXPECTED = (
    "a run, a genome or policy file, zoo:NAME, a checkpoint of brax's PPO, a file of "
    "rows (neuroevo collect), or the name of labeled data such as digits"
)


class Lessons(NamedTuple):
    """What a run learns from.

    Attributes:
        env: the environment that it suggests, as an option of a run; None for none.
        rows: a file of rows, if that is all there is.
        teacher: a policy in a file, if there is one.
        act: a policy in Python, if there is one.
        labeled: whether the environment is labeled data, which needs neither.
    """

    env: Any = None
    rows: Path | None = None
    teacher: Path | None = None
    act: Callable | None = None
    labeled: bool = False


@contextlib.contextmanager
def opened(source: Source | Callable) -> Iterator[Lessons]:
    """Return what a teacher offers; files made for it exist within the block.

    Args:
        source: a run, a genome or policy file, ``"zoo:NAME"``, a checkpoint of brax's
            PPO, a file of rows, the name of labeled data, or in Python a run, a
            solution or a function of (observation, key).

    Raises:
        UserError: if it is none of these.
    """
    with tempfile.TemporaryDirectory(prefix="neuroevo-") as folder:
        if isinstance(source, str | Path):
            yield _in_file(str(source))
        elif isinstance(source, Solution) or hasattr(type(source), "best"):
            solution = cast(
                Solution, loading.in_memory(cast(Solution | LiveRun, source))
            )
            file = Path(folder, TEACHER)
            solution.save(file)
            yield Lessons(env=solution.config.parts["env"], teacher=file)
        elif callable(source):
            yield Lessons(act=source)
        else:
            raise UserError(
                f"expected as teacher {_EXPECTED}, or a function; got {source!r:.60}"
            )


def _in_file(source: str) -> Lessons:
    path = zoo.locate(source)
    found = kind_of(path, _EXPECTED)
    if found is None and source in registry.envs.names():
        return Lessons(env=source, labeled=True)
    if found == "a directory" and not is_run(path):
        checkpoints = [each for each in path.iterdir() if teaching.is_brax(each)]
        if not checkpoints and not teaching.is_brax(path):
            raise UserError(f"{path}: expected {_EXPECTED}")
        return Lessons(teacher=max(checkpoints, default=path))  # the latest
    if found == "a directory":
        path = path / BEST
    elif rows_file.OBSERVATIONS in npz.read(path, _EXPECTED):
        return Lessons(rows=path)
    file = genome_file.load(path)
    if genome_file.split(file):
        raise UserError(
            f"{path}: merged from several environments; expected one policy as teacher"
        )
    return Lessons(env=file.meta.get("env"), teacher=path)


def environment_of(
    lessons: Lessons,
    layers: Sequence[Layer],
    arguments: Sequence[str],
    command: Command,
    custom: Mapping[str, Any] | None,
) -> tuple[Layer, dict[str, Any]]:
    """Return the environment of the lessons, as a layer or a part made in Python.

    Raises:
        UserError: if neither they nor the user name one.
    """
    made = dict(custom or {})
    if lessons.teacher and not names_env(layers, arguments, command, custom):
        loading.check_module(lessons.teacher, lessons.env)
    if isinstance(lessons.env, str | Mapping):
        return Layer("distill", nested("distill", {"env": lessons.env})), made
    if lessons.env is not None:
        return Layer("distill", {}), {"env": lessons.env} | made
    if not names_env(layers, arguments, command, custom):
        raise UserError(
            "--env is missing: expected the environment in which the students of this "
            "teacher act, such as --env hopper"
        )
    return Layer("distill", {}), made


def names_env(
    layers: Sequence[Layer],
    arguments: Sequence[str],
    command: Command,
    custom: Mapping[str, Any] | None,
) -> bool:
    """Return whether the user names an environment."""
    named = "env" in read(command, arguments).names if arguments else False
    layered = any("env" in nested(*layer) for layer in layers)
    return named or layered or "env" in (custom or {})


def as_labeled(rows: Path, out: Path) -> Lessons:
    """Write rows without an environment as labeled data, and return these.

    Imitation is measured on rows that are held out.
    """
    arrays = rows_file.read(rows)
    inputs = arrays[rows_file.OBSERVATIONS]
    name = rows_file.LOGITS if rows_file.LOGITS in arrays else rows_file.ACTIONS
    found = arrays[name]
    if np.ptp(arrays.get(rows_file.WEIGHTS, 1)):
        raise UserError(
            f"{rows}: without --env, expected rows of equal weights, since labeled "
            "data has no weights"
        )
    if name == rows_file.LOGITS and found.ndim == 2:
        targets = {"labels": found.argmax(axis=1)}
    elif name == rows_file.ACTIONS and found.dtype.kind == "f":
        targets = {"targets": found}
    elif name == rows_file.ACTIONS and found.size == len(inputs) and found.min() >= 0:
        targets = {"labels": found.reshape(-1).astype(np.int64)}
    else:
        raise UserError(
            f"{rows}: without --env, expected an integer from 0 or the logits of one "
            f"choice for each row, got {name} of shape {found.shape[1:]} each, the "
            f"lowest {found.min():g}"
        )
    rows_file.write(out, {"inputs": inputs, **targets})
    return Lessons(env={"name": "npz", "file": str(out)}, labeled=True)
