"""The pairs of a data set: sorted, with known units and names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from neuroevo.config.schema import Config
from neuroevo.solution import Solution
from neuroevo.spaces import Box, choices, cut, split
from neuroevo.terminal.formatting import format_signed
from neuroevo.terminal.genomes import Rows, in_rows
from neuroevo.traits import EnvironmentTraits, NormalizationTraits, traits


class Pairs(NamedTuple):
    """The D pairs of a data set, sorted by action; those of sequences, in order.

    Attributes:
        names: the number of each pair in the genome file, or that of its sequence and
            its own in it.
        title: how many there are, in words.
        states: the states as the policy sees them, (D, *observation).
        observations: the states in the environment's units, or None if these are
            unknown (under per-episode normalization).
        targets: ``labels``, ``action_logits`` or ``actions`` by that name, (D, …).
        features: the names of the features, if known.
        actions: the names of the actions, if known.
        counts: the number of values of each discrete choice, if there are several.
    """

    names: Sequence[str]
    title: str
    states: np.ndarray
    observations: np.ndarray | None
    targets: Mapping[str, np.ndarray]
    features: Sequence[str] | None = None
    actions: Sequence[str] | None = None
    counts: Sequence[int] = ()


# If a file has more than one of these, the first one determines the action.
_SORTED_BY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "labels": lambda labels: labels,
    "action_logits": lambda logits: logits.argmax(-1),
    "actions": lambda actions: actions,
}


def read_pairs(solution: Solution) -> Pairs | None:
    """Return the pairs of a solution, or None if its genome is not a data set.

    For a merged genome, features and actions that the environment lacks are left out.
    """
    arrays = {name: np.asarray(array) for name, array in solution.arrays().items()}
    if "states" not in arrays:
        return None
    own = solution.parts.environment.spec
    spec = solution.parts.network_spec
    rows = in_rows(arrays, spec.action)
    arrays = rows.arrays
    states = _cut(arrays["states"], spec.observation, own.observation)
    observations = denormalize(states, arrays, solution.config)
    found = arrays | {"states": states}
    if "actions" in arrays and isinstance(spec.action, Box):
        kept = own.action.shape if isinstance(own.action, Box) else spec.action.shape
        found["actions"] = _cut(arrays["actions"], spec.action.shape, kept)
    named = traits(EnvironmentTraits, solution.config.parts["env"])
    return _sorted(rows._replace(arrays=found), observations)._replace(
        features=named.features,
        actions=named.actions,
        counts=choices(spec.action),
    )


def plain_pairs(arrays: Mapping[str, Any]) -> Pairs | None:
    """Return the pairs in a genome's arrays, or None if it is not a data set.

    Without the environment, only the states as the policy sees them are known.
    """
    return _sorted(in_rows(arrays), None) if "states" in arrays else None


def _sorted(rows: Rows, observations: np.ndarray | None) -> Pairs:
    arrays = rows.arrays
    targets = {name: arrays[name] for name in _SORTED_BY if name in arrays}
    states = arrays["states"]
    order = np.arange(len(states))
    if targets and not rows.is_sequences:
        name, first = next(iter(targets.items()))
        key = _SORTED_BY[name](first)
        order = np.lexsort(key.reshape(len(states), -1).T[::-1])
    return Pairs(
        [rows.names[i] for i in order.tolist()],
        rows.title,
        states[order],
        None if observations is None else observations[order],
        {name: array[order] for name, array in targets.items()},
    )


def denormalize(
    states: np.ndarray, arrays: Mapping[str, Any], config: Config
) -> np.ndarray | None:
    """Return states in the environment's units, or None if these are unknown."""
    if "obs_mean" in arrays:
        floor = traits(NormalizationTraits, config.parts["normalization"]).var_floor
        return (
            states * np.sqrt(np.maximum(arrays["obs_var"], floor)) + arrays["obs_mean"]
        )
    return states if config.names["normalization"] == "none" else None


def _cut(array: np.ndarray, shape: tuple[int, ...], own: tuple[int, ...]) -> np.ndarray:
    """Return rows of a `shape`, cut to the shape that the environment has."""
    rows = array.reshape(-1, *shape)
    return np.array([cut(row, own) for row in rows]).reshape(-1, *own)


def answers(pairs: Pairs) -> list[tuple[str, list[str]]]:
    """Return the action for each state: a title and further lines."""
    names = dict(enumerate(pairs.actions or ()))
    kind, array = next(iter(pairs.targets.items()), ("none", pairs.states))
    if kind == "none":
        return [("", []) for _ in pairs.names]
    if kind == "actions":
        rows = array.reshape(len(array), -1)
        if len(names) != rows.shape[1]:
            names = {i: f"action {i}" for i in range(rows.shape[1])}
        return [
            ("", [line(names[i], value) for i, value in enumerate(row)]) for row in rows
        ]
    # One column for each choice; most often, there is one.
    labels, shares = array.reshape(len(array), -1), None
    if kind == "action_logits":
        parts = split(array, pairs.counts)
        labels = np.stack([part.argmax(-1) for part in parts], axis=-1)
        shares = np.stack([softmax(part, axis=-1).max(-1) for part in parts], axis=-1)
    said = []
    for i, row in enumerate(labels):
        titles = [names.get(int(label), f"action {label}") for label in row]
        if shares is not None:
            pair = zip(titles, shares[i], strict=True)
            titles = [f"{title} {share:.0%}" for title, share in pair]
        said.append(", ".join(titles))
    return [(title, []) for title in said]


def features(pairs: Pairs, values: np.ndarray, most: int = 32) -> list[str]:
    """Return a state as lines with a name and a number each, at most `most`."""
    values = values.ravel()
    names = pairs.features or ()
    if len(names) != len(values):
        names = [f"s{i}" for i in range(len(values))]
    lines = [line(*each) for each in zip(names, values, strict=True)]
    rest = len(lines) - most
    return lines if rest <= 0 else [*lines[:most], f"… and {rest} more"]


def line(name: str, value: float) -> str:
    """Return a name and a number, in columns."""
    return f"{name:<20.20} {format_signed(value):>8}"
