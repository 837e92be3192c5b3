"""The parts of a neuroevolution run, as values that hold pure functions.

Each part is a NamedTuple of functions over pytrees, in the manner of optax: anything
with these fields is a part. Shapes have no batch dimensions unless stated; the engine
adds them with ``vmap``. A protocol states each function's contract; arguments are
passed by position. A part with a name is made by *options*: a frozen dataclass whose
``build`` method returns the part; see `neuroevo.traits` for its further attributes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import jax

from neuroevo.progress import Allowance, Group, Progress, Role, Spent
from neuroevo.spaces import Spec

Array = jax.Array
Key = jax.Array  # a typed PRNG key (``jax.random.key``)
Genome = Any  # pytree of float arrays, over which a strategy searches
Start = Any  # pytree: the part of decoding that all candidates share
Params = Any  # pytree of arrays: the parameters of a policy
Observation = jax.Array
Action = jax.Array
Output = Any  # what a policy's network returns: logits, or (mean, log_std)
Memory = Any  # pytree of arrays: what a policy remembers of an episode
Target = jax.Array
EnvState = Any  # pytree of arrays: the state of one episode
TaskState = Any  # pytree of arrays: what a task learns during a run
Stats = Any  # pytree of arrays that can be summed over evaluations
StrategyState = Any  # pytree of arrays
Data = Any  # pytree of arrays: what an evaluation needs that does not change

_EMPTY: Mapping[str, Any] = MappingProxyType({})


# --- policies -------------------------------------------------------------------------


class InitParams(Protocol):
    """Draw the parameters of a fresh policy."""

    def __call__(self, key: Key, /) -> Params: ...


class InitMemory(Protocol):
    """Return the memory with which a policy begins an episode."""

    def __call__(self, params: Params, /) -> Memory: ...


class Apply(Protocol):
    """Return the network's output for one observation.

    The network of a policy with memory also takes its memory, and returns both the
    output and the memory for the next observation, with the same shapes and dtypes.
    """

    def __call__(
        self, params: Params, observation: Observation, /, *memory: Memory
    ) -> Any: ...


class Head(Protocol):
    """Draw an action: an integer () if discrete, else floats (*action,) in [-1, 1]."""

    def __call__(self, output: Output, key: Key, /) -> Action: ...


class Loss(Protocol):
    """Return how far outputs are from their targets, as a scalar.

    The outputs are those of a batch, with a leading axis D; the targets are D labels,
    (D, n) label probabilities or (D, *action) actions.
    """

    def __call__(self, outputs: Output, targets: Target, /) -> Array: ...


class Policy(NamedTuple):
    """A network with an action head.

    Attributes:
        init: draws parameters.
        apply: the network.
        act: the action head.
        losses: the imitation losses that fit the head, by name; the first one is the
            default.
        member: if the policy is an ensemble, the policy of each member. Parameters of
            the members are stacked along a first axis. None for a single network.
        init_memory: returns the memory at the start of an episode, a pytree of arrays;
            None for a policy without memory. With it, ``apply(params, observation,
            memory)`` returns ``(output, memory)``.

    Example:
        >>> linear = neuroevo.Policy(
        ...     init=lambda key: {"weights": jax.random.normal(key, (4, 2))},
        ...     apply=lambda params, observation: observation @ params["weights"],
        ...     act=lambda output, key: jnp.argmax(output),
        ...     losses={},
        ... )
        >>> params = linear.init(jax.random.key(0))
        >>> linear.apply(params, jnp.ones(4)).shape
        (2,)
    """

    init: InitParams
    apply: Apply
    act: Head
    losses: Mapping[str, Loss]
    member: "Policy | None" = None
    init_memory: InitMemory | None = None


class Rows(NamedTuple):
    """Examples of what a policy should do: R observations, and a target for each.

    They come from a teacher, from logged behavior, or from labeled data; arrays of
    numpy or JAX.
    """

    observations: Any  # (R, *observation)
    targets: Any  # (R,) labels, (R, n) probabilities, or (R, *action) actions
    weights: Any  # (R,) how often a row is drawn, relative to the others; at least 0


# --- encodings ------------------------------------------------------------------------


class InitGenome(Protocol):
    """Return the center of the search: a pytree of float arrays."""

    def __call__(self, key: Key, /) -> Genome: ...


class Decode(Protocol):
    """Return a policy's parameters, as arrays like those of `Policy.init`.

    It must be traceable under ``jit`` and ``vmap``.
    """

    def __call__(self, genome: Genome, start: Start, /) -> Params: ...


class StartDecoding(Protocol):
    """Return the part of decoding that does not depend on the genome."""

    def __call__(self, key: Key, /) -> Start: ...


class Encoding(NamedTuple):
    """How a genome becomes a policy's parameters.

    Attributes:
        init: returns the genome that the search starts from.
        decode: turns a genome, and what `start` returned, into parameters.
        start: takes a fresh key. The engine calls it once for each fresh policy and
            shares the result among all candidates of a generation, so that work that
            does not depend on the genome (such as drawing initial parameters) is done
            once. By default, the key itself is passed on.
        constants: arrays that are not evolved but belong in a genome file, such as
            fixed labels.

    Example:
        One number scales the weights of a fixed network:

        >>> def scaled(policy, spec):
        ...     fixed = policy.init(jax.random.key(0))
        ...     return neuroevo.Encoding(
        ...         init=lambda key: jnp.zeros(()),
        ...         decode=lambda scale, key: jax.tree.map(lambda x: scale * x, fixed),
        ...     )
        >>> encoding = scaled(run.parts.policy, run.parts.environment.spec)
        >>> encoding.decode(jnp.float32(2), None)["output"]["kernel"].shape
        (4, 2)
    """

    init: InitGenome
    decode: Decode
    start: StartDecoding = lambda key: key
    constants: Mapping[str, Array] = _EMPTY


# --- outer losses ---------------------------------------------------------------------


class LossOn(Protocol):
    """Return the loss of a fresh policy that a genome decodes to.

    It is differentiable with respect to the genome.

    Args:
        genome: the genome.
        key: the randomness of the policy.
        observations: (R, *observation) as policies see them.
        targets: what to do there.
    """

    def __call__(
        self, genome: Genome, key: Key, observations: Array, targets: Target, /
    ) -> Array: ...


class OuterLoss(NamedTuple):
    """What a strategy that follows gradients minimizes.

    Attributes:
        init: draws a genome to start from.
        loss_on: the loss of one fresh policy.
        rows: the examples, with observations as the policy sees them; None if the task
            draws them (`Task.batch`).
    """

    init: InitGenome
    loss_on: LossOn
    rows: Rows | None


# --- environments ---------------------------------------------------------------------


class Reset(Protocol):
    """Return the state and the observation that an episode begins with."""

    def __call__(self, key: Key, /) -> tuple[EnvState, Observation]: ...


class Step(Protocol):
    """Return the result of an action: state, observation, reward and done.

    The reward is a real scalar, `done` a boolean one. The action is an int32 scalar if
    the spec's action is `Discrete`, and float32 in ``[-1, 1]`` if it is a `Box`.
    """

    def __call__(
        self, key: Key, state: EnvState, action: Action, /
    ) -> tuple[EnvState, Observation, Array, Array]: ...


class Legal(Protocol):
    """Return which of the n discrete actions are legal in a state, (n,) bool."""

    def __call__(self, state: EnvState, /) -> Array: ...


class Environment(NamedTuple):
    """An environment, as pure functions for one episode at a time.

    `step` must not reset by itself. After the end of an episode it may return anything,
    including NaN, because the values are ignored. Before the end, a reward or an
    observation that is not finite makes the episode a failure: its return is NaN.

    Attributes:
        spec: shape of an observation, and the actions.
        reset: starts an episode.
        step: takes a step. `done` marks an end by the environment itself; the rollout
            enforces the time limit. The state is a pytree of arrays whose shapes and
            dtypes never change.
        max_steps: the time limit in steps, at least 1.
        legal: returns the legal ones of `Discrete` actions; None if all are legal.
            Illegal actions are never taken. Where none is legal, all are.

    Example:
        Ten steps, each of which rewards the action 1:

        >>> chooser = neuroevo.Environment(
        ...     spec=neuroevo.Spec(observation=(1,), action=neuroevo.Discrete(2)),
        ...     reset=lambda key: (jnp.zeros(()), jnp.ones(1)),
        ...     step=lambda key, state, action: (state, jnp.ones(1), action, False),
        ...     max_steps=10,
        ... )
        >>> state, observation = chooser.reset(jax.random.key(0))
        >>> state, observation, reward, done = chooser.step(None, state, jnp.int32(1))
        >>> int(reward), done
        (1, False)
    """

    spec: Spec
    reset: Reset
    step: Step
    max_steps: int
    legal: Legal | None = None


# --- environments outside of JAX ------------------------------------------------------


class Instances(Protocol):
    """Many environments alike, numbered from 0, whose steps are not compiled.

    All arrays are of numpy. B environments take part in a call, those in `rows`, (B,)
    integers in order.
    """

    def require(self, count: int, /) -> None:
        """Prepare for `count` environments."""

    def reset(self, rows: Any, seeds: Any, /) -> Any:
        """Begin new episodes with `seeds`, (B,); return observations (B, …).

        A seed, an integer below 2^31, determines all randomness of its episode.
        """

    def step(self, rows: Any, actions: Any, /) -> tuple[Any, Any, Any]:
        """Return observations (B, …), rewards (B,), and which episodes are over (B,).

        The actions, (B, …), come from `HostEnvironment.convert`.
        """

    def render(self, row: int, /) -> Any:
        """Return a picture of an environment, (height, width, 3) uint8, or None."""

    def close(self) -> None:
        """End what runs for them; it starts again when they are used again."""


class HostEnvironment(NamedTuple):
    """An environment outside of JAX, such as one of Gymnasium.

    Attributes:
        spec: shape of an observation, and the actions.
        instances: the environments that policies play in.
        max_steps: the time limit in steps, at least 1.
        convert: returns actions (B, …) for `instances`, given those of policies.
        pictured: returns an instance that can be rendered.
        most: the number of instances, if it is fixed.
    """

    spec: Spec
    instances: Instances
    max_steps: int
    convert: Any  # numpy to numpy
    pictured: Any
    most: int | None = None


# --- objectives -----------------------------------------------------------------------


class Measure(Protocol):
    """Return how good a network is, as a real scalar; more is better.

    It must be traceable under ``jit`` and ``vmap``. A number that is not finite ranks
    last.

    Args:
        apply: the network: returns the logits for an observation if the spec's action
            is `Discrete`, and (mean, log_std) if it is a `Box`.
        params: its parameters.
        key: the randomness of this measurement, which all candidates of a generation
            share. A measurement that does not use it is made once for each policy.
        role: int32 scalar, one of `Role`.
        data: `Objective.data`, or other arrays of the same shapes.
    """

    def __call__(
        self, apply: Apply, params: Params, key: Key, role: Array, data: Data, /
    ) -> Array: ...


class DrawFrom(Protocol):
    """Return `size` random inputs of the training split, and their targets."""

    def __call__(self, data: Data, key: Key, size: int, /) -> tuple[Array, Target]: ...


class ReadRows(Protocol):
    """Return all rows of the split that belongs to a role, as numpy arrays."""

    def __call__(self, role: Role, /) -> Rows: ...


class Split(NamedTuple):
    """The part of an objective's data that a role uses."""

    examples: int  # that one measurement sees, counted as environment steps
    deterministic: bool  # whether a measurement does not depend on its key


class Objective(NamedTuple):
    """Any fitness: a function of a network, instead of episodes in an environment.

    Attributes:
        spec: observations and actions that networks are made for.
        measure: returns how good a network is.
        data: arrays that `measure` needs, such as images with their labels; large ones
            belong here, because a function that closes over them makes them a part of
            the compiled program.
        splits: what the roles search, center and final use, if they differ. Without
            them a measurement counts as one environment step.
        rows: returns the rows of a split of labeled data.
        batch: draws a minibatch from the training split of labeled data.

    Example:
        Networks that are to be the sine:

        >>> x = jnp.linspace(-3, 3, 16)[:, None]
        >>> def minus_error(apply, params, key, role, data):
        ...     y, _ = jax.vmap(apply, (None, 0))(params, x)
        ...     return -jnp.mean((y - jnp.sin(x)) ** 2)
        >>> sine = neuroevo.Objective(
        ...     neuroevo.Spec(observation=(1,), action=neuroevo.Box((1,))), minus_error
        ... )
        >>> run = neuroevo.evolve(
        ...     env=sine, encoding="direct", population=8, generations=1
        ... )
        >>> run.best.config.names["env"]
        'Objective'
    """

    spec: Spec
    measure: Measure
    data: Data = ()
    splits: tuple[Split, Split, Split] | None = None
    rows: ReadRows | None = None
    batch: DrawFrom | None = None

    @property
    def train(self) -> Rows | None:
        """The training split, as numpy arrays; None without labeled data."""
        return self.rows(Role.SEARCH) if self.rows else None


# --- tasks ----------------------------------------------------------------------------


class Outcome(NamedTuple):
    """The results of one policy in E episodes, without trajectories."""

    returns: Array  # (E,) undiscounted return of each episode
    lengths: Array  # (E,) int32 number of steps of each episode
    stats: Stats  # summable over policies, for `Task.update`
    truncated: Any = None  # (E,) bool: ended by the time limit; None without episodes


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


class Act(Protocol):
    """A policy: return the action for one observation, and the memory after it.

    Args:
        memory: what the policy remembers of the episode; ``()`` without memory.
        observation: the observation.
        legal: (n,) bool, which actions are legal; None if all are.
        key: the randomness of the action.
    """

    def __call__(
        self, memory: Memory, observation: Observation, legal: Array | None, key: Key, /
    ) -> tuple[Action, Memory]: ...


class ActWith(Protocol):
    """`Act` of a policy that is given by its parameters."""

    def __call__(
        self,
        params: Params,
        memory: Memory,
        observation: Observation,
        legal: Array | None,
        key: Key,
        /,
    ) -> tuple[Action, Memory]: ...


class Actor(NamedTuple):
    """How policies act, given their parameters.

    Attributes:
        act: returns an action and the memory after it.
        init_memory: returns the memory at the start of an episode; ``()`` without
            memory.
    """

    act: ActWith
    init_memory: InitMemory = lambda params: ()


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


# --- strategies -----------------------------------------------------------------------


class InitStrategy(Protocol):
    """Return the state of a search that starts from `genome`."""

    def __call__(self, key: Key, genome: Genome, /) -> StrategyState: ...


class Ask(Protocol):
    """Return a population (a genome with a leading axis) and the state."""

    def __call__(
        self, key: Key, state: StrategyState, /
    ) -> tuple[Genome, StrategyState]: ...


class Tell(Protocol):
    """Return the state after the population's fitness, (N,), is known.

    A fitness that is not finite ranks last.
    """

    def __call__(
        self, key: Key, population: Genome, fitness: Array, state: StrategyState, /
    ) -> StrategyState: ...


class Center(Protocol):
    """Return the strategy's current answer, a genome."""

    def __call__(self, state: StrategyState, /) -> Genome: ...


class Improve(Protocol):
    """Return candidate `index`, with what the strategy keeps for it, improved.

    `batch` is that of the task.
    """

    def __call__(
        self, key: Key, state: StrategyState, index: Array, batch: DrawBatch | None, /
    ) -> Any: ...


class Gather(Protocol):
    """Return the state with the results of `Improve` for all candidates, (N, …)."""

    def __call__(self, state: StrategyState, results: Any, /) -> StrategyState: ...


class CurrentLoss(Protocol):
    """Return the loss of the strategy's current answer."""

    def __call__(self, state: StrategyState, /) -> Array: ...


class Descent(NamedTuple):
    """Work on each candidate before its evaluation, such as gradient steps.

    The engine divides the candidates among the devices, so that `improve` must depend
    on nothing but its arguments.

    Attributes:
        count: number of candidates, N.
        improve: works on one candidate.
        gather: takes in the results.
        loss: what the work reduces, for the metrics.
    """

    count: int  # type: ignore[assignment]  # a tuple has a method count
    improve: Improve
    gather: Gather
    loss: CurrentLoss


class Strategy(NamedTuple):
    """A search over genomes that maximizes fitness.

    Attributes:
        init: returns the state that a search begins with.
        ask: returns a population.
        tell: takes in its fitness.
        center: returns the current answer.
        descent: work on each candidate before a population is asked for; None for none.

    Example:
        The best of each population is the center of the next:

        >>> climb = neuroevo.Strategy(
        ...     init=lambda key, genome: genome,
        ...     ask=lambda key, at: (at + jax.random.normal(key, (8, *at.shape)), at),
        ...     tell=lambda key, some, fitness, at: some[jnp.nanargmax(fitness)],
        ...     center=lambda at: at,
        ... )
        >>> state = climb.init(None, jnp.zeros(3))
        >>> population, state = climb.ask(jax.random.key(0), state)
        >>> climb.tell(None, population, population.sum(axis=1), state).shape
        (3,)
    """

    init: InitStrategy
    ask: Ask
    tell: Tell
    center: Center
    descent: Descent | None = None
