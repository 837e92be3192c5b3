"""The rollout on the host: many episodes proceed together, step by step.

As in `neuroevo.core.rollout`, groups of policies play in slots, and as soon as a
quarter of the slots are free, the next groups enter. The actions of all episodes come
from one compiled call. Environments take no steps after the end of an episode.
"""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.errors import UserError
from neuroevo.tasks.host_programs import Programs
from neuroevo.types import (
    Actor,
    Array,
    Instances,
    LoadGroups,
    Memory,
    Outcome,
    Shown,
    TaskState,
)

_AT_ONCE = 256  # episodes of a policy; more of them follow one another


class Taken(NamedTuple):
    """A step of B episodes, of numpy."""

    policies: Any  # (B,)
    episodes: Any  # (B,) numbers of the policy's episodes
    t: Any  # (B,)
    observations: Any
    actions: Any  # as policies chose them
    rewards: Any
    states: Any = ()


class Rollout:
    """Policies that play in instances of an environment: see `types.HostPlay`.

    Only one rollout at a time may use the instances. The results do not depend on how
    long `play` is called, nor on the number of slots.
    """

    def __init__(
        self,
        programs: Programs,
        actor: Actor,
        load: LoadGroups,
        state: TaskState,
        groups: np.ndarray,
        shape: tuple[int, int, int],
        slots: int,
        instances: Instances | None = None,
        take: Callable[[Taken], None] | None = None,
        show: Callable[[], Any] = lambda: (),
    ) -> None:
        """Prepare; nothing begins yet.

        Args:
            programs: what is compiled for the environment.
            actor: how policies act.
            load: returns groups by their numbers.
            state: state of the task.
            groups: numbers of the groups to play.
            shape: number of groups with an outcome, policies in a group, and episodes.
            slots: groups that may play at a time.
            instances: where they play, if not in those of the environment.
            take: is given every step.
            show: returns what a step has as its states, before it is taken.

        Raises:
            UserError: if there are fewer instances than the normalization needs.
        """
        environment = programs.environment
        self._programs, self._actor, self._state = programs, actor, state
        self._load, self._groups, self._take, self._show = load, groups, take, show
        self._instances = environment.instances if instances is None else instances
        self._limit, descriptor = environment.max_steps, environment.descriptor
        _, self._width, episodes = shape
        self.ended, self._entered = 0, 0
        slots = max(1, min(slots, len(groups)))
        policies, self._rows = self._fit(slots * self._width, episodes)
        slots = max(1, policies // self._width)
        policies = slots * self._width
        # As in the compiled rollout: a few at a time, so that slots do not stay empty.
        self._batch = slots if slots >= len(groups) else max(1, slots // 4)
        self._policy = np.full(policies, -1)  # of each slot, out of all; -1: none
        self._next = np.zeros(policies, int)  # episode of the policy
        self._seeds = np.zeros((policies, episodes), np.int64)
        self._moves = np.zeros((policies, episodes, 2), np.uint32)
        row = (policies, self._rows)
        self._episode = np.full(row, -1)  # that each row plays; -1: none
        self._t, self._sum = np.zeros(row, np.int32), np.zeros(row)
        self._on_device: Any = None  # `Slots`, once a group has been loaded
        self._seen: Any = None  # `Shown`: (policies, rows, …)
        self.outcomes = Outcome(
            self._zeros(shape, np.float32),
            self._zeros(shape, np.int32),
            jax.tree.map(
                lambda x: np.zeros((*shape[:2], *x.shape), x.dtype),
                jax.eval_shape(programs.begin_stats, state),
            ),
            self._zeros(shape, np.bool_),
            descriptor and self._zeros((*shape, len(descriptor.names)), np.float32),
        )
        self._instances.require(policies * self._rows)

    def _zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return np.zeros(shape, dtype)

    def _fit(self, policies: int, episodes: int) -> tuple[int, int]:
        """Return how many policies play at a time, and in how many rows each."""
        most = self._programs.environment.most
        rows = episodes if self._programs.per_episode else min(episodes, _AT_ONCE)
        if most is None:
            return policies, rows
        if self._programs.per_episode and most < episodes * self._width:
            raise UserError(
                f"normalization episode: expected at least {episodes * self._width} "
                f"environments, for the episodes of a policy; the vector environment "
                f"has {most}"
            )
        rows = max(1, min(rows, most // self._width))
        return max(self._width, min(policies, most // rows)), rows

    def play(self, seconds: float) -> None:
        """Go on for about this time, or until all groups have ended."""
        if not seconds:  # compile what a step needs
            self._enter()
            if self._seen is not None:  # not all policies have failed
                self._act()
        until = time.monotonic() + seconds
        while self.ended < len(self._groups) and time.monotonic() < until:
            self._enter()
            self._step()

    @property
    def _free(self) -> np.ndarray:
        """The numbers of the slots that no group plays in."""
        return np.flatnonzero(self._policy[:: self._width] < 0)

    def _enter(self) -> None:
        """Let groups enter, as long as there is room for a batch of them."""
        while self._entered < len(self._groups) and len(self._free) >= self._batch:
            batch, width = self._batch, self._width
            entering = self._groups[self._entered : self._entered + batch]
            count = len(entering)
            slots = self._free[:batch]
            padded: Any = np.pad(entering, (0, batch - count), mode="edge")
            group = self._load(padded)
            where = (slots[:, None] * width + np.arange(width)).reshape(-1)
            free = where.copy()
            free[count * width :] = len(self._policy)  # nowhere
            if self._on_device is None:
                self._on_device = self._programs.empty(
                    self._actor, self._rows, self._state, group, len(self._policy)
                )
            self._on_device, entered = self._programs.enter(
                self._actor, self._rows, self._state, self._on_device, group, free
            )
            seeds, moves, valid = (np.asarray(x)[: count * width] for x in entered)
            where = where[: count * width]
            policies = entering[:, None] * width + np.arange(width)
            self._policy[where] = policies.reshape(-1)
            self._seeds[where], self._moves[where] = seeds, moves
            self._next[where] = self._rows
            self._entered += count
            self._episode[where] = np.arange(self._rows)
            self._begin(*np.nonzero(self._mask(where[valid])))
            self._fail(where[~valid])
            self._leave()

    def _mask(self, slots: np.ndarray) -> np.ndarray:
        mask = np.zeros(self._episode.shape, bool)
        mask[slots] = True
        return mask

    def _begin(self, slots: np.ndarray, rows: np.ndarray) -> None:
        """Begin the episodes that some rows are to play."""
        if not len(slots):
            return
        seeds = self._seeds[slots, self._episode[slots, rows]]
        seen = self._instances.reset(slots * self._rows + rows, seeds)
        if self._seen is None:
            row = self._episode.shape
            self._seen = jax.tree.map(
                lambda x: np.zeros((*row, *x.shape[1:]), x.dtype), seen
            )
        self._see(slots, rows, seen)
        self._t[slots, rows], self._sum[slots, rows] = 0, 0.0

    def _see(self, slots: np.ndarray, rows: np.ndarray, shown: Shown) -> None:
        """Remember what the environments of some rows show."""
        self._seen.observations[slots, rows] = shown.observations
        if shown.legal is not None:
            self._seen.legal[slots, rows] = shown.legal

    def _fail(self, slots: np.ndarray) -> None:
        """End policies whose parameters are not finite."""
        self._episode[slots] = -1
        self._next[slots] = self._seeds.shape[1]
        at = np.divmod(self._policy[slots], self._width)
        self.outcomes.returns[at] = np.nan
        if self.outcomes.descriptors is not None:
            self.outcomes.descriptors[at] = np.nan

    def _step(self) -> None:
        """Take a step of all episodes."""
        slots, rows = np.nonzero(self._episode >= 0)
        if not len(slots):
            return
        found, carry, memory = self._act()
        self._on_device = self._on_device._replace(carry=carry, memory=memory)
        actions = np.asarray(found)[slots, rows]
        before = self._seen.observations[slots, rows]
        sane = _finite(before) & _finite(actions)
        going = np.flatnonzero(sane)  # others have failed: they get no further
        rewards, ended = np.full(len(slots), np.nan), ~sane
        states = self._show()
        if len(going):
            seen, rewards[going], ended[going] = self._instances.step(
                (slots * self._rows + rows)[going],
                self._programs.environment.convert(actions[going]),
            )
            self._see(slots[going], rows[going], seen)
            broken = ~_finite(seen.observations)
            rewards[going[broken & ~ended[going]]] = np.nan
        if self._take:
            policies, episodes = self._policy[slots], self._episode[slots, rows]
            t = self._t[slots, rows]
            self._take(Taken(policies, episodes, t, before, actions, rewards, states))
        self._sum[slots, rows] += rewards
        self._t[slots, rows] += 1
        ended |= ~np.isfinite(rewards) | (self._t[slots, rows] >= self._limit)
        if ended.any():
            self._end(slots[ended], rows[ended])

    def _act(self) -> tuple[Array, Any, Memory]:
        """Return the actions of all rows, and what normalizer and policies remember."""
        episode = np.maximum(self._episode, 0)
        moves = np.take_along_axis(self._moves, episode[..., None], axis=1)
        return self._programs.act(
            self._actor,
            self._state,
            self._on_device,
            *self._seen,
            self._t,
            self._episode >= 0,
            moves,
        )

    def _end(self, slots: np.ndarray, rows: np.ndarray) -> None:
        """Note the outcomes of episodes that have ended, and begin the next ones."""
        at = (*np.divmod(self._policy[slots], self._width), self._episode[slots, rows])
        self.outcomes.returns[at] = self._sum[slots, rows]
        self.outcomes.lengths[at] = self._t[slots, rows]
        self.outcomes.truncated[at] = self._t[slots, rows] >= self._limit
        self._describe(at, self._seen.observations[slots, rows])
        for slot, row in zip(slots, rows, strict=True):
            more = self._next[slot] < self._seeds.shape[1]
            self._episode[slot, row] = self._next[slot] if more else -1
            self._next[slot] += more
        goes_on = self._episode[slots, rows] >= 0
        self._begin(slots[goes_on], rows[goes_on])
        self._leave()

    def _describe(self, at: tuple[np.ndarray, ...], last: np.ndarray) -> None:
        """Note what describes episodes, given what they showed last."""
        descriptor = self._programs.environment.descriptor
        if descriptor is None or descriptor.of is None:
            return
        found = np.asarray(jax.vmap(descriptor.of, (None, 0))(None, jnp.asarray(last)))
        failed = ~np.isfinite(self.outcomes.returns[at])
        self.outcomes.descriptors[at] = np.where(failed[:, None], np.nan, found)

    def _leave(self) -> None:
        """Let groups leave whose policies have all ended."""
        busy = (self._episode >= 0).any(axis=1).reshape(-1, self._width).any(axis=1)
        taken = self._policy[:: self._width] >= 0
        leaving = np.flatnonzero(taken & ~busy)
        if not len(leaving):
            return
        where = (leaving[:, None] * self._width + np.arange(self._width)).reshape(-1)
        at = np.divmod(self._policy[where], self._width)
        totals = jax.tree.leaves(self.outcomes.stats)
        if totals:
            stats = jax.tree.leaves(self._programs.stats(self._on_device.carry))
            for total, each in zip(totals, stats, strict=True):
                total[at] = np.asarray(each)[where]
        self._policy[where] = -1
        self.ended += len(leaving)


def _finite(x: np.ndarray) -> np.ndarray:
    """Return whether all numbers of each row are finite."""
    if x.dtype.kind != "f":
        return np.ones(len(x), bool)
    return np.isfinite(x.reshape(len(x), math.prod(x.shape[1:]))).all(axis=1)
