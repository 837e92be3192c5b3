"""Tasks without an environment: any function of a network is a fitness."""

import functools

import jax
import jax.numpy as jnp

from neuroevo.progress import Allowance, Group, Progress, Role, Spent
from neuroevo.types import (
    Actor,
    Apply,
    Array,
    Data,
    Key,
    LoadGroups,
    Objective,
    Outcome,
    Params,
    Split,
    Task,
    TaskState,
)

_ONE = Split(examples=1, deterministic=False)


def make_objective_task(objective: Objective, apply: Apply) -> Task:
    """Return the task of networks, given by their `apply`, to maximize `objective`.

    A policy's episodes are measurements with keys of their own, and their lengths are
    the examples that these see.
    """

    def bind(data: Data) -> Task:
        return make_objective_task(objective._replace(data=data), apply)

    draw = objective.batch
    return Task(
        spec=objective.spec,
        init=lambda key: (),
        begin=_begin,
        play=functools.partial(_play, objective, apply),
        update=lambda state, stats: state,
        record=None,
        constants=lambda state: {},
        normalize=lambda state, observation: observation,
        data=objective.data,
        bind=bind,
        batch=None if draw is None else functools.partial(draw, objective.data),
        by_role=objective.splits is not None,
    )


def _begin(
    actor: Actor, load: LoadGroups, state: TaskState, size: int, slots: int
) -> Progress:
    """Return the progress before the first measurement: see `types.BeginPlay`.

    Its `slots` only tell how many groups are measured together.
    """
    together = jnp.arange(min(slots, size))
    group = jax.eval_shape(load, together)
    shape = (size, group.valid.shape[1], group.keys.shape[1])
    outcomes = Outcome(jnp.zeros(shape), jnp.zeros(shape, jnp.int32), ())
    return Progress(jnp.int32(0), jnp.int32(0), together, outcomes)


def _play(
    objective: Objective,
    apply: Apply,
    actor: Actor,
    load: LoadGroups,
    state: TaskState,
    count: Array | int,
    progress: Progress,
    allowance: Allowance,
    stride: int = 1,
) -> tuple[Progress, Spent]:
    """Measure groups until all are done or `allowance` is spent: see `types.Play`."""
    del actor, state, stride
    batch, size = len(progress.slots), len(progress.outcomes.returns)

    def unfinished(carry):
        progress, spent = carry
        affordable = spent.entries * allowance.entry < allowance.seconds
        return (progress.ended < count) & affordable

    def proceed(carry):
        progress, spent = carry
        groups = progress.entered + jnp.arange(batch)
        found = _outcomes(objective, apply, load(jnp.clip(groups, 0, count - 1)))
        known = jnp.where(groups < count, groups, size)
        outcomes = jax.tree.map(
            lambda x, y: x.at[known].set(y, mode="drop"), progress.outcomes, found
        )
        entered = progress.entered + batch
        progress = Progress(
            entered, jnp.minimum(entered, count), progress.slots, outcomes
        )
        return progress, spent._replace(entries=spent.entries + 1)

    nothing = Spent(jnp.int32(0), jnp.int32(0))
    return jax.lax.while_loop(unfinished, proceed, (progress, nothing))


def _outcomes(objective: Objective, apply: Apply, group: Group) -> Outcome:
    """Return the outcomes (B, width, E) of B groups."""
    count, episodes = group.keys.shape
    splits = objective.splits or (_ONE,) * len(Role)
    examples, deterministic = (jnp.array(each) for each in zip(*splits, strict=True))
    roles = jnp.broadcast_to(jnp.asarray(group.role, jnp.int32), (count,))
    data = jax.tree.map(jnp.asarray, objective.data)

    def measure(params: Params, key: Key, role: Array) -> Array:
        found = objective.measure(apply, params, key, role, data)
        return jnp.asarray(found, jnp.float32)

    # What depends on keys alone is computed once for the policies of a group.
    of_policies = jax.vmap(measure, (0, None, None))

    def of_group(params: Params, keys: Key, role: Array) -> Array:
        if not any(split.deterministic for split in splits) or episodes == 1:
            return jax.vmap(of_policies, (None, 0, None), 1)(params, keys, role)

        def one(i: Array, found: Array) -> Array:
            return found.at[:, i].set(of_policies(params, keys[i], role))

        once = deterministic[role]
        found = jnp.zeros((group.valid.shape[1], episodes))
        found = jax.lax.fori_loop(0, jnp.where(once, 1, episodes), one, found)
        return jnp.where(once, found[:, :1], found)

    numbers = jax.vmap(of_group)(group.params, group.keys, roles)
    returns = jnp.where(group.valid[..., None], numbers, jnp.nan)
    lengths = jnp.broadcast_to(examples[roles][:, None, None], numbers.shape)
    return Outcome(returns, lengths, ())
