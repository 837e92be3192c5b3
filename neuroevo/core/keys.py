"""Every random stream by name: the only module that makes keys.

A stream begins at a root key that is a hash of the stream's name and a seed, so that no
stream can be reached from another one by ``split`` or ``fold_in``. (With partitionable
threefry ``fold_in(key, i)`` equals ``split(key)[i]``: streams that began at relatives
of one key would meet.) Within a stream every key is either drawn from or has children,
never both:

    search           genome    the genome that the search begins at
                     strategy  the strategy's initial state
                     warm-up   the episodes that normalization is estimated from
                     run       generation g -> ask, tell, evaluation
    evaluation       a result on policies and episodes that the search never met
    policy           the policies of `decode`, ``render`` and ``train-policy``
    recording        the episodes that are shown
    collection       the episodes that observations and actions are collected from
    initial policy   the one that an encoding always starts from

    evaluation -> policy i -> start
                              episodes -> episode j -> reset
                                                       act  -> step t
                                                       step -> step t

The implementation of keys is fixed, and so results do not depend on JAX's settings.
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
# JAX's settings that random numbers depend on, and what they are here.
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
    """Return the type of a key, for functions of which only shapes are wanted."""
    data = jax.ShapeDtypeStruct((2,), np.uint32)
    return jax.eval_shape(
        lambda data: jax.random.wrap_key_data(data, impl=IMPLEMENTATION), data
    )


def fresh_seed() -> int:
    """Return a seed of 32 bits from the system's randomness."""
    return secrets.randbits(32)


class SearchKeys(NamedTuple):
    """The root keys of a search."""

    genome: Key
    strategy: Key
    warm_up: Key
    run: Key


def search(seed: int) -> SearchKeys:
    """Return the keys of the search that a run with `seed` makes."""
    genome, strategy = stream("genome", seed), stream("strategy", seed)
    return SearchKeys(genome, strategy, warm_up(seed), stream("run", seed))


def warm_up(seed: int) -> Key:
    """Return the key of the episodes that a normalization is estimated from."""
    return stream("warm-up", seed)


class GenerationKeys(NamedTuple):
    """The keys of one generation."""

    ask: Key
    tell: Key
    evaluation: Key


def generation(run: Key, number: Array | int) -> GenerationKeys:
    """Return the keys of generation `number`, counted from 0, of a search."""
    return GenerationKeys(*jax.random.split(jax.random.fold_in(run, number), 3))


def evaluation(seed: int) -> Key:
    """Return the key of an evaluation, whose policies and episodes no search met."""
    return stream("evaluation", seed)


def policy_keys(evaluation: Key, count: int) -> Key:
    """Return the keys (count,) of an evaluation's policies."""
    return jax.random.split(evaluation, count)


class PolicyKeys(NamedTuple):
    """The keys of one policy of an evaluation."""

    start: Key  # of its decoding
    episodes: Key


def of_policy(key: Key) -> PolicyKeys:
    """Return the keys that a policy's key leads to."""
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
    """Return the keys that an episode's key leads to."""
    return EpisodeKeys(*jax.random.split(key, 3))


def at_step(key: Key, step: Array | int) -> Key:
    """Return the key of one step of an episode's actions, or of its environment."""
    return jax.random.fold_in(key, step)


def policy(seed: int) -> Key:
    """Return the key that the policy `seed` of a genome is decoded with.

    These policies are one family, whoever asks for a member of it: ``decode(seed)``,
    ``render --seed``, ``train-policy --seed``.
    """
    return stream("policy", seed)


def recording(seed: int) -> Key:
    """Return the key of the episode in which the policy `seed` is shown."""
    return stream("recording", seed)


def collection(seed: int) -> Key:
    """Return the key of the episodes that observations and actions are collected in."""
    return stream("collection", seed)


def initial_policy(seed: int) -> Key:
    """Return the key of the initial policy of an encoding that has but one."""
    return stream("initial policy", seed)
