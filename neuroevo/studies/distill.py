"""Distillation: pairs that train networks to act like a teacher, by gradients.

It is an ordinary run whose strategy follows gradients through the training on the
pairs. Here is what comes before it, defaults that suit imitation and a teacher that
plays, and what may follow.
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from neuroevo import loading
from neuroevo.config import resolve
from neuroevo.config.command import TRAINING, Command, read
from neuroevo.config.layers import Layer, nested
from neuroevo.config.schema import DISTILLATION, Config
from neuroevo.errors import UserError
from neuroevo.loading import Source
from neuroevo.run import build, outer_loss, relabeling
from neuroevo.run.run import Run
from neuroevo.run.teaching import Lesson, Teacher
from neuroevo.spaces import Box
from neuroevo.store import genome_file, rows_file
from neuroevo.store.files import jsonable
from neuroevo.store.genome_file import GenomeFile
from neuroevo.studies import demonstrations
from neuroevo.studies.demonstrations import demonstrate, read_teacher, write_policy
from neuroevo.studies.lessons import (
    Lessons,
    as_labeled,
    environment_of,
    names_env,
    opened,
)
from neuroevo.types import Objective

DATA = "data.npz"
ROWS = "rows.npz"


class Prepared(NamedTuple):
    """What `run.launch.launch` needs for a distillation, and what was demonstrated.

    Attributes:
        config: the configuration, with files that exist until the end of the block.
        teacher: a teacher made in Python, or None.
        lesson: what the teacher has demonstrated; None if rows were given.
        start: the pairs to go on from, or None.
    """

    config: Config
    teacher: Teacher | None
    lesson: Lesson | None
    start: GenomeFile | None


@contextlib.contextmanager
def prepared(
    source: Source | Callable,
    layers: Sequence[Layer] = (),
    arguments: Sequence[str] = (),
    *,
    start: Source | None = None,
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
        start: pairs to go on from, with their parts.
        episodes: number of episodes that the teacher plays.
        command: see `configure`.
        custom: see `configure`.
        check: called with the configuration before anything is compiled.

    Raises:
        UserError: for a teacher that does not fit, or invalid options.
    """
    first = None if start is None else loading.read_source(start)
    if first:
        names = read(command, arguments).names if arguments else {}
        custom = loading.made_parts(first, layers, names, custom)
    layers = [*loading.start_layers(first, searching=False), *layers]
    with opened(source) as lessons, tempfile.TemporaryDirectory() as folder:
        if lessons.rows and not names_env(layers, arguments, command, custom):
            lessons = as_labeled(lessons.rows, Path(folder, DATA))
        config = configure(lessons, layers, arguments, command=command, custom=custom)
        settings = config.settings
        check(config)
        if lessons.labeled:
            yield Prepared(config, None, None, first)
            return
        environment = build.build_environment(config.parts["env"])
        labels = settings.teacher or lessons.teacher
        files = {
            "rows": settings.rows or lessons.rows,
            "teacher": write_policy(labels, Path(folder), environment.spec),
        }
        config = _with(config, **files)
        lessons = lessons._replace(teacher=files["teacher"])
        teacher, lesson = read_teacher(lessons, environment.spec), None
        relabeling.check_teacher(config, teacher)
        if files["rows"] is None and teacher:
            seed = config.settings.seed
            episodes = getattr(settings, "demonstrations", episodes)
            lesson = demonstrate(config, teacher, environment, episodes, seed)
            rows = Path(folder, ROWS)
            rows_file.write(rows, lesson.arrays)
            config = _with(config, rows=rows)
        yield Prepared(config, teacher if lessons.act else None, lesson, first)


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
    shown = demonstrations.summary(lesson) if lesson else {}
    about = {
        "env": run.config.names["env"],
        "teacher": {"name": source, **shown},
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


_KEPT = ("devices", "seed", "log", "target", "final_policies", "final_episodes")
# What is left to improve are the few networks that fail, so that candidates can only be
# told apart by many networks, an episode each.
_REFINEMENT: Mapping[str, Any] = {
    "population": 16,
    "policies": 8,
    "episodes": 1,
    "worst": 0.5,
    "center_policies": 16,
}
_STEP = 0.3  # relative to other searches: gradients have come close
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
    kept = {name: getattr(before, name) for name in _KEPT}
    options = {**kept, **_REFINEMENT, "generations": generations}
    if genes <= _MOST_GENES:
        std = _STEP * loading.step_size(start)
        options["strategy"] = {"name": "CMA_ES", "std": std}
    layers = [*loading.start_layers(start), Layer("refine", options)]
    made = loading.made_parts(start, layers)
    return start, resolve.resolve(layers, custom=made)


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
    env, custom = environment_of(lessons, layers, arguments, command, custom)
    base = [Layer("distill", nested("distill", DISTILLATION)), env]

    def resolved(*fitting: Layer) -> Config:
        between = [*base, *fitting, *layers]
        return resolve.resolve(between, arguments, command=command, custom=custom)

    found = resolved()
    if not hasattr(found.parts["encoding"], "init_from"):
        raise UserError(
            f"encoding {found.names['encoding']}: expected one with pairs, such as "
            "dataset, for gradients to go through the training on them"
        )
    build.set_up_jax(found)
    environment = build.build_environment(found.parts["env"])
    outer_loss.check_memory(found.parts["policy"].build(environment.spec))
    schedule: dict[str, Any] = {
        "name": "gradients",
        "generations": found.settings.generations or DISTILLATION["generations"],
    }
    fitting: dict[str, Any] = {"strategy": schedule}
    if not (lessons.teacher or lessons.act or found.settings.teacher):
        schedule["relabel_every"] = 0  # all the room is for the rows
    if isinstance(environment, Objective):
        fitting["normalization"] = "none"
    if lessons.labeled and getattr(environment, "batch", None) is None:
        raise UserError(f"env {found.names['env']}: expected labeled data or a teacher")
    pairs: dict[str, Any] = {"name": "dataset"}
    if isinstance(environment.spec.action, Box):
        fitting["encoding"] = pairs | {"loss": "mse"}
    else:
        # Classes have means that look like them; what a policy sees does not.
        fitting["encoding"] = pairs | {"labels": "learned"}
        if isinstance(environment, Objective):
            fitting["encoding"] |= {"init_from": "mean"}
    return resolved(Layer("distill", nested("distill", fitting)))
