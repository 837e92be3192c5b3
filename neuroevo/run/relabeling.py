"""Rounds of relabeling: students act, and their teacher says what to do there.

A student that errs gets to where its teacher never is, and no row says how to go on.
Labels for what students see cure this (DAgger: Ross, Gordon and Bagnell, 2011, arXiv
1011.0686).
"""

import jax
import numpy as np

from neuroevo.config.schema import Config
from neuroevo.core import keys
from neuroevo.core.acting import act_with
from neuroevo.errors import UserError
from neuroevo.run import teaching
from neuroevo.run.outer_loss import seen
from neuroevo.run.parts import Parts
from neuroevo.run.teaching import Teacher, labeled
from neuroevo.store import rows_file
from neuroevo.strategies import gradients
from neuroevo.strategies.gradients import Gradients
from neuroevo.traits import StrategyTraits, traits
from neuroevo.types import StrategyState, TaskState


class Relabeling:
    """Adds rows to the state of a strategy that follows gradients.

    Attributes:
        every: generations between two rounds.
    """

    def __init__(self, options: Gradients, parts: Parts, teacher: Teacher, seed: int):
        self.every = options.relabel_every
        self._options, self._parts, self._teacher = options, parts, teacher
        self._seed = seed
        self._actor = act_with(parts.policy)  # always the same one: it compiles once
        self._start = jax.jit(parts.encoding.start)
        self._decode = jax.jit(parts.encoding.decode)

    def due(self, generation: int) -> bool:
        """Return whether a round follows this generation."""
        return generation % self.every == 0

    def __call__(
        self, generation: int, state: StrategyState, task: TaskState
    ) -> tuple[StrategyState, int]:
        """Return the state with new rows, and the environment steps that they took."""
        parts, count = self._parts, self._options.relabel_policies
        key = keys.relabeling(self._seed, generation)
        drawn = jax.vmap(keys.of_policy)(keys.policy_keys(key, count))
        assert parts.strategy and parts.task.collect
        # From the host, as arrays on several devices would compile everything twice.
        genome, task = jax.device_get((parts.strategy.center(state), task))
        students = [self._decode(genome, self._start(key)) for key in drawn.start]
        params = jax.tree.map(lambda *each: np.stack(each), *students)
        episodes = jax.vmap(keys.episode_keys, (0, None))(drawn.episodes, 1)
        found = parts.task.collect(self._actor, params, task, episodes)
        spec = parts.environment.spec
        rows = rows_file.to_rows(labeled(self._teacher, found, spec), spec)
        new = gradients.add_rows(self._options, state, seen(rows, parts.task, task))
        return new, len(found.episodes)


def check_teacher(config: Config, teacher: Teacher | None) -> None:
    """Raise a `UserError` if a teacher with memory is to label what students see."""
    every = getattr(config.parts["strategy"], "relabel_every", 0)
    if every and teacher and teacher.label is None:
        raise UserError(
            "the teacher has a memory, and cannot label what students see; expected "
            "--strategy.relabel-every 0, or a teacher without memory"
        )


def make_relabeling(
    config: Config, parts: Parts, teacher: Teacher | None
) -> Relabeling | None:
    """Return the rounds of relabeling that a run is configured for, if it is.

    Args:
        config: the configuration, which may name a teacher.
        parts: the parts of the run.
        teacher: a teacher made in Python, instead of the configured one.

    Raises:
        UserError: if the teacher cannot be read, or does not fit.
    """
    options, path = config.parts["strategy"], config.settings.teacher
    learns = traits(StrategyTraits, options).learns_from_rows
    if path and not learns:
        raise UserError(
            f"--teacher: strategy {config.names['strategy']} learns from returns "
            "alone; expected --strategy gradients, which has a use for a teacher"
        )
    if not learns or not options.relabel_every or not (teacher or path):
        return None
    if parts.task.collect is None:
        raise UserError(
            f"--teacher: expected an environment in which students can act; "
            f"{config.names['env']} is none"
        )
    teacher = teacher or teaching.read(path, parts.environment.spec)
    check_teacher(config, teacher)
    return Relabeling(options, parts, teacher, config.settings.seed)
