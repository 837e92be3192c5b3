"""Tasks: what policies are measured on."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from neuroevo.progress import Allowance, Group, Progress, Spent
from neuroevo.spaces import Spec
from neuroevo.types.arrays import (
    Array,
    Data,
    EnvState,
    Key,
    Observation,
    Params,
    Stats,
    Target,
    TaskState,
)
from neuroevo.types.environments import Descriptor
from neuroevo.types.policies import Actor


class Outcome(NamedTuple):
    """The results of one policy in E episodes, without trajectories."""

    returns: Array  # (E,) undiscounted return of each episode
    lengths: Array  # (E,) int32 number of steps of each episode
    stats: Stats  # summable over policies, for `Task.update`
    truncated: Any = None  # (E,) bool: ended by the time limit; None without episodes
    descriptors: Any = None  # (E, D), see `Task.descriptor`; NaN for failures


class Trajectory(NamedTuple):
    """One recorded episode of T steps, K of them kept; numpy arrays, to be shown."""

    observations: Any  # (K, *observation) as the environment gave them
    actions: Any  # (K, *action) as the environment received them
    rewards: Any  # (T,)
    states: EnvState  # pytree of (K, …): the environment's state before each step
    numbers: Any  # (K,) which steps they are, from 0, in order; the last is T - 1


class Picture(NamedTuple):
    """What an environment shows of itself, as the state of a recorded episode."""

    pixels: Any  # (…, height, width, 3) uint8


class LoadGroups(Protocol):
    """Return the groups with the numbers `groups`, (B,) int32."""

    def __call__(self, groups: Array, /) -> Group: ...


class InitTask(Protocol):
    """Return the initial state of a task, such as observation statistics."""

    def __call__(self, key: Key, /) -> TaskState: ...


class BeginPlay(Protocol):
    """Return the progress of `size` groups in `slots` slots before their first step.

    `actor` and `load` are those of `Play`.
    """

    def __call__(
        self,
        actor: Actor,
        load: LoadGroups,
        state: TaskState,
        size: int,
        slots: int,
        /,
    ) -> Progress: ...


class Play(Protocol):
    """Evaluate many policies in groups of `width`, several groups at a time.

    As soon as a quarter of the slots are free, the next groups enter, so that no policy
    waits long for another. How often a call returns does not affect the outcomes.

    Args:
        actor: acts as a policy, given its parameters.
        load: returns groups by their numbers.
        state: state of the task.
        count: number of groups to play, from the first; others have zero outcomes.
        progress: where to go on.
        allowance: when to return.
        stride: steps between two looks at which episodes have ended; it does not affect
            the outcomes.

    Returns:
        The progress, and what the call has done.
    """

    def __call__(
        self,
        actor: Actor,
        load: LoadGroups,
        state: TaskState,
        count: Array | int,
        progress: Progress,
        allowance: Allowance,
        stride: int = 1,
        /,
    ) -> tuple[Progress, Spent]: ...


class HostPlay(Protocol):
    """Policies that play on the host.

    Attributes:
        ended: number of groups whose outcome is known.
        outcomes: of numpy, (groups, width, E): zero where not known.
    """

    ended: int
    outcomes: Outcome

    def play(self, seconds: float, /) -> None:
        """Go on for about this time, or until all groups have ended."""


class BeginOnHost(Protocol):
    """Return groups of policies before their first step.

    Args:
        actor: how policies act, given their parameters.
        load: returns groups by their numbers, always the same number of them.
        state: state of the task.
        groups: numbers of the groups to play, of numpy.
        shape: size of the outcomes: groups, policies in a group, episodes.
        slots: groups that may play at a time.
    """

    def __call__(
        self,
        actor: Actor,
        load: LoadGroups,
        state: TaskState,
        groups: Any,
        shape: tuple[int, int, int],
        slots: int,
        /,
    ) -> HostPlay: ...


class Host(NamedTuple):
    """How policies play outside of compiled programs.

    Attributes:
        begin: begins to play.
        close: ends the processes of the environments.
        picture: records an episode with the environment's own pictures, if it has any,
            as the states of the trajectory.
    """

    begin: BeginOnHost
    close: Any
    picture: "Record"


class UpdateTask(Protocol):
    """Return the task's state after a generation with the summed `stats`."""

    def __call__(self, state: TaskState, stats: Stats, /) -> TaskState: ...


class Record(Protocol):
    """Return the trajectory of one episode of the policy with these `params`.

    It is called outside of compiled programs, so that it can stop when the episode
    ends. It compiles once for each `actor`. To limit memory, it keeps at most ``2 *
    keep`` evenly spaced steps and the last one; None keeps all.
    """

    def __call__(
        self,
        actor: Actor,
        params: Params,
        state: TaskState,
        key: Key,
        /,
        *,
        keep: int | None = None,
    ) -> Trajectory: ...


class Collected(NamedTuple):
    """What policies saw and did in episodes: R steps; numpy arrays."""

    observations: Any  # (R, *observation) as the environment gave them
    actions: Any  # (R, *action) as the environment received them
    episodes: Any  # (R,) int32: which episode a step belongs to
    returns: Any  # (B, E) of each policy's episodes


class Collect(Protocol):
    """Return all steps of B policies in E episodes each.

    Args:
        actor: acts as a policy, given its parameters.
        params: parameters of the policies, (B, …).
        state: state of the task.
        keys: keys of the episodes, (B, E).
    """

    def __call__(
        self, actor: Actor, params: Params, state: TaskState, keys: Key, /
    ) -> Collected: ...


class Normalize(Protocol):
    """Return an observation (…, *observation) as policies see it."""

    def __call__(
        self, state: TaskState, observation: Observation, /
    ) -> Observation: ...


class TaskConstants(Protocol):
    """Return the arrays by name that a genome file keeps of a task's state."""

    def __call__(self, state: TaskState, /) -> Mapping[str, Array]: ...


class BindData(Protocol):
    """Return a task with other data, of the same shapes, which may be traced."""

    def __call__(self, data: Data, /) -> "Task": ...


class DrawBatch(Protocol):
    """Return `size` random inputs of the training split, and their targets."""

    def __call__(self, key: Key, size: int, /) -> tuple[Array, Target]: ...


class Task(NamedTuple):
    """What policies are measured on: all that a search knows of its purpose.

    An environment becomes a task with its observation normalization, and an `Objective`
    with the network. A task made in Python can be passed as ``env``.

    Attributes:
        spec: observations and actions that networks are made for.
        init: returns the initial state.
        begin: returns the progress before the first step.
        play: evaluates policies.
        update: returns the state after a generation.
        record: records an episode, to be shown; None if there is nothing to show.
        constants: returns the arrays of the state that a genome file keeps.
        collect: returns all steps of several episodes; None if there are no episodes.
        normalize: returns an observation as policies see it; None if that depends on
            the episode so far.
        data: arrays that evaluations need, such as images with their labels. They are
            an argument of compiled programs and part of no checkpoint.
        bind: takes the place of `data` in what `begin`, `play` and `batch` use; the
            other functions must do without data. None if there is no data.
        batch: draws from the training split; None if there is none.
        by_role: whether the roles of evaluations differ, see `progress.Role`.
        host: plays on the host, in place of `begin` and `play`; None for compiled
            programs. With it, `init` is not called within one either.
        descriptor: what `Outcome.descriptors` are; None if there are none.
    """

    spec: Spec
    init: InitTask
    begin: BeginPlay
    play: Play
    update: UpdateTask
    record: Record | None
    constants: TaskConstants
    collect: Collect | None = None
    normalize: Normalize | None = None
    data: Data = ()
    bind: BindData | None = None
    batch: DrawBatch | None = None
    by_role: bool = False
    host: Host | None = None
    descriptor: Descriptor | None = None
