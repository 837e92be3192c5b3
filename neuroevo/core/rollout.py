"""The rollout: many policies play at once, and queued ones replace finished ones.

It knows nothing about environments: a task turns one into `Dynamics`. Policies come in
groups (see `neuroevo.core.layout`), and each group in play occupies a *slot*. All slots
advance together, step by step; once enough groups have ended, the next ones enter.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neuroevo.core import keys, trees
from neuroevo.core.keys import EpisodeKeys
from neuroevo.progress import Allowance, Progress, Spent
from neuroevo.types import (
    Act,
    Action,
    Actor,
    ActWith,
    Array,
    EnvState,
    Key,
    LoadGroups,
    Memory,
    Observation,
    Outcome,
    Params,
    TaskState,
)


class Episodes(NamedTuple):
    """The state of a policy's E episodes between steps: sums, never a trajectory."""

    state: EnvState  # (E, …)
    observation: Observation  # (E, *observation) not normalized
    alive: Array  # (E,) bool
    returns: Array  # (E,)
    lengths: Array  # (E,) int32
    normalizer: Any  # the statistics that the normalizer has gathered
    memory: Memory = ()  # (E, …) of the policy
    descriptors: Any = None  # (E, D) as of the last step; None if there are none


class Moves(NamedTuple):
    """The keys (E,) of a policy's episodes, from which each step derives its own."""

    act: Key
    step: Key


class Dynamics(NamedTuple):
    """How the E parallel episodes of one policy proceed.

    Attributes:
        begin: returns the initial episodes for the keys (E,) of their resets, without
            the memory of a policy: see `remember`.
        advance: takes step `t` of all episodes; also returns their actions and rewards.
            The returns and lengths of episodes that have ended stay as they are.
        finish: returns the outcome.
        max_steps: the time limit in steps.
        skipped: returns how many steps earlier than the time limit episodes end, given
            their `Role`; None for whole episodes.
    """

    begin: Callable[[TaskState, Key], Episodes]
    advance: Callable[
        [Act, TaskState, Moves, Array, Episodes],
        tuple[Episodes, tuple[Action, Array]],
    ]
    finish: Callable[[Episodes], Outcome]
    max_steps: int
    skipped: Callable[[TaskState, Array], Array] | None = None


class Slots(NamedTuple):
    """Groups of policies in play, one in each of S slots."""

    group: Array  # (S,) int32 number of the group; out of range for an empty slot
    t: Array  # (S,) int32 steps taken or skipped
    params: Params  # (S, width, …)
    valid: Array  # (S, width) bool: the others get no return
    moves: Array  # (S, 2, E, …) the data of `Moves`
    episodes: Episodes  # (S, width, E, …)


def begin(
    dynamics: Dynamics,
    actor: Actor,
    load: LoadGroups,
    state: TaskState,
    size: int,
    slots: int,
) -> Progress:
    """Return the progress before the first step: see `types.BeginPlay`."""
    slots = min(slots, size)
    enter = functools.partial(_enter, dynamics, actor, load, state, size)
    empty = trees.zeros(slots, jax.eval_shape(enter, jnp.arange(slots)))
    empty = empty._replace(group=jnp.full(slots, size))
    outcomes = jax.eval_shape(functools.partial(_outcomes, dynamics), empty)
    return Progress(jnp.int32(0), jnp.int32(0), empty, trees.zeros(size, outcomes))


def play(
    dynamics: Dynamics,
    actor: Actor,
    load: LoadGroups,
    state: TaskState,
    count: Array | int,
    progress: Progress,
    allowance: Allowance,
    stride: int = 1,
) -> tuple[Progress, Spent]:
    """Play until all groups have ended or `allowance` is spent: see `types.Play`."""
    slots, size = len(progress.slots.t), len(progress.outcomes.returns)
    # The number of groups that enter at a time: all of them if each has a slot. If not,
    # a few, so that slots do not stay empty; decoding some together is cheaper.
    batch = slots if slots == size else max(1, slots // 4)
    enter = functools.partial(_enter, dynamics, actor, load, state, count)

    def affordable(spent: Spent) -> Array:
        cost = spent.steps * allowance.step + spent.entries * allowance.entry
        return cost < allowance.seconds

    def unfinished(carry):
        progress, spent = carry
        return (progress.ended < count) & affordable(spent)

    def proceed(carry):
        (entered, _, now, outcomes), spent = carry
        entered, now, spent = jax.lax.while_loop(
            has_room, next_groups, (entered, now, spent)
        )
        wanted = jnp.where(entered < count, batch, slots)
        now, spent = _advance(
            dynamics, actor.act, state, now, wanted, affordable, spent, stride
        )
        busy = _busy(dynamics, now)
        known = jnp.where(busy | (now.group >= count), size, now.group)
        outcomes = jax.tree.map(
            lambda x, y: x.at[known].set(y, mode="drop"),
            outcomes,
            _outcomes(dynamics, now),
        )
        ended = jnp.minimum(entered, count) - jnp.sum(busy)
        return Progress(entered, ended, now, outcomes), spent

    def has_room(carry):
        entered, now, spent = carry
        free = jnp.sum(~_busy(dynamics, now))
        return (free >= batch) & (entered < count) & affordable(spent)

    def next_groups(carry):
        entered, now, spent = carry
        free = jnp.argsort(_busy(dynamics, now), stable=True)[:batch]
        entering = enter(entered + jnp.arange(batch))
        now = jax.tree.map(lambda x, y: x.at[free].set(y), now, entering)
        return entered + batch, now, spent._replace(entries=spent.entries + 1)

    nothing = Spent(jnp.int32(0), jnp.int32(0))
    return jax.lax.while_loop(unfinished, proceed, (progress, nothing))


def _enter(
    dynamics: Dynamics,
    actor: Actor,
    load: LoadGroups,
    state: TaskState,
    count: Array | int,
    groups: Array,
) -> Slots:
    """Return slots with `groups` at the beginning of their episodes."""
    loaded = load(jnp.clip(groups, 0, count - 1))
    drawn = split(loaded.keys)
    episodes = jax.vmap(functools.partial(dynamics.begin, state))(drawn.reset)
    width = loaded.valid.shape[1]
    episodes = jax.tree.map(lambda x: jnp.repeat(x[:, None], width, axis=1), episodes)
    memory = jax.vmap(jax.vmap(functools.partial(remember, actor)))
    t: Array | int = 0
    if dynamics.skipped is not None:
        t = dynamics.skipped(state, jnp.broadcast_to(loaded.role, groups.shape))
    return Slots(
        group=groups,
        t=jnp.where(groups < count, t, dynamics.max_steps),
        params=loaded.params,
        valid=loaded.valid,
        moves=jnp.stack([jax.random.key_data(k) for k in drawn[1:]], axis=1),
        episodes=memory(loaded.params, episodes),
    )


def remember(actor: Actor, params: Params, episodes: Episodes) -> Episodes:
    """Return a policy's `episodes` at their beginning, with its initial memory."""
    count = len(episodes.alive)
    memory = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (count, *x.shape)),
        trees.strong(actor.init_memory(params)),
    )
    return episodes._replace(memory=memory)


def _busy(dynamics: Dynamics, now: Slots) -> Array:
    """Return which slots have an episode that has not ended, (S,) bool."""
    return now.episodes.alive.any(axis=(1, 2)) & (now.t < dynamics.max_steps)


def _advance(
    dynamics: Dynamics,
    act: ActWith,
    state: TaskState,
    now: Slots,
    wanted: Array,
    affordable: Callable[[Spent], Array],
    spent: Spent,
    stride: int,
) -> tuple[Slots, Spent]:
    """Take steps until `wanted` slots are free, or as many as are affordable."""
    impl = keys.IMPLEMENTATION
    moves = Moves(*jax.random.wrap_key_data(now.moves.swapaxes(0, 1), impl=impl))
    step = jax.vmap(functools.partial(_step, dynamics, act, state))

    def going(carry):
        t, episodes, spent = carry
        busy = _busy(dynamics, now._replace(t=t, episodes=episodes))
        return (jnp.sum(~busy) < wanted) & affordable(spent)

    def one(_, carry):
        t, episodes = carry
        return t + 1, step(moves, t, now.params, episodes)

    def body(carry):
        *played, spent = carry
        played = tuple(played)
        if stride == 1:  # as a loop, it would take longer to compile
            played = one(0, played)
        else:
            played = jax.lax.fori_loop(0, stride, one, played)
        return *played, spent._replace(steps=spent.steps + stride)

    t, episodes, spent = jax.lax.while_loop(going, body, (now.t, now.episodes, spent))
    return now._replace(t=t, episodes=episodes), spent


def _step(
    dynamics: Dynamics,
    act: ActWith,
    state: TaskState,
    moves: Moves,
    t: Array,
    params: Params,
    episodes: Episodes,
) -> Episodes:
    """Return the episodes (width, E, …) of a group after step `t`."""

    def step(params: Params, episodes: Episodes) -> Episodes:
        own = functools.partial(act, params)
        return dynamics.advance(own, state, moves, t, episodes)[0]

    if episodes.alive.shape[0] > 1:  # what depends on keys alone is computed once
        return jax.vmap(step)(params, episodes)
    # Tracing a physics engine takes a fifth longer with one more `vmap`.
    alone = step(trees.take(params, 0), trees.take(episodes, 0))
    return jax.tree.map(lambda x: x[None], alone)


def _outcomes(dynamics: Dynamics, now: Slots) -> Outcome:
    """Return the outcomes (S, width, …) of all slots as they are now."""
    outcomes = jax.vmap(jax.vmap(dynamics.finish))(now.episodes)
    returns = jnp.where(now.valid[..., None], outcomes.returns, jnp.nan)
    return outcomes._replace(returns=returns)


def split(episodes: Key) -> EpisodeKeys:
    """Return the keys derived from `episodes`, each of the same shape."""
    drawn = jax.vmap(keys.of_episode)(episodes.reshape(-1))
    return jax.tree.map(lambda key: key.reshape(episodes.shape), drawn)
