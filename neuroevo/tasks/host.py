"""Tasks in environments outside of JAX: policies are compiled, episodes are not."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.core import keys
from neuroevo.progress import Group
from neuroevo.tasks.host_programs import Programs, make_programs
from neuroevo.tasks.host_rollout import Rollout, Taken
from neuroevo.tasks.normalization import Normalizer
from neuroevo.tasks.recording import Kept
from neuroevo.tasks.task import make_task, random_act
from neuroevo.types import (
    Actor,
    Collect,
    Collected,
    Environment,
    Host,
    HostEnvironment,
    Instances,
    Key,
    LoadGroups,
    Observation,
    Params,
    Picture,
    Record,
    Stats,
    Task,
    TaskState,
    Trajectory,
)


def task_in(environment: Environment | HostEnvironment, normalizer: Normalizer) -> Task:
    """Return the task in an environment, compiled or on the host."""
    if isinstance(environment, HostEnvironment):
        return make_host_task(environment, normalizer)
    return make_task(environment, normalizer)


def make_host_task(environment: HostEnvironment, normalizer: Normalizer) -> Task:
    """Combine an environment outside of JAX and a normalizer into a task.

    As in `make_task`, the key of an episode determines it: the environment gets a seed
    that is derived from the key.

    Args:
        environment: the environment.
        normalizer: the normalization; see `neuroevo.tasks.normalization`.

    Returns:
        The task, with a `Host`.
    """
    programs = make_programs(environment, normalizer)
    pictured = _Pictured(environment)

    def begin(
        actor: Actor,
        load: LoadGroups,
        state: TaskState,
        groups: Any,
        shape: tuple[int, int, int],
        slots: int,
    ) -> Rollout:
        return Rollout(programs, actor, load, state, groups, shape, slots)

    def close() -> None:
        environment.instances.close()
        pictured.close()

    def init(key: Key) -> TaskState:
        return normalizer.init(functools.partial(_warm_up, environment, key))

    def normalize(state: TaskState, observation: Observation) -> Observation:
        return normalizer.apply(state, normalizer.start(state), observation)

    return Task(
        spec=environment.spec,
        init=init,
        begin=_compiled,
        play=_compiled,
        update=normalizer.update,
        record=_make_record(programs, None),
        collect=_make_collect(programs),
        normalize=None if normalizer.per_episode else normalize,
        constants=normalizer.constants,
        host=Host(begin, close, _make_record(programs, pictured)),
        descriptor=environment.descriptor,
    )


def _compiled(*args: Any) -> Any:
    """Take the place of functions that the engine does not call for a host."""
    raise TypeError("an environment outside of JAX is played by Task.host")


class _Pictured:
    """An instance that can be rendered, made when it is needed."""

    def __init__(self, environment: HostEnvironment) -> None:
        self._make = environment.pictured
        self._instances: Instances | None = None

    def __call__(self) -> Instances:
        if self._instances is None:
            self._instances = self._make()
        return self._instances

    def close(self) -> None:
        if self._instances is not None:
            self._instances.close()


def _make_record(programs: Programs, pictured: _Pictured | None) -> Record:
    """Return `Task.record`, or `Host.picture` if there is a `pictured` instance."""

    def record(
        actor: Actor,
        params: Params,
        task_state: TaskState,
        key: Key,
        *,
        keep: int | None = None,
    ) -> Trajectory:
        load = _loading(jax.tree.map(lambda x: x[None], params), key[None, None])
        kept, instances = Kept(keep), pictured() if pictured else None

        def show() -> Any:
            picture = instances.render(0) if instances else None
            return () if picture is None else Picture(picture[None])

        def take(taken: Taken) -> None:
            steps = taken.observations, taken.actions, taken.rewards, taken.states
            kept.add(Trajectory(*steps, taken.t))

        shape = (1, 1, 1)
        playing = Rollout(
            programs,
            actor,
            load,
            task_state,
            np.arange(1),
            shape,
            1,
            instances=instances,
            take=take,
            show=show,
        )
        playing.play(np.inf)
        return kept.trajectory()

    return record


def _make_collect(programs: Programs) -> Collect:
    """Return `Task.collect`."""

    def collect(
        actor: Actor, params: Params, task_state: TaskState, episodes: Key
    ) -> Collected:
        count = len(episodes)
        parts: list[Taken] = []
        playing = Rollout(
            programs,
            actor,
            _loading(params, episodes),
            task_state,
            np.arange(count),
            (count, 1, episodes.shape[1]),
            count,
            take=parts.append,
        )
        playing.play(np.inf)
        steps = jax.tree.map(lambda *xs: np.concatenate(xs), *parts)
        number = steps.policies * episodes.shape[1] + steps.episodes
        order = np.lexsort((steps.t, number))
        return Collected(
            np.asarray(steps.observations[order], np.float32),
            steps.actions[order],
            number[order].astype(np.int32),
            playing.outcomes.returns[:, 0],
        )

    return collect


def _loading(params: Params, episodes: Key) -> LoadGroups:
    """Return what loads policies (B, …) in groups of one, with episodes (B, E)."""
    alone = jax.tree.map(lambda x: x[:, None], params)
    valid = jnp.ones((len(episodes), 1), bool)
    return lambda groups: Group(
        jax.tree.map(lambda x: x[groups], alone), episodes[groups], valid[groups]
    )


def _warm_up(
    environment: HostEnvironment, key: Key, gather: Normalizer, episodes: int
) -> Stats:
    """Return the statistics that `gather` collects in `episodes` of random actions."""
    programs = make_programs(environment, gather)
    drawn = keys.episode_keys(key, episodes)[None]
    state = gather.init(lambda *_: None)
    actor, load = random_act(environment.spec), _loading((), drawn)
    shape = (1, 1, episodes)
    playing = Rollout(programs, actor, load, state, np.arange(1), shape, 1)
    playing.play(np.inf)
    return jax.tree.map(lambda x: jnp.asarray(x[0, 0]), playing.outcomes.stats)
