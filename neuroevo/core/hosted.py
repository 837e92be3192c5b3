"""Evaluations whose episodes are played on the host: decoding alone is compiled.

They proceed in the same steps as compiled ones, see `neuroevo.core.steps`. Every
process of a distributed run plays its share of the groups.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from neuroevo import devices
from neuroevo.core import evaluation
from neuroevo.core.acting import act_with
from neuroevo.core.evaluation import Evaluator, Given, Played, Trial
from neuroevo.core.layout import lay_out
from neuroevo.progress import Allowance, Group, Spent
from neuroevo.types import Array, HostPlay, Outcome, TaskState


class Playing(NamedTuple):
    """Policies that play."""

    share: HostPlay  # of this process
    groups: Array  # int32: number of groups to play, in all processes


class Player:
    """Plays an evaluator's policies on the host."""

    def __init__(
        self,
        evaluator: Evaluator,
        trial_of: Callable[[Given], Trial],
        on: Sequence[jax.Device],
    ) -> None:
        """Prepare to decode on those of the devices `on` that this process has.

        Args:
            evaluator: the parts; its task has a host.
            trial_of: returns what to evaluate, of which only shapes may matter.
            on: the devices.
        """
        self._evaluator, self._trial_of = evaluator, trial_of
        self._actor = act_with(evaluator.policy)

        def load(evaluator, _, given, groups):
            return None, evaluation.load(evaluator, trial_of(given), given, groups)

        self._load = evaluation.distribute(load, evaluator, devices.local(on))

    def begin(self, given: Given, task: TaskState) -> Playing:
        """Return this process' share of the policies before their first step."""
        host, sizes = self._evaluator.task.host, self._evaluator.sizes
        assert host is not None
        trial = self._trial_of(given)
        layout = lay_out(trial.blocks, sizes.width)
        process, processes = devices.of_process()
        groups = np.arange(process, int(given.groups), processes)

        def load(groups: Any) -> Group:
            return devices.first(self._load(None, given, groups)[1])

        slots = max(1, sizes.chunk // layout.width)
        shape = (len(layout.keys), layout.width, trial.episodes)
        share = host.begin(self._actor, load, devices.first(task), groups, shape, slots)
        return Playing(share, given.groups)

    def play(self, playing: Playing, allowance: Allowance) -> Played:
        """Play on for the allowed seconds."""
        playing.share.play(float(allowance.seconds))
        ended = devices.total(np.array(playing.share.ended))
        nothing: Any = np.zeros(1, np.int32)
        return Played(ended, playing.groups, Spent(nothing, nothing))

    def outcomes(self, playing: Playing) -> Outcome:
        """Return the outcomes of all groups, from all processes."""
        return devices.total(playing.share.outcomes)
