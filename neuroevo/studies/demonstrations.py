"""Demonstrations: what policies see and do, as rows to imitate."""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuroevo.config import resolve
from neuroevo.config.command import TRAINING, Command
from neuroevo.config.layers import Layer
from neuroevo.config.schema import CACHE, Config, Machine
from neuroevo.errors import UserError
from neuroevo.loading import Source
from neuroevo.returns import interval
from neuroevo.run import build, teaching
from neuroevo.run.teaching import Lesson, Teacher
from neuroevo.spaces import Spec
from neuroevo.store import rows_file
from neuroevo.studies.lessons import TEACHER, Lessons, environment_of, opened
from neuroevo.terminal.formatting import format_range, format_value
from neuroevo.types import Environment, HostEnvironment


def collect(
    source: Source | Callable,
    episodes: int,
    seed: int,
    layers: Sequence[Layer] = (),
    arguments: Sequence[str] = (),
    *,
    command: Command = TRAINING,
    custom: Mapping[str, Any] | None = None,
) -> Lesson:
    """Let a policy play, and return what it saw and did.

    Args:
        source: the policy, see `opened`.
        episodes: number of episodes.
        seed: seed of the episodes.
        layers: partial configurations, which may name the environment.
        arguments: words of a command line, which may do so, too.
        command: the command that the words belong to.
        custom: parts made in Python.

    Raises:
        UserError: if there is no policy, or if it does not fit the environment.
    """
    with opened(source) as lessons, tempfile.TemporaryDirectory() as folder:
        if not (lessons.teacher or lessons.act):
            raise UserError(f"{source}: expected a policy, which can act")
        base, made = environment_of(lessons, layers, arguments, command, custom)
        config = resolve.resolve(
            [base, *layers], arguments, command=command, custom=made
        )
        cache: Any = getattr(config.settings, CACHE, "auto")
        settings = Machine(compilation_cache=cache)
        build.set_up_jax(dataclasses.replace(config, settings=settings))
        environment = build.build_environment(config.parts["env"])
        spec = environment.spec
        policy = write_policy(lessons.teacher, Path(folder), spec)
        teacher = read_teacher(lessons._replace(teacher=policy), spec)
        assert teacher
        return demonstrate(config, teacher, environment, episodes, seed)


def write_policy(teacher: Path | None, folder: Path, spec: Spec) -> Path | None:
    """Return a file with the policy of a teacher, which is all that a run keeps of it.

    What decoding it or estimating its normalization costs is thus spent once.

    Raises:
        UserError: if the teacher cannot be read, or does not fit `spec`.
    """
    if teacher is None or teaching.is_brax(teacher):
        return teacher
    teaching.save(teaching.load(teacher, spec), folder / TEACHER)
    return folder / TEACHER


def read_teacher(lessons: Lessons, spec: Spec) -> Teacher | None:
    """Return the teacher of the lessons, if they have one, for `spec`."""
    if lessons.act:
        return teaching.of_function(lessons.act, spec)
    return teaching.read(lessons.teacher, spec) if lessons.teacher else None


def demonstrate(
    config: Config, teacher: Teacher, environment: Any, episodes: int, seed: int
) -> Lesson:
    """Let a teacher play in an environment.

    Raises:
        UserError: if the part `env` of `config` is not an environment.
    """
    if not isinstance(environment, Environment | HostEnvironment):
        raise UserError(
            f"env {config.names['env']}: expected an environment in which a policy can "
            "act"
        )
    return teaching.demonstrate(teacher, environment, episodes, seed)


def summary(lesson: Lesson) -> dict[str, Any]:
    """Return the statistics of what a policy has demonstrated."""
    returns = lesson.returns[None]
    return {
        "return_mean": float(returns.mean()),
        "return_interval": interval(returns),
        "episodes": returns.size,
        "steps": len(lesson.arrays[rows_file.OBSERVATIONS]),
    }


def describe(lesson: Lesson) -> str:
    """Return what a policy has demonstrated, in words."""
    about = summary(lesson)
    found = format_value(about["return_mean"])
    return (
        f"the policy's return was {found} ({format_range(about['return_interval'])}) "
        f"in {about['episodes']} episodes, {about['steps']} steps in all"
    )
