"""One network for tasks of different shapes: observations padded, outputs cut.

As "Behaviour Distillation" makes multi-task data sets (HaDES, Lupu et al., ICLR 2024,
arXiv 2406.15042): what a task lacks is zero, and nothing else tells the tasks apart.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.errors import UserError
from neuroevo.types import (
    Array,
    Box,
    Discrete,
    Observation,
    Output,
    Params,
    Policy,
    Spec,
)

Shape = tuple[int, ...]


def common_shape(shapes: Sequence[Shape]) -> Shape:
    """Return the smallest shape that arrays of all `shapes` can be padded to.

    It is the largest along each axis; for shapes of different rank, of the flat arrays.
    """
    if len(set(map(len, shapes))) > 1:
        shapes = [(math.prod(shape),) for shape in shapes]
    return tuple(map(max, zip(*shapes, strict=True)))


def common_spec(specs: Sequence[Spec]) -> Spec:
    """Return the smallest spec that all of `specs` fit into.

    The actions are all discrete, and then as many as the most of them, or all `Box`.
    """
    actions = [spec.action for spec in specs]
    if isinstance(actions[0], Discrete):
        action = Discrete(max(action.n for action in actions))
    else:
        action = Box(common_shape([action.shape for action in actions]))
    return Spec(common_shape([spec.observation for spec in specs]), action)


def pad(x: Array, shape: Shape, value: float = 0.0) -> Array:
    """Return `x` with `value` appended along each axis, up to `shape`.

    An `x` of another rank than `shape` is flattened first. numpy arrays remain so.
    """
    x = x.reshape(-1) if x.ndim != len(shape) else x
    if x.shape == shape:
        return x
    widths = [(0, wide - own) for own, wide in zip(x.shape, shape, strict=True)]
    return (jnp if isinstance(x, jax.Array) else np).pad(
        x, widths, constant_values=value
    )


def cut(x: Array, shape: Shape) -> Array:
    """Return the array of `shape` that `pad` made `x` from."""
    if x.ndim != len(shape):
        return x[: math.prod(shape)].reshape(shape)
    return x[tuple(map(slice, shape))]


def restrict(policy: Policy, wide: Spec, own: Policy, spec: Spec) -> Policy:
    """Return `policy`, made for the spec `wide`, as a policy for the smaller `spec`.

    It pads what it observes, cuts the outputs down to the actions that there are, and
    acts as `own` does, a policy made for `spec`. Its parameters are those of `policy`.

    Raises:
        UserError: if `spec` does not fit into `wide`.
    """
    same_kind = type(spec.action) is type(wide.action)
    if not same_kind or common_spec([spec, wide]) != wide:
        raise UserError(
            f"the data set is for networks with {describe(wide)}: an environment with "
            f"{describe(spec)} does not fit; expected one that is no larger"
        )

    def apply(params: Params, observation: Observation) -> Output:
        output = policy.apply(params, pad(observation, wide.observation))
        return jax.tree.map(lambda x: cut(x, outputs(spec)), output)

    return own._replace(init=policy.init, apply=apply)


def outputs(spec: Spec) -> Shape:
    """Return the shape of what a network has to say of the actions."""
    action = spec.action
    return (action.n,) if isinstance(action, Discrete) else action.shape


def describe(spec: Spec) -> str:
    """Return a spec in words."""
    action = spec.action
    actions = (
        f"{action.n} discrete actions"
        if isinstance(action, Discrete)
        else f"continuous actions of shape {action.shape}"
    )
    return f"observations of shape {spec.observation} and {actions}"
