"""Evaluates genomes: decodes their policies and plays episodes with them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neuroevo import devices
from neuroevo.core import keys, trees
from neuroevo.core.layout import Block, Layout, lay_out
from neuroevo.types import (
    Action,
    ActWith,
    Array,
    Encoding,
    Genome,
    Group,
    Key,
    Observation,
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


class Evaluator(NamedTuple):
    """The parts that turn genomes into outcomes."""

    encoding: Encoding
    policy: Policy
    task: Task
    sizes: Sizes


class _Given(NamedTuple):
    """The arrays that a device needs to evaluate any of the policies."""

    genomes: Any
    starts: Start  # (keys, …)
    episodes: Key  # (keys,)
    task: TaskState


def evaluate(
    evaluator: Evaluator,
    blocks: Sequence[Block],
    pick: Pick,
    genomes: Any,
    policy_keys: Key,
    episodes: int,
    task_state: TaskState,
    active: Array | None = None,
) -> list[Outcome]:
    """Evaluate fresh policies of each genome in each block.

    Policies of one key share their initial parameters and the randomness of their
    episodes: common random numbers, which make candidates comparable.

    Args:
        evaluator: the parts.
        blocks: the genomes, with the number of policies of each.
        pick: returns one of the genomes by its index in a block.
        genomes: the collection that `pick` selects from.
        policy_keys: the keys of the policies of all blocks, one block after another.
        episodes: number of episodes of each policy.
        task_state: the task's state.
        active: number of blocks to evaluate, from the first; None for all.

    Returns:
        The outcomes of each block, (G, policies, …).
    """
    encoding = evaluator.encoding
    layout = lay_out(blocks, evaluator.sizes.width)
    count_groups, count_keys = (
        None if active is None else jnp.asarray(ends)[active]
        for ends in (layout.group_ends, layout.key_ends)
    )
    of_policies = jax.vmap(keys.of_policy)(policy_keys)
    starts = devices.share_each(
        lambda each, i: encoding.start(each[i]),
        of_policies.start,
        len(policy_keys),
        count_keys,
    )

    def play(given: _Given, groups: Array, count: Array) -> Outcome:
        """Return the outcomes of the first `count` of `groups`."""
        slots = max(1, evaluator.sizes.chunk // layout.width)

        def load(i: Array) -> Group:
            return _load(evaluator, layout, pick, given, groups[i], episodes)

        act = act_with(evaluator.policy)
        return evaluator.task.play(act, load, given.task, len(groups), count, slots)

    given = _Given(genomes, starts, of_policies.episodes, task_state)
    outcomes = devices.share(play, given, len(layout.keys), count_groups)
    return [jax.tree.map(part, outcomes) for part in layout.parts]


def _load(
    evaluator: Evaluator,
    layout: Layout,
    pick: Pick,
    given: _Given,
    groups: Array,
    episodes: int,
) -> Group:
    """Return groups by their numbers in `layout`, their policies decoded."""
    width = layout.width
    genome_of, key_of = jnp.asarray(layout.genomes), jnp.asarray(layout.keys)

    def decode(i: Array) -> Params:
        start = trees.take(given.starts, key_of[i // width])
        return evaluator.encoding.decode(pick(given.genomes, genome_of[i]), start)

    policies = (groups[:, None] * width + jnp.arange(width)).reshape(-1)
    params = trees.map_batches(decode, policies, evaluator.sizes.decode_chunk)
    valid = jax.vmap(trees.is_finite)(params)
    params, valid = jax.tree.map(
        lambda x: x.reshape(-1, width, *x.shape[1:]), (params, valid)
    )
    of_groups = given.episodes[key_of[groups]]
    episode_keys = jax.vmap(keys.episode_keys, (0, None))(of_groups, episodes)
    return Group(params, episode_keys, valid)


def act_with(policy: Policy) -> ActWith:
    """Return the function that acts as `policy`, given its parameters."""

    def act(params: Params, observation: Observation, key: Key) -> Action:
        return policy.act(policy.apply(params, observation), key)

    return act
