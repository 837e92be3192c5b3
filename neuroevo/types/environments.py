"""Environments, in JAX and outside of it."""

from typing import Any, NamedTuple, Protocol

from neuroevo.spaces import Spec
from neuroevo.types.arrays import Action, Array, EnvState, Key, Observation


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


class Describe(Protocol):
    """Return what describes an episode, (D,), given what its last step returned."""

    def __call__(self, state: EnvState, observation: Observation, /) -> Array: ...


class Descriptor(NamedTuple):
    """What describes an episode in D numbers, besides its return.

    Attributes:
        names: names of the numbers.
        low: the lowest value of each, where a grid of behaviors begins.
        high: the highest value of each. Values outside of the range count as its ends.
        of: returns the numbers. An environment has it; a `Task` fills
            `Outcome.descriptors` itself.

    Example:
        Where an episode ended:

        >>> where = neuroevo.Descriptor(
        ...     ("x", "y"), (-1, -1), (1, 1), lambda state, observation: state
        ... )
        >>> where.of(jnp.array([0.5, 2.0]), None).shape
        (2,)
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    of: Describe | None = None


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
        descriptor: what describes an episode; None for nothing.

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
    descriptor: Descriptor | None = None


class Shown(NamedTuple):
    """What B environments outside of JAX show, of numpy.

    Attributes:
        observations: (B, …).
        legal: (B, n) bool, which discrete actions are legal, for all choices side by
            side; where none of a choice is, all are. None if all are legal.
    """

    observations: Any
    legal: Any = None


class Instances(Protocol):
    """Many environments alike, numbered from 0, whose steps are not compiled.

    All arrays are of numpy. B environments take part in a call, those in `rows`, (B,)
    integers in order.
    """

    def require(self, count: int, /) -> None:
        """Prepare for `count` environments."""

    def reset(self, rows: Any, seeds: Any, /) -> Shown:
        """Begin new episodes with `seeds`, (B,); return what they show.

        A seed, an integer below 2^31, determines all randomness of its episode.
        """

    def step(self, rows: Any, actions: Any, /) -> tuple[Shown, Any, Any]:
        """Return what they show, rewards (B,), and which episodes are over (B,).

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
        descriptor: what describes an episode, given no state; None for nothing.
    """

    spec: Spec
    instances: Instances
    max_steps: int
    convert: Any  # numpy to numpy
    pictured: Any
    most: int | None = None
    descriptor: Descriptor | None = None
