"""Pairs from examples: where a search over data sets may start."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, MultiDiscrete, Spec, one_hot
from neuroevo.types import Array, Genome, InitGenome, Key, Rows

_MOST = 4096  # rows to choose from: they become part of a program
_ROUNDS = 20  # of Lloyd's algorithm
_LEAST = 1e-4  # probability whose logarithm a pair may start from


def drawer(
    kind: str | None,
    rows: Rows,
    spec: Spec,
    shapes: Mapping[str, tuple[int, ...]],
    labels: Array | None,
) -> InitGenome:
    """Return a function that draws the arrays of a data set from examples.

    Args:
        kind: ``sample`` draws rows; ``kmeans`` takes the centers of clusters of
            observations (Lloyd, 1982), which start from random rows; ``mean`` takes the
            mean of the rows with the same action.
        rows: the examples, with observations as the policy sees them.
        spec: observations and actions.
        shapes: the shape of each array.
        labels: (D,) the fixed labels of the pairs, if they have any; each pair is then
            made of rows with its label. Pairs without fixed labels are made of rows of
            all discrete actions in turn.

    Raises:
        UserError: if there are not enough rows.
    """
    size = shapes["states"][0]
    weights = np.asarray(rows.weights, np.float64)
    useful = np.flatnonzero(weights)
    if len(useful) < size:
        raise UserError(
            f"encoding.init_from: expected at least as many rows as pairs ({size}), "
            f"got {len(useful)}"
        )
    if len(useful) > _MOST:
        useful = _thinned(useful, np.asarray(rows.targets)[useful], spec)
    observations = np.asarray(rows.observations)[useful]
    targets = _as_vectors(np.asarray(rows.targets)[useful], spec)
    if labels is not None and isinstance(spec.action, MultiDiscrete):
        raise UserError(
            "encoding.init_from: expected --encoding.labels learned where an action "
            "consists of several choices"
        )
    # How far each row belongs to each pair: (D, R).
    share = np.broadcast_to(weights[useful], (size, len(useful)))
    if labels is not None:
        share = share * _with_label(targets, np.asarray(labels))
    elif isinstance(spec.action, Discrete):
        # Pairs for every action that occurs, equally many of each.
        occurring = np.unique(targets.argmax(axis=1))
        share = share * _with_label(
            targets, occurring[np.arange(size) % len(occurring)]
        )
    elif kind == "mean":
        raise UserError(
            "encoding.init_from mean: expected discrete actions, whose rows have a "
            "mean each; use sample or kmeans"
        )
    pick: Callable[[Key], tuple[Array, Array]] = {
        "sample": _sample,
        "kmeans": _clusters,
        "mean": _means,
    }[str(kind)](observations, targets, jnp.asarray(share, jnp.float32))

    def draw(key: Key) -> Genome:
        states, found = pick(key)
        arrays = {
            "states": states,
            "actions": found,
            "action_logits": jnp.log(jnp.maximum(found, _LEAST)),
        }
        return {name: arrays[name].reshape(shape) for name, shape in shapes.items()}

    return draw


def _thinned(rows: np.ndarray, targets: np.ndarray, spec: Spec) -> np.ndarray:
    """Return about `_MOST` of many rows, evenly spaced, and some of every action."""
    kinds = np.zeros(len(rows), int)
    if isinstance(spec.action, Discrete):
        kinds = _as_vectors(targets, spec).argmax(axis=1)
    each = [rows[kinds == kind] for kind in np.unique(kinds)]
    most = max(1, _MOST // len(each))
    return np.sort(
        np.concatenate(
            [x[np.linspace(0, len(x) - 1, min(len(x), most)).astype(int)] for x in each]
        )
    )


def _as_vectors(targets: np.ndarray, spec: Spec) -> np.ndarray:
    """Return targets (R, …) of floats: probabilities, or actions."""
    if not isinstance(spec.action, Box) and np.issubdtype(targets.dtype, np.integer):
        return one_hot(targets, spec.action)
    return targets.astype(np.float32)


def _with_label(targets: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which rows have the label of each pair: (D, R)."""
    found = targets.argmax(axis=1)[None] == labels[:, None]
    if not found.any(axis=1).all():
        lacking = sorted({int(label) for label in labels[~found.any(axis=1)]})
        raise UserError(
            f"encoding.init_from: expected rows of every action, got none of {lacking}"
        )
    return found


def _sample(observations: Any, targets: Any, share: Array) -> Callable:
    def pick(key: Key) -> tuple[Array, Array]:
        # The largest of weighted random numbers, one row for each pair, and the same
        # row twice only if there is no other (Efraimidis and Spirakis, 2006).
        noise = jax.random.gumbel(key, share.shape[1:])
        scores = jnp.where(share > 0, jnp.log(share) + noise, -jnp.inf)

        def one(taken: Array, scores: Array) -> tuple[Array, Array]:
            free = (scores > -jnp.inf) & ~taken
            index = jnp.argmax(jnp.where(free | ~free.any(), scores, -jnp.inf))
            return taken.at[index].set(True), index

        taken = jnp.zeros(share.shape[1], bool)
        _, index = jax.lax.scan(one, taken, scores)
        return jnp.asarray(observations)[index], jnp.asarray(targets)[index]

    return pick


def _means(observations: Any, targets: Any, share: Array) -> Callable:
    def pick(key: Key) -> tuple[Array, Array]:
        del key
        weight = share / share.sum(axis=1, keepdims=True)
        return _average(weight, observations), _average(weight, targets)

    return pick


def _clusters(observations: Any, targets: Any, share: Array) -> Callable:
    sample = _sample(observations, targets, share)
    flat = jnp.asarray(observations.reshape(len(observations), -1))

    def pick(key: Key) -> tuple[Array, Array]:
        centers = sample(key)[0].reshape(share.shape[0], -1)

        def members(centers: Array) -> Array:
            # Less the square of each row, which is the same for all centers.
            distance = jnp.sum(centers**2, axis=1)[:, None] - 2 * centers @ flat.T
            nearest = jnp.argmin(jnp.where(share > 0, distance, jnp.inf), axis=0)
            return share * (nearest == jnp.arange(len(centers))[:, None])

        def improve(_: int, centers: Array) -> Array:
            weight = members(centers)
            total = weight.sum(axis=1, keepdims=True)
            # A center without members stays where it is.
            moved = weight @ flat / jnp.maximum(total, 1e-9)
            return jnp.where(total > 0, moved, centers)

        centers = jax.lax.fori_loop(0, _ROUNDS, improve, centers)
        weight = members(centers)
        total = weight.sum(axis=1, keepdims=True)
        weight = jnp.where(total > 0, weight, share)
        weight = weight / weight.sum(axis=1, keepdims=True)
        return centers, _average(weight, targets)

    return pick


def _average(weight: Array, values: Any) -> Array:
    return jnp.tensordot(weight, jnp.asarray(values), axes=1)
