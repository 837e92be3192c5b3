"""What gradients minimize, and where pairs may start: the rows of a run."""

from typing import Any

import jax
import numpy as np

from neuroevo.core import bounds, keys, trees
from neuroevo.errors import UserError
from neuroevo.policies import imitation
from neuroevo.spaces import Box, Spec
from neuroevo.store import rows_file
from neuroevo.types import (
    Array,
    Encoding,
    Genome,
    Key,
    OuterLoss,
    Policy,
    Rows,
    Target,
    Task,
    TaskState,
)


def read_rows(settings: Any, spec: Spec) -> Rows | None:
    """Return the rows that the settings of a run name, if any.

    Raises:
        UserError: if they do not fit `spec`.
    """
    path = getattr(settings, "rows", None)
    return path and rows_file.to_rows(rows_file.read(path, spec), spec)


def statistics(rows: Rows) -> dict[str, Any]:
    """Return the mean and variance of the observations, for a normalization.

    A dimension that does not vary is centered, but not scaled.
    """
    observations = np.asarray(rows.observations, np.float64)
    weights = np.asarray(rows.weights, np.float64)
    mean = np.average(observations, axis=0, weights=weights)
    var = np.average((observations - mean) ** 2, axis=0, weights=weights)
    return {"obs_mean": mean, "obs_var": np.where(var < 1e-6, 1.0, var)}


def seen(rows: Rows, task: Task, state: TaskState | None = None) -> Rows:
    """Return rows with observations as policies of `task` see them.

    Without a `state`, it is the one that a run begins with.

    Raises:
        UserError: if that depends on more than an observation.
    """
    if task.normalize is None:
        raise UserError(
            "--rows: what a policy sees of a row is unknown with --normalization "
            "episode; expected --normalization constant or none"
        )
    if state is None:
        state = task.init(keys.warm_up(0))  # from given statistics, if from any
    observations = np.asarray(rows.observations, np.float32)
    return rows._replace(
        observations=trees.map_rows(task.normalize, observations, state)
    )


def check_memory(policy: Policy) -> None:
    """Raise a `UserError` if a policy has a memory, and cannot learn from rows."""
    if policy.init_memory is not None:
        raise UserError(
            "strategy gradients: expected a policy without memory, such as mlp; it "
            "learns from single rows, which are no sequences"
        )


def make_outer_loss(
    options: Any, encoding: Encoding, policy: Policy, spec: Spec, rows: Rows | None
) -> OuterLoss:
    """Return the loss for a strategy with `options`, given rows as policies see them.

    Raises:
        UserError: if the policy has no such loss, or a memory.
    """
    check_memory(policy)
    if not isinstance(spec.action, Box):
        default = "cross_entropy"
    else:  # the bounds of actions are no bounds of other numbers
        default = "clipped_mse" if rows else "mse"
    loss = imitation.find_loss(
        policy, options.loss, default=default, option="strategy.loss"
    )

    def loss_on(
        genome: Genome, key: Key, observations: Array, targets: Target
    ) -> Array:
        params = encoding.decode(genome, encoding.start(key))
        outputs = jax.vmap(policy.apply, (None, 0))(params, observations)
        return loss(outputs, targets)

    return OuterLoss(encoding.init, loss_on, rows, bounds.within(encoding))
