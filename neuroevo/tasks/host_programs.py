"""What is compiled for a rollout on the host: how policies enter, and how they act."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neuroevo.core import acting, keys, rollout, trees
from neuroevo.progress import Group
from neuroevo.spaces import Box, choices
from neuroevo.tasks.normalization import Normalizer
from neuroevo.types import Actor, Array, HostEnvironment, Memory, Params, TaskState


class Slots(NamedTuple):
    """What the policies in S slots have on the device."""

    params: Params  # (S, …)
    carry: Any  # (S, …) what the normalizer has gathered
    memory: Memory  # (S, R, …)


class Entered(NamedTuple):
    """What the host must know about B policies that have entered."""

    seeds: Any  # (B, E) of their episodes
    moves: Any  # (B, E, 2) data of the keys of their actions
    valid: Any  # (B,) bool


class Programs(NamedTuple):
    """An environment, and what is compiled for it.

    Attributes:
        environment: the environment.
        per_episode: whether normalization needs all episodes of a policy together.
        empty: ``(actor, rows, state, group, size) -> Slots`` of zeros.
        enter: ``(actor, rows, state, slots, group, free) -> (Slots, Entered)``.
        act: ``(actor, state, slots, observations, legal, t, alive, moves) ->
            (actions, carry, memory)``; `legal` is None if all actions are.
        stats: ``carry -> stats`` of each slot.
        begin_stats: ``state -> stats`` of a policy before its first step.
    """

    environment: HostEnvironment
    per_episode: bool
    empty: Callable[..., Slots]
    enter: Callable[..., tuple[Slots, Entered]]
    act: Callable[..., tuple[Array, Any, Memory]]
    stats: Callable[..., Any]
    begin_stats: Callable[[TaskState], Any]


def make_programs(environment: HostEnvironment, normalizer: Normalizer) -> Programs:
    """Compile, when they are used, what the rollouts of a task need."""
    is_box = isinstance(environment.spec.action, Box)
    shape, of_choices = environment.spec.observation, choices(environment.spec.action)

    def loaded(actor: Actor, state: TaskState, group: Group, rows: int) -> Slots:
        params = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), group.params)
        count = group.valid.size

        def repeat(x: Any, *sizes: int) -> Array:
            return jnp.broadcast_to(x, (*sizes, *jnp.shape(x)))

        carry = jax.tree.map(lambda x: repeat(x, count), normalizer.start(state))
        memory = jax.vmap(actor.init_memory, axis_size=count)(params)
        memory = jax.tree.map(
            lambda x: jnp.repeat(x[:, None], rows, axis=1), trees.strong(memory)
        )
        return Slots(params, trees.strong(carry), memory)

    def enter(
        actor: Actor,
        rows: int,
        state: TaskState,
        slots: Slots,
        group: Group,
        free: Array,
    ) -> tuple[Slots, Entered]:
        width = group.valid.shape[1]
        drawn = rollout.split(group.keys)
        seeds = jax.vmap(jax.vmap(keys.host_seed))(drawn.reset)
        found = Entered(
            jnp.repeat(seeds, width, axis=0),
            jnp.repeat(jax.random.key_data(drawn.act), width, axis=0),
            group.valid.reshape(-1),
        )
        new = loaded(actor, state, group, rows)
        slots = jax.tree.map(lambda x, y: x.at[free].set(y, mode="drop"), slots, new)
        return slots, found

    def empty(actor: Actor, rows: int, state: TaskState, group: Group, size: int):
        like = jax.eval_shape(functools.partial(loaded, actor, rows=rows), state, group)
        return trees.zeros(size, like)

    def act_in_slot(actor, state, slots, observations, legal, t, alive, moves):
        observations = observations.astype(jnp.float32).reshape(-1, *shape)
        seen = normalizer.observe(state, slots.carry, observations, alive)
        observations = normalizer.apply(state, seen, observations)
        each = jax.random.wrap_key_data(moves, impl=keys.IMPLEMENTATION)
        drawn = jax.vmap(keys.at_step)(each, t)
        begun = actor.init_memory(slots.params)
        memory = jax.vmap(lambda t, x: trees.where(t == 0, begun, x))(t, slots.memory)
        if legal is not None:
            legal = acting.some(legal, of_choices)
        act = jax.vmap(functools.partial(actor.act, slots.params))
        actions, memory = act(memory, observations, legal, drawn)
        if legal is not None:
            enforce = functools.partial(acting.enforce, counts=of_choices)
            actions = jax.vmap(enforce)(actions, legal)
        if is_box:
            actions = jnp.clip(actions, -1.0, 1.0)
        return actions, seen, trees.strong(memory)

    def act(actor, state, slots, *rows):
        return jax.vmap(functools.partial(act_in_slot, actor, state))(slots, *rows)

    return Programs(
        environment,
        normalizer.per_episode,
        empty,
        jax.jit(enter, static_argnums=(0, 1), donate_argnums=3),
        jax.jit(act, static_argnums=0),
        jax.jit(jax.vmap(normalizer.stats)),
        lambda state: normalizer.stats(normalizer.start(state)),
    )
