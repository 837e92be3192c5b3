"""Evaluates genomes: decodes their policies and plays episodes with them."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo import devices
from neuroevo.core import keys, trees
from neuroevo.core.acting import act_with, near
from neuroevo.core.layout import Block, Layout, lay_out
from neuroevo.progress import Allowance, Group, Progress, Spent
from neuroevo.types import (
    Actor,
    Array,
    Encoding,
    Genome,
    Key,
    LoadGroups,
    Outcome,
    Params,
    Policy,
    Start,
    Task,
    TaskState,
)

Pick = Callable[[Any, Array], Genome]  # (genomes, index) -> one genome


class Sizes(NamedTuple):
    """Batch sizes; they affect at most the last digits of results."""

    chunk: int  # policies that are rolled out together
    decode_chunk: int  # policies that are decoded together
    width: int  # policies in a group, see `neuroevo.core.layout`
    stride: int  # steps between two looks at which episodes have ended


class Evaluator(NamedTuple):
    """The parts that turn genomes into outcomes."""

    encoding: Encoding
    policy: Policy
    task: Task
    sizes: Sizes

    def bind(self, data: Any) -> "Evaluator":
        """Return the evaluator with other `data` of its task, which may be traced."""
        bind = self.task.bind
        return self if bind is None else self._replace(task=bind(data))


class Trial(NamedTuple):
    """What an evaluation consists of.

    Policies of one key share their initial parameters and the randomness of their
    episodes: common random numbers, which make candidates comparable.
    """

    blocks: Sequence[Block]  # the genomes, with the number of policies of each
    pick: Pick  # returns one of the genomes by its index in a block
    episodes: int  # of each policy
    # Returns parameters that all policies share, if `pick` returns differences to them.
    shared: Callable[[Any], Params] | None = None


class Given(NamedTuple):
    """The arrays that a device needs to evaluate any of the policies."""

    genomes: Any  # the collection that `Trial.pick` selects from
    starts: Start  # (keys, …)
    episodes: Key  # (keys,)
    groups: Array  # int32: number of groups to evaluate, from the first


class Played(NamedTuple):
    """How far an evaluation is after a call of `play`."""

    ended: Array  # (devices,) int32: groups whose outcome is known
    groups: Array  # int32: groups to evaluate
    spent: Spent  # (devices,) in this call

    @property
    def is_over(self) -> bool:
        """Whether all outcomes are known."""
        return int(np.sum(self.ended)) == int(self.groups)


def place(evaluator: Evaluator, on: Sequence[jax.Device]) -> Evaluator:
    """Return the evaluator with the data of its task on the devices `on`."""
    task = evaluator.task
    if task.bind is None:
        return evaluator
    data = devices.place(task.data, on)
    return evaluator._replace(task=task._replace(data=data))


def distribute(
    function: Callable, evaluator: Evaluator, on: Sequence[jax.Device], **options: bool
) -> Callable:
    """Return a function of the evaluator as `devices.distribute` does.

    ``function(evaluator, own, *args)`` returns ``(own, result)``. The data of the
    evaluator's task is an argument of the compiled program. If the program closed over
    it, it would hold a copy as a constant.
    """
    data = evaluator.task.data
    if evaluator.task.bind is None:
        return devices.distribute(functools.partial(function, evaluator), on, **options)

    def bound(own, data, *args):
        return function(evaluator.bind(data), own, *args)

    run = devices.distribute(bound, on, **options)
    return lambda own, *args: run(own, data, *args)


def prepare(
    evaluator: Evaluator,
    trial: Trial,
    genomes: Any,
    policy_keys: Key,
    active: Array | None = None,
) -> Given:
    """Do what all candidates share, on all devices.

    Args:
        evaluator: the parts.
        trial: what to evaluate.
        genomes: the collection that `trial.pick` selects from.
        policy_keys: the keys of the policies of all blocks, one block after another.
        active: number of blocks to evaluate, from the first; None for all.
    """
    encoding, layout = evaluator.encoding, _lay_out(evaluator, trial)
    last = len(trial.blocks) if active is None else active
    count_groups, count_keys = (
        jnp.asarray(ends, jnp.int32)[last]
        for ends in (layout.group_ends, layout.key_ends)
    )
    of_policies = jax.vmap(keys.of_policy)(policy_keys)
    starts = devices.share_each(
        lambda each, i: encoding.start(each[i]),
        of_policies.start,
        len(policy_keys),
        count_keys,
    )
    return Given(genomes, starts, of_policies.episodes, count_groups)


def begin(evaluator: Evaluator, trial: Trial, given: Given, task: TaskState) -> Any:
    """Return this device's progress before its first step; None on the host."""
    if evaluator.task.host is not None:
        return None
    load, items, _ = _share(evaluator, trial, given)
    width = _lay_out(evaluator, trial).width
    slots = max(1, evaluator.sizes.chunk // width)
    actor = _actor(evaluator, trial, given)
    return evaluator.task.begin(actor, load, task, len(items), slots)


def play(
    evaluator: Evaluator,
    trial: Trial,
    given: Given,
    task: TaskState,
    progress: Progress,
    allowance: Allowance,
) -> tuple[Progress, Played]:
    """Let this device play its policies until all have ended, or `allowance` is spent.

    How often this is called does not affect the outcomes.
    """
    load, _, count = _share(evaluator, trial, given)
    actor = _actor(evaluator, trial, given)
    progress, spent = evaluator.task.play(
        actor, load, task, count, progress, allowance, evaluator.sizes.stride
    )
    ended, spent = devices.every((progress.ended, spent))
    return progress, Played(ended, given.groups, spent)


def outcomes(
    evaluator: Evaluator, trial: Trial, progress: Progress | Outcome
) -> list[Outcome]:
    """Return the outcomes of each block, (G, policies, …), from all devices.

    What has been played on the host is no progress of a device, but all outcomes.
    """
    layout = _lay_out(evaluator, trial)
    if isinstance(progress, Outcome):
        found = progress
    else:
        found = devices.gather(progress.outcomes, len(layout.keys))
    # What is not finite has failed, an infinite return too: see `types.Environment`.
    finite = jnp.isfinite(found.returns)
    found = found._replace(returns=jnp.where(finite, found.returns, jnp.nan))
    return [jax.tree.map(part, found) for part in layout.parts]


def _actor(evaluator: Evaluator, trial: Trial, given: Given) -> Actor:
    """Return how policies act, given what `_load` returns of them."""
    policy = evaluator.policy
    if trial.shared is not None:
        policy = near(policy, trial.shared(given.genomes))
    return act_with(policy)


def _lay_out(evaluator: Evaluator, trial: Trial) -> Layout:
    return lay_out(trial.blocks, evaluator.sizes.width)


def _share(
    evaluator: Evaluator, trial: Trial, given: Given
) -> tuple[LoadGroups, Array, Array]:
    """Return what loads this device's groups, their numbers, and how many to play."""
    layout = _lay_out(evaluator, trial)
    groups, count = devices.deal(len(layout.keys), given.groups)

    def load(i: Array) -> Group:
        return _load(evaluator, layout, trial, given, groups[i])

    return load, groups, count


def load(evaluator: Evaluator, trial: Trial, given: Given, groups: Array) -> Group:
    """Return groups by their numbers, decoded by all devices together."""
    layout = _lay_out(evaluator, trial)

    def decode(args: tuple[Given, Array], items: Array, number: Array) -> Group:
        given, groups = args
        return _load(evaluator, layout, trial, given, groups[items])

    return devices.share(decode, (given, groups), len(groups))


def _load(
    evaluator: Evaluator, layout: Layout, trial: Trial, given: Given, groups: Array
) -> Group:
    """Return groups by their numbers in `layout`, their policies decoded."""
    width = layout.width
    genome_of, key_of = jnp.asarray(layout.genomes), jnp.asarray(layout.keys)

    def decode(i: Array) -> Params:
        genome = trial.pick(given.genomes, genome_of[i])
        if trial.shared is not None:
            return genome
        start = trees.take(given.starts, key_of[i // width])
        return evaluator.encoding.decode(genome, start)

    policies = (groups[:, None] * width + jnp.arange(width)).reshape(-1)
    params = trees.map_batches(decode, policies, evaluator.sizes.decode_chunk)
    valid = jax.vmap(trees.is_finite)(params)
    params, valid = jax.tree.map(
        lambda x: x.reshape(-1, width, *x.shape[1:]), (params, valid)
    )
    of_groups = given.episodes[key_of[groups]]
    episode_keys = jax.vmap(keys.episode_keys, (0, None))(of_groups, trial.episodes)
    return Group(params, episode_keys, valid, jnp.asarray(layout.roles)[groups])
