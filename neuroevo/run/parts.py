"""The parts of a run, and their sizes."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from neuroevo.core import keys
from neuroevo.errors import UserError
from neuroevo.spaces import Spec
from neuroevo.types import (
    Encoding,
    Environment,
    HostEnvironment,
    Objective,
    Policy,
    Strategy,
    Task,
)


class Parts(NamedTuple):
    """The parts of a run."""

    # What the part `env` is.
    environment: Environment | HostEnvironment | Objective | Task
    task: Task
    policy: Policy
    encoding: Encoding
    strategy: Strategy | None
    spec: Spec | None = None  # what networks are made for, if not for the environment

    @property
    def network_spec(self) -> Spec:
        """What networks are made for."""
        return self.spec or self.environment.spec

    @property
    def shares(self) -> bool:
        """Whether the candidates of a search share the weights of their center."""
        # Episodes outside of JAX, and objectives, take parameters as a whole.
        episodes = isinstance(self.environment, Environment)
        return (
            self.strategy is not None
            and self.strategy.differences
            and self.encoding.identity
            and self.policy.apply_near is not None
            and episodes
        )


def shapes(init: Callable) -> Any:
    """Return the shapes of the result of ``init(key)``, without computing it.

    Raises:
        UserError: if no device could hold the result.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of integers that it cannot hold, either
            return jax.eval_shape(init, keys.abstract())
    except OverflowError:
        raise UserError(
            "the network is too large: one of its arrays would have more than 2^31 "
            "numbers along an axis; expected fewer units"
        ) from None


def count(tree: Any) -> int:
    """Return the number of numbers in a pytree of arrays or shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def size(tree: Any) -> int:
    """Return the size of a pytree of arrays or shapes in bytes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
