"""Where a run's first value that is not finite came from.

A generation is repeated policy by policy, outside the compiled program of the run.
JAX's ``jax_debug_nans`` does not serve there: it takes offence at what a run says by
NaN (no evaluation of the center, a failed episode), and knows of no candidates.
"""

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.core import engine, trees
from neuroevo.core import keys as random
from neuroevo.core.evaluation import act_with
from neuroevo.run.parts import Parts
from neuroevo.types import Genome, Params, Trajectory


def explain(settings: Any, parts: Parts, state: engine.State) -> str:
    """Return which is the first non-finite value of the generation after `state`.

    In the order of candidates, the strategy's center being the last, their policies and
    their episodes; of each in the order of computation.

    Args:
        settings: of the run; how many policies and episodes, and when the center's.
        parts: of the run.
        state: before that generation.
    """
    where = f"generation {int(state.generation) + 1}"
    for subject, value in _values(settings, parts, state):
        if value is not None:
            return f"{where}, {subject}: {value}"
    return (
        f"{where}: the strategy makes numbers that are not finite of a finite fitness, "
        "or the policies do not if evaluated one by one (it hangs on the last digits)"
    )


def _values(
    settings: Any, parts: Parts, state: engine.State
) -> Iterator[tuple[str, str | None]]:
    """Yield each candidate, seed and episode, with what is not finite of it, if any."""
    drawn = random.generation(state.key, state.generation)
    population, _ = jax.jit(parts.strategy.ask)(drawn.ask, state.strategy)
    center = jax.jit(parts.strategy.center)(state.strategy)
    count = settings.policies + settings.center_policies
    keys = random.policy_keys(drawn.evaluation, count)
    policies, center_policies = keys[: settings.policies], keys[settings.policies :]
    if int(state.generation) % settings.center_every:
        center_policies = center_policies[:0]
    take = jax.jit(trees.take)
    subjects = [
        (f"candidate {i}", lambda i=i: take(population, i), policies)
        for i in range(settings.population)
    ]
    start, decode = jax.jit(parts.encoding.start), jax.jit(parts.encoding.decode)
    act = act_with(parts.policy)
    subjects.append(("the center", lambda: center, center_policies))
    for subject, genome, keys in subjects:
        genome = genome()
        yield subject, _describe("its genome", genome)
        for s, key in enumerate(keys):
            policy = random.of_policy(key)
            begun = start(policy.start)
            params = decode(genome, begun)
            found = _describe("its decoded parameters", params)
            if found:
                found += _origin(parts, genome, begun, params)
            yield f"{subject}, seed {s}", found
            episodes = random.episode_keys(policy.episodes, settings.episodes)
            for e, key in enumerate(episodes):
                episode = parts.task.record(act, params, state.task, key)
                yield f"{subject}, seed {s}, episode {e}", _describe_episode(episode)


def _describe(what: str, tree: Any) -> str | None:
    """Return what is not finite in a pytree of parameters, if anything is."""
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


def _describe_episode(episode: Trajectory) -> str | None:
    """Return the first step with something that is not finite, if there is one."""
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
    """Return the line of code that decodes a genome to `params` that are not finite.

    Decoding is repeated operation by operation. Some compute with infinities and mean
    to: these are looked for only where there is nothing worse.
    """
    nan = any(np.isnan(leaf).any() for leaf in jax.tree.leaves(params))
    check = jax.debug_nans if nan else jax.debug_infs
    try:
        with jax.disable_jit(), check(True):
            parts.encoding.decode(genome, start)
    except FloatingPointError as error:
        frames = traceback.extract_tb(error.__traceback__)
        frames = [f for f in frames if not {*Path(f.filename).parts} & _LIBRARIES]
        if frames[1:]:  # the first one is here
            frame = frames[-1]
            reason = str(error).partition(".")[0]
            return f"; {reason}, {frame.filename}:{frame.lineno} in {frame.name}"
    return ""


_LIBRARIES = {"jax", "jaxlib", "flax", "optax", "numpy"}
