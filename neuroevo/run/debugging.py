"""Finds the origin of a run's first value that is not finite.

A generation is repeated policy by policy, outside the compiled program of the run.
JAX's ``jax_debug_nans`` is not suitable: it rejects NaNs that have a meaning in a run
(no evaluation of the center, a failed episode), and does not know about candidates.
"""

import functools
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo import differences
from neuroevo.core import keys, trees
from neuroevo.core.acting import act_with
from neuroevo.core.generation import descend
from neuroevo.core.state import State
from neuroevo.run.parts import Parts
from neuroevo.tasks.task import evaluate
from neuroevo.types import Array, Genome, Key, Params, Trajectory


def explain(settings: Any, parts: Parts, state: State) -> str:
    """Return a description of the first non-finite value after `state`.

    The search visits the candidates of the generation in order and the strategy's
    center last; within each of them, its policies and their episodes in order of
    computation.

    Args:
        settings: the settings of the run.
        parts: the parts of the run.
        state: the state before the generation.
    """
    where = f"generation {int(state.generation) + 1}"
    for subject, value in _values(settings, parts, state):
        if value is not None:
            return f"{where}, {subject}: {value}"
    return (
        f"{where}: the strategy makes numbers that are not finite from a finite "
        "fitness, or the failure depends on the last digits and does not recur when "
        "policies are evaluated one by one"
    )


class _Subject(NamedTuple):
    """A genome that a generation evaluates, and the keys of its policies."""

    name: str
    genome: Callable[[], Genome]  # made when it is its turn
    policy_keys: Key


def _subjects(settings: Any, parts: Parts, state: State) -> Iterator[_Subject]:
    """Yield the candidates of the generation after `state`, and the center if due."""
    strategy = parts.strategy
    assert strategy is not None, "a run has a strategy"
    drawn = keys.generation(state.key, state.generation)
    count = settings.policies + settings.center_policies
    policies = keys.policy_keys(drawn.evaluation, count)
    descended = descend(
        strategy, parts.task.batch, drawn.descent, state.strategy, _one_by_one
    )
    population, _ = jax.jit(strategy.ask)(drawn.ask, descended)
    center = functools.partial(jax.jit(strategy.center), descended)

    @jax.jit
    def take(population: Genome, i: int, center: Genome) -> Genome:
        own = trees.take(population, i)
        return differences.add(center, own) if strategy.differences else own

    for i in range(settings.population):
        candidate = functools.partial(take, population, i, center())
        yield _Subject(f"candidate {i}", candidate, policies[: settings.policies])
    if int(state.generation) % settings.center_every == 0:
        yield _Subject("the center", center, policies[settings.policies :])


def _one_by_one(function: Callable[[Any, Array], Any], given: Any, count: int) -> Any:
    """Return the stacked results of a function for each item, outside of a program."""
    function = jax.jit(function)
    results = [function(given, jnp.int32(i)) for i in range(count)]
    return jax.tree.map(lambda *each: jnp.stack(each), *results)


def _values(
    settings: Any, parts: Parts, state: State
) -> Iterator[tuple[str, str | None]]:
    """Yield each genome, policy and episode, with its first non-finite value if any."""
    start, decode = jax.jit(parts.encoding.start), jax.jit(parts.encoding.decode)
    actor, record = act_with(parts.policy), parts.task.record
    measure = jax.jit(functools.partial(evaluate, parts.task, actor))
    for subject in _subjects(settings, parts, state):
        genome = subject.genome()
        yield subject.name, _not_finite("its genome", genome)
        for i, key in enumerate(subject.policy_keys):
            name, policy = f"{subject.name}, policy {i}", keys.of_policy(key)
            begun = start(policy.start)
            params = decode(genome, begun)
            found = _not_finite("its decoded parameters", params)
            yield name, found and found + _origin(parts, genome, begun, params)
            episodes = keys.episode_keys(policy.episodes, settings.episodes)
            if record is None:
                outcome = measure(params, state.task, episodes)
                yield name, _not_finite("its fitness", outcome.returns)
                continue
            for j, episode in enumerate(episodes):
                trajectory = record(actor, params, state.task, episode)
                yield f"{name}, episode {j}", _first_step(trajectory)


def _not_finite(what: str, tree: Any) -> str | None:
    """Return a description of the values in a pytree that are not finite, or None."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            continue
        strange = np.asarray(leaf)[~np.isfinite(leaf)]
        if len(strange):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            return (
                f"{what}: {len(strange)} of {leaf.size} numbers"
                f"{name and f' in {name}'} are not finite, the first is {strange[0]}"
            )
    return None


def _first_step(episode: Trajectory) -> str | None:
    """Return a description of the first step with a non-finite value, or None."""
    columns = {
        "the observation": episode.observations,
        "the action": episode.actions,
        "the reward": episode.rewards,
    }
    steps = {}
    for name, column in columns.items():
        values = column.reshape(len(column), -1)
        broken = ~np.isfinite(values).all(axis=1)
        if broken.any():
            step = int(np.argmax(broken))
            first = values[step][~np.isfinite(values[step])][0]
            steps[name] = step, f"step {step}: {name} is {first}"
    return min(steps.values(), key=lambda found: found[0])[1] if steps else None


def _origin(parts: Parts, genome: Genome, start: Any, params: Params) -> str:
    """Return the line of code at which decoding first produces a non-finite value.

    Decoding is repeated operation by operation. Some operations use infinities
    intentionally, so infinities are reported only if there is no NaN.
    """
    nan = any(np.isnan(leaf).any() for leaf in jax.tree.leaves(params))
    check = jax.debug_nans if nan else jax.debug_infs
    try:
        with jax.disable_jit(), check(True):
            parts.encoding.decode(genome, start)
    except FloatingPointError as error:
        stack = traceback.extract_tb(error.__traceback__)
        frames = [f for f in stack if not {*Path(f.filename).parts} & _LIBRARIES]
        if frames[1:]:  # the first one is here
            frame = frames[-1]
            reason = str(error).partition(".")[0]
            return f"; {reason}, {frame.filename}:{frame.lineno} in {frame.name}"
    return ""


_LIBRARIES = {"jax", "jaxlib", "flax", "optax", "numpy"}
