"""Distillation: pairs that train networks to act like a teacher, by gradients.

It is an ordinary run whose strategy follows gradients through the training on the
pairs. What comes before is here: finding out what the teacher is, letting it play, and
choosing defaults that suit imitation.
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from neuroevo import loading, registry
from neuroevo.config import resolve
from neuroevo.config.command import TRAINING, Command, read
from neuroevo.config.layers import Layer, nested
from neuroevo.config.schema import CACHE, Config, Machine
from neuroevo.errors import UserError
from neuroevo.loading import LiveRun, Source
from neuroevo.returns import interval
from neuroevo.run import build, teaching
from neuroevo.run.run import Run
from neuroevo.run.teaching import Lesson, Teacher
from neuroevo.solution import Solution
from neuroevo.spaces import Box, Spec
from neuroevo.store import genome_file, npz, rows_file, zoo
from neuroevo.store.directory import BEST, is_run
from neuroevo.store.files import jsonable, kind_of
from neuroevo.store.genome_file import GenomeFile
from neuroevo.terminal.formatting import format_range, format_value
from neuroevo.types import Environment, Objective

DATA = "data.npz"
ROWS = "rows.npz"
TEACHER = "teacher.npz"
_EXPECTED = (
    "a run, a genome or policy file, zoo:NAME, a checkpoint of brax's PPO, a file of "
    "rows (neuroevo collect), or the name of labeled data such as digits"
)

# A generation is a few seconds of gradient steps for each of several starts; what
# follows it, an episode of each of a few policies, is only to choose among them.
_DEFAULTS: Mapping[str, Any] = {
    "strategy": "gradients",
    "normalization": "constant",
    "encoding": {"name": "dataset", "init_from": "sample"},
    "policy": {"name": "mlp", "action": "greedy"},
    "population": 4,
    "policies": 4,
    "episodes": 1,
    "generations": 30,
}


class Prepared(NamedTuple):
    """What `run.launch.launch` needs for a distillation, and what was demonstrated.

    Attributes:
        config: the configuration, with files that exist until the end of the block.
        teacher: a teacher made in Python, or None.
        lesson: what the teacher has demonstrated; None if rows were given.
    """

    config: Config
    teacher: Teacher | None
    lesson: Lesson | None


@contextlib.contextmanager
def prepared(
    source: Source | Callable,
    layers: Sequence[Layer] = (),
    arguments: Sequence[str] = (),
    *,
    episodes: int = 8,
    command: Command = TRAINING,
    custom: Mapping[str, Any] | None = None,
    check: Callable[[Config], None] = lambda config: None,
) -> Iterator[Prepared]:
    """Prepare the run that distills a teacher: find it, and let it play.

    Args:
        source: the teacher, see `opened`.
        layers: see `configure`.
        arguments: see `configure`.
        episodes: number of episodes that the teacher plays.
        command: see `configure`.
        custom: see `configure`.
        check: called with the configuration before anything is compiled.

    Raises:
        UserError: for a teacher that does not fit, or invalid options.
    """
    with opened(source) as lessons, tempfile.TemporaryDirectory() as folder:
        if lessons.rows and not _names_env(layers, arguments, command, custom):
            lessons = _as_labeled(lessons.rows, Path(folder, DATA))
        config = configure(lessons, layers, arguments, command=command, custom=custom)
        settings = config.settings
        check(config)
        if lessons.labeled:
            yield Prepared(config, None, None)
            return
        files = {
            "rows": settings.rows or lessons.rows,
            "teacher": _policy(settings.teacher or lessons.teacher, Path(folder)),
        }
        config = _with(config, **files)
        environment = build.build_environment(config.parts["env"])
        lessons = lessons._replace(teacher=files["teacher"])
        teacher, lesson = _teacher(lessons, environment.spec), None
        if files["rows"] is None and teacher:
            seed = config.settings.seed
            lesson = _demonstrate(config, teacher, environment, episodes, seed)
            rows = Path(folder, ROWS)
            rows_file.write(rows, lesson.arrays)
            config = _with(config, rows=rows)
        yield Prepared(config, teacher if lessons.act else None, lesson)


def _with(config: Config, **settings: Any) -> Config:
    changed = dataclasses.replace(config.settings, **settings)
    return dataclasses.replace(config, settings=changed)


def save(run: Run, path: Path, source: str, lesson: Lesson | None) -> None:
    """Write the best genome of a run to a file, with a card that says how it was made.

    Args:
        run: a run that has ended.
        path: the file.
        source: the name of the teacher.
        lesson: what the teacher has demonstrated, if it has.
    """
    about = {
        "env": run.config.names["env"],
        "teacher": {"name": source} | (summary(lesson) if lesson else {}),
        "generations": run.generation,
        "env_steps": run.counters.env_steps,
        "seconds": round(run.counters.seconds, 1),
        "policies": run.config.settings.final_policies,
        "episodes": run.config.settings.final_episodes,
        "return_mean": run.summary.get("best_return_mean"),
        "return_interval": run.summary.get("best_return_interval"),
    }
    meta = {**run.best.meta(), "card": jsonable(about)}
    genome_file.save(path, run.best.arrays(), meta)


_MOST_GENES = 1000  # for which a full covariance is cheap


def refinement(run: Run, generations: int) -> tuple[GenomeFile, Config]:
    """Return the best genome of a run, and how evolution goes on from it.

    The observation statistics stay as they are.

    Args:
        run: a run that has ended.
        generations: generations of evolution.
    """
    start = loading.read_source(run)
    genes = sum(leaf.size for leaf in jax.tree.leaves(run.genome))
    before = run.config.settings
    kept = {"devices": before.devices, "seed": before.seed, "log": list(before.log)}
    layers = [
        *loading.start_layers(start),
        Layer("refine", kept | {"population": 32, "policies": 2, "episodes": 2}),
        Layer("refine", {"generations": generations, "target": before.target}),
    ]
    if genes <= _MOST_GENES:
        strategy = {"name": "CMA_ES", "std": loading.step_size(start)}
        layers.append(Layer("refine", {"strategy": strategy}))
    made = loading.made_parts(start, layers)
    return start, resolve.resolve(layers, custom=made)


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


def demonstrations(
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
        base, made = _environment(lessons, layers, arguments, command, custom)
        config = resolve.resolve(
            [base, *layers], arguments, command=command, custom=made
        )
        cache: Any = getattr(config.settings, CACHE, "auto")
        settings = Machine(compilation_cache=cache)
        build.set_up_jax(dataclasses.replace(config, settings=settings))
        environment = build.build_environment(config.parts["env"])
        lessons = lessons._replace(teacher=_policy(lessons.teacher, Path(folder)))
        teacher = _teacher(lessons, environment.spec)
        assert teacher
        return _demonstrate(config, teacher, environment, episodes, seed)


def _policy(teacher: Path | None, folder: Path) -> Path | None:
    """Return a file with the policy of a teacher, which is all that a run keeps of it.

    What decoding it or estimating its normalization costs is thus spent once.
    """
    if teacher is None or teaching.is_brax(teacher):
        return teacher
    solution = loading.make_solution(*loading.read_solution(teacher, []))
    teaching.save(solution, folder / TEACHER)
    return folder / TEACHER


def _teacher(lessons: Lessons, spec: Spec) -> Teacher | None:
    if lessons.act:
        return teaching.of_function(lessons.act, spec)
    return teaching.read(lessons.teacher, spec) if lessons.teacher else None


def _demonstrate(
    config: Config, teacher: Teacher, environment: Any, episodes: int, seed: int
) -> Lesson:
    if not isinstance(environment, Environment):
        raise UserError(
            f"env {config.names['env']}: expected an environment in which a policy can "
            "act"
        )
    return teaching.demonstrate(teacher, environment, episodes, seed)


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


def configure(
    lessons: Lessons,
    layers: Sequence[Layer] = (),
    arguments: Sequence[str] = (),
    *,
    command: Command = TRAINING,
    custom: Mapping[str, Any] | None = None,
) -> Config:
    """Return the configuration of a distillation.

    Args:
        lessons: what the run learns from.
        layers: partial configurations of the user's, which override the defaults.
        arguments: words of a command line, which override all.
        command: the command that the words belong to.
        custom: parts made in Python.

    Raises:
        UserError: for invalid options, or if no environment is named.
    """
    env, custom = _environment(lessons, layers, arguments, command, custom)
    base = [Layer("distill", nested("distill", _DEFAULTS)), env]

    def resolved(*fitting: Layer) -> Config:
        between = [*base, *fitting, *layers]
        return resolve.resolve(between, arguments, command=command, custom=custom)

    found = resolved()
    build.set_up_jax(found)
    environment = build.build_environment(found.parts["env"])
    schedule: dict[str, Any] = {
        "name": "gradients",
        "generations": found.settings.generations or 30,
    }
    fitting: dict[str, Any] = {"strategy": schedule}
    if not (lessons.teacher or lessons.act or found.settings.teacher):
        schedule["relabel_every"] = 0  # all the room is for the rows
    if isinstance(environment, Objective):
        fitting["normalization"] = "none"
    if lessons.labeled and getattr(environment, "batch", None) is None:
        raise UserError(f"env {found.names['env']}: expected labeled data or a teacher")
    pairs = {"name": "dataset"}
    if isinstance(environment.spec.action, Box):
        fitting["encoding"] = pairs | {"loss": "mse"}
    else:
        # Classes have means that look like them; what a policy sees does not.
        start = "mean" if isinstance(environment, Objective) else "sample"
        fitting["encoding"] = pairs | {"labels": "learned", "init_from": start}
    return resolved(Layer("distill", nested("distill", fitting)))


def _environment(
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
    if isinstance(lessons.env, str | Mapping):
        return Layer("distill", nested("distill", {"env": lessons.env})), made
    if lessons.env is not None:
        return Layer("distill", {}), {"env": lessons.env} | made
    if not _names_env(layers, arguments, command, custom):
        raise UserError(
            "--env is missing: expected the environment in which the students of this "
            "teacher act, such as --env hopper"
        )
    return Layer("distill", {}), made


def _names_env(
    layers: Sequence[Layer],
    arguments: Sequence[str],
    command: Command,
    custom: Mapping[str, Any] | None,
) -> bool:
    """Return whether the user names an environment."""
    named = "env" in read(command, arguments).names if arguments else False
    layered = any("env" in nested(*layer) for layer in layers)
    return named or layered or "env" in (custom or {})


def _as_labeled(rows: Path, out: Path) -> Lessons:
    """Write rows without an environment as labeled data, and return these.

    Imitation is measured on rows that are held out.
    """
    arrays = rows_file.read(rows)
    if rows_file.LOGITS in arrays:
        targets = {"labels": arrays[rows_file.LOGITS].argmax(axis=1)}
    elif np.issubdtype(arrays[rows_file.ACTIONS].dtype, np.integer):
        targets = {"labels": arrays[rows_file.ACTIONS].reshape(-1)}
    else:
        targets = {"targets": arrays[rows_file.ACTIONS]}
    rows_file.write(out, {"inputs": arrays[rows_file.OBSERVATIONS], **targets})
    return Lessons(env={"name": "npz", "file": str(out)}, labeled=True)
