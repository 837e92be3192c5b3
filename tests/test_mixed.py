"""Weights of some layers as genes, and pairs that train the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genomes import weights
from genomes.dataset import Dataset
from genomes.mixed import Mixed
from neuroevo.errors import UserError
from neuroevo.policies.networks import MLP
from neuroevo.spaces import Discrete, Spec

SPEC = Spec((4,), Discrete(3))
TRAINING = {"steps": 3, "learning_rate": 0.1}


def policy(hidden=(6,), **options):
    return MLP(hidden=hidden, kernel_init="lecun", **options).build(SPEC)


def genome_of(encoding, seed=0):
    genome = encoding.init(jax.random.key(seed))
    states = np.random.default_rng(seed).normal(size=genome["states"].shape)
    return {**genome, "states": jnp.asarray(states, jnp.float32)}


def decoded(encoding, genome, seed=0):
    return jax.jit(encoding.decode)(genome, encoding.start(jax.random.key(seed)))


def assert_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def own_weights(genome, name="hidden_0"):
    found = genome["weights"][name]
    return jax.tree.map(lambda x: x * weights.scale(x.shape), found)


def test_frozen_layers_are_those_of_the_genome():
    encoding = Mixed(**TRAINING).build(policy(), SPEC)
    genome = genome_of(encoding)
    for seed in (0, 1):
        params = decoded(encoding, genome, seed)
        assert_equal(params["hidden_0"], own_weights(genome))
    # The rest is what training makes of a fresh network.
    other = decoded(encoding, genome)["output"]["kernel"]
    assert not np.allclose(params["output"]["kernel"], other)


def test_the_rest_is_trained_as_if_all_were_pairs():
    pairs = Dataset(**TRAINING).build(policy(), SPEC)
    mixed = Mixed(frozen=False, **TRAINING).build(policy(), SPEC)
    genome, start = genome_of(mixed), pairs.start(jax.random.key(0))
    start = start._replace(params={**start.params, "hidden_0": own_weights(genome)})
    expected = jax.jit(pairs.decode)({"states": genome["states"]}, start)
    params = decoded(mixed, genome)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-5), params, expected)
    assert not np.allclose(params["hidden_0"]["kernel"], own_weights(genome)["kernel"])


@pytest.mark.parametrize("learn", [("learning_rate",), ("layer_rates",)])
def test_learned_rates_leave_frozen_layers_alone(learn):
    encoding = Mixed(learn=learn, **TRAINING).build(policy(), SPEC)
    genome = jax.tree.map(lambda x: x + 0.1, genome_of(encoding))
    assert_equal(decoded(encoding, genome)["hidden_0"], own_weights(genome))


def test_members_of_an_ensemble_share_the_genes():
    alone = Mixed(**TRAINING).build(policy(), SPEC)
    together = Mixed(**TRAINING).build(policy(ensemble=2), SPEC)
    genome = genome_of(alone)
    shapes = [jax.tree.map(jnp.shape, genome_of(each)) for each in (alone, together)]
    assert shapes[0] == shapes[1]
    params = decoded(together, genome)
    for member in (0, 1):
        found = jax.tree.map(lambda x, i=member: x[i], params["hidden_0"])
        assert_equal(found, own_weights(genome))


def test_gradients_reach_weights_and_pairs():
    encoding = Mixed(**TRAINING).build(policy(), SPEC)

    def loss(genome):
        params = encoding.decode(genome, encoding.start(jax.random.key(0)))
        return sum(jnp.sum(x**2) for x in jax.tree.leaves(params))

    found = jax.grad(loss)(genome_of(encoding))
    for leaf in jax.tree.leaves(found):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0


def test_other_layers_and_other_policies_are_refused():
    with pytest.raises(UserError, match="expected one of hidden_0, output") as error:
        Mixed(layers=("hidden_1",)).build(policy(), SPEC)
    assert "\n" not in str(error.value)
    genome = genome_of(Mixed(**TRAINING).build(policy(), SPEC))
    wider = Mixed(**TRAINING).build(policy((7,)), SPEC)
    with pytest.raises(UserError, match=r"weights of \(6,\) as in the genome, not"):
        decoded(wider, genome)
