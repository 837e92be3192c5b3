"""Labeled data as an objective: splits, minibatches and scores.

The search measures candidates on minibatches of the training split, which all of them
share. The strategy's center is measured on the validation split during a run, and the
result on the test split, which nothing else uses.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.errors import UserError
from neuroevo.progress import Role
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.types import (
    Apply,
    Array,
    Data,
    Key,
    Objective,
    Output,
    Params,
    Rows,
    Split,
    Target,
)

Metric = Literal["accuracy", "cross_entropy"]
Score = Callable[[Output, Target, Array], Array]  # (outputs, targets, role), B of each

_BLOCK = 256  # examples that a network is applied to at once, about


class Labeled(NamedTuple):
    """N examples: numpy arrays."""

    inputs: np.ndarray  # (N, *observation) float32, or uint8 for [0, 1] in 255 steps
    targets: np.ndarray  # (N,) int32 labels, or (N, *output) float32

    def take(self, rows: np.ndarray) -> "Labeled":
        """Return some of the examples."""
        return Labeled(self.inputs[rows], self.targets[rows])

    def sorted(self) -> "Labeled":
        """Return the examples in the order of their labels, if they have labels."""
        if self.targets.ndim > 1:
            return self
        return self.take(np.argsort(self.targets, kind="stable"))


class Splits(NamedTuple):
    """The examples for each of the roles, in their order."""

    train: Labeled
    validation: Labeled
    test: Labeled


def hold_out(examples: Labeled, share: float, *seed: int) -> tuple[Labeled, Labeled]:
    """Return most of `examples`, and the others, which are a random `share` of them."""
    count = len(examples.targets)
    rows = np.random.RandomState(seed).permutation(count)  # its stream never changes
    held = round(share * count)
    return examples.take(np.sort(rows[held:])), examples.take(np.sort(rows[:held]))


def make_objective(
    splits: Splits, *, classes: int | None, batch_size: int | None, metric: Metric
) -> Objective:
    """Return the objective of predicting the targets of `splits`.

    Classification is measured in percent of correct answers. With the metric
    cross-entropy, the search receives minus the mean cross-entropy in nats instead.
    Regression is measured by minus the mean squared error.

    Args:
        splits: the data. If the validation split is empty, the center is measured on
            the training split.
        classes: number of classes; None for regression.
        batch_size: training examples in a minibatch; None for all.
        metric: what the search maximizes, for classification.

    Raises:
        UserError: if the training or test split is empty.
    """
    train, validation, test = splits
    for name, split in (("training", train), ("test", test)):
        if not len(split.targets):
            raise UserError(f"env: expected at least one {name} example; got none")
    train = train.sorted()  # so that a stratified minibatch is balanced, too
    sizes = [len(split.targets) for split in (train, validation, test)]
    size = min(batch_size or sizes[0], sizes[0])
    starts = [0, sizes[0] if sizes[1] else 0, sizes[0] + sizes[1]]
    counts = [size, sizes[1] or sizes[0], sizes[2]]
    rows = _RowsOf(np.array(starts), np.array(counts), -(-size // -(-size // _BLOCK)))
    action: Discrete | Box
    if classes is None:
        action, score = Box(train.targets.shape[1:]), _minus_squared_error
    else:
        action, score = Discrete(classes), functools.partial(_classified, metric)
    data = {
        "inputs": np.concatenate([s.inputs for s in (train, validation, test)]),
        "targets": np.concatenate([s.targets for s in (train, validation, test)]),
        "strata": _strata(sizes[0], size),
    }
    return Objective(
        spec=Spec(train.inputs.shape[1:], action),
        measure=functools.partial(_measure, rows, score),
        data=data,
        splits=(
            Split(counts[0], size == sizes[0]),
            Split(counts[1], True),
            Split(counts[2], True),
        ),
        rows=functools.partial(_read, data, starts, [sizes[0], *counts[1:]]),
        batch=functools.partial(_draw, sizes[0]),
    )


# --- rows -----------------------------------------------------------------------------


class _RowsOf(NamedTuple):
    """Which rows of the data, in blocks, a role measures on."""

    starts: np.ndarray  # (roles,) the first row of a role's split
    counts: np.ndarray  # (roles,) rows in a measurement
    block: int  # rows in a block


def _strata(total: int, size: int) -> np.ndarray:
    """Return (size + 1,) bounds that divide `total` rows into `size` equal parts.

    One row of each part makes a minibatch in which no row occurs twice.
    """
    return (np.arange(size + 1, dtype=np.int64) * total // size).astype(np.int32)


def _draw_rows(strata: Array, key: Key) -> Array:
    """Return a random row of each stratum."""
    lowest = jnp.asarray(strata)[:-1]
    return jax.random.randint(key, lowest.shape, lowest, jnp.asarray(strata)[1:])


def _measure(
    rows_of: _RowsOf,
    score: Score,
    apply: Apply,
    params: Params,
    key: Key,
    role: Array,
    data: Data,
) -> Array:
    """Return the mean score of a network: see `types.Measure`."""
    block, count = rows_of.block, jnp.asarray(rows_of.counts)[role]
    drawn = _draw_rows(data["strata"], key)
    drawn = jnp.pad(drawn, (0, -len(drawn) % block))

    def add(number: Array, total: Array) -> Array:
        i = number * block + jnp.arange(block)
        held = jnp.asarray(rows_of.starts)[role] + i
        rows = jnp.where(
            role == Role.SEARCH, drawn[jnp.minimum(i, len(drawn) - 1)], held
        )
        rows = jnp.minimum(rows, len(data["targets"]) - 1)
        outputs = jax.vmap(apply, (None, 0))(params, _to_float(data["inputs"][rows]))
        scores = score(outputs, data["targets"][rows], role)
        return total + jnp.sum(jnp.where(i < count, scores, 0))

    blocks = (count + block - 1) // block
    return jax.lax.fori_loop(0, blocks, add, jnp.float32(0)) / count


def _draw(total: int, data: Data, key: Key, size: int) -> tuple[Array, Target]:
    """Return a minibatch of the training split: see `types.DrawFrom`."""
    if size <= total:
        rows = _draw_rows(jnp.asarray(_strata(total, size)), key)
    else:
        rows = jax.random.randint(key, (size,), 0, total)
    return _to_float(data["inputs"][rows]), data["targets"][rows]


def _read(data: Data, starts: list[int], sizes: list[int], role: Role) -> Rows:
    """Return the rows of a split: see `types.ReadRows`."""
    rows = slice(starts[role], starts[role] + sizes[role])
    inputs, targets = data["inputs"][rows], data["targets"][rows]
    if inputs.dtype == np.uint8:
        inputs = inputs.astype(np.float32) / np.float32(255)
    weights: Any = np.ones(len(targets), np.float32)
    return Rows(inputs, targets, weights)


def _to_float(inputs: Array) -> Array:
    """Return inputs as networks see them; stored as uint8, they take a quarter."""
    if inputs.dtype == jnp.uint8:
        return inputs.astype(jnp.float32) / 255
    return inputs


# --- scores ---------------------------------------------------------------------------


def _classified(metric: Metric, logits: Array, labels: Array, role: Array) -> Array:
    """Return how well `logits` (B, classes) predict `labels`: one number for each."""
    percent = 100.0 * (jnp.argmax(logits, axis=1) == labels)
    if metric == "cross_entropy":
        likelihood = jax.nn.log_softmax(logits)
        likelihood = jnp.take_along_axis(likelihood, labels[:, None], axis=1)[:, 0]
        percent = jnp.where(role == Role.SEARCH, likelihood, percent)
    return jnp.where(jnp.isfinite(logits).all(axis=1), percent, jnp.nan)


def _minus_squared_error(outputs: Output, targets: Array, role: Array) -> Array:
    """Return minus the squared error of the means in `outputs`, one for each."""
    means, _ = outputs
    return -jnp.mean((means - targets) ** 2, axis=range(1, targets.ndim))
