"""Evaluations in several compiled calls, so that the host is never away for long."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from neuroevo.core import evaluation, trees
from neuroevo.core.evaluation import Evaluator, Played, Trial
from neuroevo.core.layout import Block
from neuroevo.core.pace import Pace
from neuroevo.progress import Progress, Role
from neuroevo.types import Genome, Key, Outcome, TaskState


class Steps(NamedTuple):
    """An evaluation in several compiled calls, with the same results as in one.

    Each takes and returns what every device keeps for itself: see `devices.distribute`.
    For a generation:

    Attributes:
        begin: ``(None, state) -> (progress, work)``.
        play: ``(progress, work, state, allowance) -> (progress, played)``, again and
            again until it `is_over`; overwrites `progress`.
        finish: ``(progress, work, state, target) -> (None, (state, report))``.
    """

    begin: Callable[..., tuple[Progress, Any]]
    play: Callable[..., tuple[Progress, Played]]
    finish: Callable[..., tuple[None, Any]]


def make_evaluate(
    evaluator: Evaluator, episodes: int, role: Role, on: Sequence[jax.Device]
) -> Callable[..., Outcome]:
    """Return `engine.Engine.evaluate` for a number of episodes, and a role."""

    def trial(genomes: Genome, policy_keys: Key) -> Trial:
        count = jax.tree.leaves(genomes)[0].shape[0]
        blocks = [Block(np.arange(count), len(policy_keys), role)]
        return Trial(blocks, trees.take, episodes)

    def begin(evaluator, _, genomes, task, policy_keys):
        each = trial(genomes, policy_keys)
        given = evaluation.prepare(evaluator, each, genomes, policy_keys)
        progress = evaluation.begin(evaluator, each, given, task)
        return progress, given._replace(genomes=())

    def play(evaluator, progress, given, genomes, task, allowance):
        each, given = trial(genomes, given.episodes), given._replace(genomes=genomes)
        return evaluation.play(evaluator, each, given, task, progress, allowance)

    def finish(evaluator, progress, given, genomes):
        each = trial(genomes, given.episodes)
        return None, evaluation.outcomes(evaluator, each, progress)[0]

    steps = Steps(
        evaluation.distribute(begin, evaluator, on),
        evaluation.distribute(play, evaluator, on, in_place=True),
        evaluation.distribute(finish, evaluator, on),
    )
    pace = Pace()

    def evaluate(genomes: Genome, task: TaskState, policy_keys: Key) -> Outcome:
        progress, given = steps.begin(None, genomes, task, policy_keys)
        over = False
        while not over:
            began = time.monotonic()
            progress, played = steps.play(
                progress, given, genomes, task, pace.allowance()
            )
            pace.measure(played.spent, time.monotonic() - began)
            over = played.is_over
        return steps.finish(progress, given, genomes)[1]

    return evaluate
