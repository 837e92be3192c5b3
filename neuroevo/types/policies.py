"""Policies, how they act, and examples of what they should do."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from neuroevo.differences import Difference
from neuroevo.types.arrays import (
    Action,
    Array,
    Key,
    Memory,
    Observation,
    Output,
    Params,
    Target,
)


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


class ApplyNear(Protocol):
    """Return what `Apply` returns for the sum of `params` and a difference.

    Where the difference has factors of a matrix, the sum need not be computed: a layer
    is ``x @ kernel + (left @ x) @ right``. If policies share `params`, the first
    product is one of matrices, whatever the number of policies.
    """

    def __call__(
        self,
        params: Params,
        difference: Difference,
        observation: Observation,
        /,
        *memory: Memory,
    ) -> Any: ...


class Head(Protocol):
    """Draw an action: an integer () or integers (choices,), or floats (*action,).

    The task clips floats to [-1, 1].
    """

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
        apply_near: the network for parameters that are given as a difference to others;
            None if they must be added first. `init_memory` then gets the others.

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
    apply_near: ApplyNear | None = None


class Rows(NamedTuple):
    """Examples of what a policy should do: R observations, and a target for each.

    They come from a teacher, from logged behavior, or from labeled data; arrays of
    numpy or JAX.
    """

    observations: Any  # (R, *observation)
    targets: Any  # (R,) labels, (R, n) probabilities, or (R, *action) actions
    weights: Any  # (R,) how often a row is drawn, relative to the others; at least 0


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
