"""Every random stream by name: the only module that makes keys.

The root key of a stream is a hash of the stream's name and a seed, so that no stream
can be reached from another by ``split`` or ``fold_in``. (With partitionable threefry,
``fold_in(key, i)`` equals ``split(key)[i]``, so streams that start from related keys
would overlap.) Within a stream, a key is used either to draw numbers or to derive other
keys, never for both:

    search           genome    the genome that the search starts from
                     strategy  the strategy's initial state
                     warm-up   the episodes that normalization is estimated from
                     run       generation g -> ask, tell, evaluation,
                                               descent -> candidate i
    restart          restart k -> genome, strategy, size
    evaluation       measurements on policies and episodes that no search has used
    policy           the policies of `decode`, ``render`` and ``train-policy``
    recording        the episodes in videos
    collection       the episodes from which observations and actions are collected
    relabeling       after generation g: students, and the episodes whose steps a
                     teacher labels
    initial policy   the fixed initial policy of an encoding
    mutations        what the seeds of a genome add to a policy

    evaluation -> policy i -> start
                              episodes -> episode j -> reset
                                                       act  -> step t
                                                       step -> step t

The implementation of keys is fixed, so that results do not depend on JAX's settings.
"""

import hashlib
import operator
import secrets
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.types import Array, Key

IMPLEMENTATION = "threefry2x32"
# JAX's settings that affect random numbers, with the values that neuroevo uses.
SETTINGS: Mapping[str, str | bool] = {
    "jax_default_prng_impl": IMPLEMENTATION,  # of keys that other libraries make
    "jax_threefry_partitionable": True,
}


def stream(name: str, seed: int) -> Key:
    """Return the root key of the stream `name` for `seed`, any integer."""
    text = f"neuroevo/{name}/{operator.index(seed)}"
    digest = hashlib.sha256(text.encode()).digest()
    data = np.frombuffer(digest[:8], ">u4").astype(np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(data), impl=IMPLEMENTATION)


def abstract() -> jax.ShapeDtypeStruct:
    """Return the abstract value of a key, for tracing functions to get shapes."""
    data = jax.ShapeDtypeStruct((2,), np.uint32)
    return jax.eval_shape(
        lambda data: jax.random.wrap_key_data(data, impl=IMPLEMENTATION), data
    )


def fresh_seed() -> int:
    """Return a random 32-bit seed from the operating system."""
    return secrets.randbits(32)


class SearchKeys(NamedTuple):
    """The root keys of a search."""

    genome: Key
    strategy: Key
    warm_up: Key
    run: Key


def search(seed: int) -> SearchKeys:
    """Return the keys of the search in a run with `seed`."""
    genome, strategy = stream("genome", seed), stream("strategy", seed)
    return SearchKeys(genome, strategy, warm_up(seed), stream("run", seed))


class RestartKeys(NamedTuple):
    """The keys of a restart, whose generations go on with those of the search."""

    genome: Key
    strategy: Key
    size: Key  # of the number and the spread of its candidates


def restart(seed: int, number: Array | int) -> RestartKeys:
    """Return the keys of the restart with this number, from 1, of a search."""
    key = jax.random.fold_in(stream("restart", seed), number)
    return RestartKeys(*jax.random.split(key, 3))


def warm_up(seed: int) -> Key:
    """Return the key of the episodes from which a normalization is estimated."""
    return stream("warm-up", seed)


class GenerationKeys(NamedTuple):
    """The keys of one generation."""

    ask: Key
    tell: Key
    evaluation: Key
    descent: Key  # of the work on candidates before they are evaluated


def generation(run: Key, number: Array | int) -> GenerationKeys:
    """Return the keys of generation `number`, counted from 0, of a search."""
    return GenerationKeys(*jax.random.split(jax.random.fold_in(run, number), 4))


def candidate(descent: Key, index: Array | int) -> Key:
    """Return the key of the work on one candidate of a generation."""
    return jax.random.fold_in(descent, index)


def evaluation(seed: int) -> Key:
    """Return the key of an evaluation; no search uses its policies and episodes."""
    return stream("evaluation", seed)


def policy_keys(evaluation: Key, count: int) -> Key:
    """Return the keys (count,) of an evaluation's policies."""
    return jax.random.split(evaluation, count)


class PolicyKeys(NamedTuple):
    """The keys of one policy of an evaluation."""

    start: Key  # of its decoding
    episodes: Key


def of_policy(key: Key) -> PolicyKeys:
    """Return the keys that are derived from a policy's key."""
    return PolicyKeys(*jax.random.split(key))


def episode_keys(episodes: Key, count: int) -> Key:
    """Return the keys (count,) of a policy's episodes."""
    return jax.random.split(episodes, count)


class EpisodeKeys(NamedTuple):
    """The keys of one episode."""

    reset: Key
    act: Key  # of all actions, see `at_step`
    step: Key  # of all steps of the environment, see `at_step`


def of_episode(key: Key) -> EpisodeKeys:
    """Return the keys that are derived from an episode's key."""
    return EpisodeKeys(*jax.random.split(key, 3))


def at_step(key: Key, step: Array | int) -> Key:
    """Return the key of one step of an episode's actions, or of its environment."""
    return jax.random.fold_in(key, step)


def host_seed(reset: Key) -> Array:
    """Return the seed, below 2^31, of an episode that is not played in JAX."""
    return jax.random.bits(reset, dtype=jnp.uint32) >> 1


def policy(seed: int) -> Key:
    """Return the key for decoding the policy with this `seed` from a genome.

    ``decode(seed)``, ``render --seed`` and ``train-policy --seed`` all use it, so that
    the same seed gives the same policy.
    """
    return stream("policy", seed)


def recording(seed: int) -> Key:
    """Return the key of the episode that is recorded of the policy with this `seed`."""
    return stream("recording", seed)


def collection(seed: int) -> Key:
    """Return the key of the episodes from which observations and actions are taken."""
    return stream("collection", seed)


def relabeling(seed: int, generation: int) -> Key:
    """Return the key of the students that are relabeled after a generation."""
    return jax.random.fold_in(stream("relabeling", seed), generation)


def mutations() -> Key:
    """Return the key from which the seeds in genomes derive their random numbers."""
    return stream("mutations", 0)


def initial_policy(seed: int) -> Key:
    """Return the key of an encoding's fixed initial policy."""
    return stream("initial policy", seed)
