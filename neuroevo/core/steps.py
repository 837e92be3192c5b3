"""Evaluations in several compiled calls, so that the host is never away for long."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from neuroevo.core import evaluation, trees
from neuroevo.core.evaluation import Evaluator, Given, Played, Trial
from neuroevo.core.hosted import Player
from neuroevo.core.layout import Block
from neuroevo.core.pace import Pace
from neuroevo.progress import Progress, Role
from neuroevo.types import Genome, Key, Outcome, TaskState


class Stopped(Exception):
    """An evaluation was asked to stop before its end."""


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

    def last(evaluator, _, *args):
        return finish(evaluator, *args)

    hosted = evaluator.task.host is not None
    steps = Steps(
        evaluation.distribute(begin, evaluator, on),
        evaluation.distribute(play, evaluator, on, in_place=True),
        evaluation.distribute(last if hosted else finish, evaluator, on),
    )
    if hosted:
        player = Player(evaluator, lambda x: trial(x.genomes, x.episodes), on)
        steps = on_host(
            steps,
            player,
            lambda x, genomes, task, _: (x._replace(genomes=genomes), task),
        )
    pace = Pace()

    def evaluate(
        genomes: Genome, task: TaskState, policy_keys: Key, stop: Callable[[], Any]
    ) -> Outcome:
        progress, given = steps.begin(None, genomes, task, policy_keys)
        over = False
        while not over:
            began = time.monotonic()
            progress, played = steps.play(
                progress, given, genomes, task, pace.allowance()
            )
            pace.measure(played.spent, time.monotonic() - began)
            over = played.is_over
            if not over and stop():
                raise Stopped
        return steps.finish(progress, given, genomes)[1]

    return evaluate


def on_host(
    steps: Steps,
    player: Player,
    what: Callable[..., tuple[Given, TaskState]],
) -> Steps:
    """Return `steps`, but with episodes that are played on the host.

    Args:
        steps: the steps; `finish` takes None and then all outcomes, in place of the
            progress.
        player: plays the policies.
        what: returns what to play, given the work and the arguments of `begin`.
    """

    def begin(_: None, *args: Any) -> tuple[Any, Any]:
        work = steps.begin(None, *args)[1]
        return player.begin(*what(work, *args)), work

    def play(playing: Any, *args: Any) -> tuple[Any, Played]:
        return playing, player.play(playing, args[-1])

    def finish(playing: Any, *args: Any) -> tuple[None, Any]:
        return steps.finish(None, player.outcomes(playing), *args)

    return Steps(begin, play, finish)
