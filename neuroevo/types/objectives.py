"""Any fitness of a network."""

from typing import NamedTuple, Protocol

from neuroevo.progress import Role
from neuroevo.spaces import Spec
from neuroevo.types.arrays import Array, Data, Key, Params, Target
from neuroevo.types.policies import Apply, Rows


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
