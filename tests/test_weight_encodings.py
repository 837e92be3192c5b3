"""Encodings of weights by fewer numbers: against plain numpy and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.fft import idctn

from genomes import weights
from genomes.cosine import Cosine
from genomes.hypernetwork import Hypernetwork
from genomes.lowrank import LowRank
from genomes.seeds import Seeds
from genomes.subspace import Subspace
from neuroevo.errors import UserError
from neuroevo.policies.networks import CNN, MLP
from neuroevo.registry import encodings
from neuroevo.spaces import Box, Discrete, Spec

KEY = jax.random.key(7)
SPEC = Spec((4,), Discrete(3))
MADE = ("subspace", "cosine", "hypernetwork", "lowrank", "seeds")


def mlp(hidden=(6, 5), spec=SPEC):
    return MLP(hidden=hidden, kernel_init="lecun").build(spec)


def assert_close(x, y):
    np.testing.assert_allclose(x, y, rtol=1e-6)


def decoded(encoding, genome=None, seed=0):
    genome = jax.jit(encoding.init)(jax.random.key(seed)) if genome is None else genome
    return jax.jit(encoding.decode)(genome, started(encoding, seed))


def started(encoding, seed=0):
    return jax.jit(encoding.start)(jax.random.key(seed))


def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(lambda: mlp(spec=Spec((4,), Box((2,)))), id="box"),
        pytest.param(
            lambda: CNN(channels=(2,), hidden=(5,), kernel_init="lecun").build(
                Spec((6, 6, 2), Discrete(3))
            ),
            id="images",
        ),
    ],
)
def test_every_network_can_be_decoded(name, policy):
    policy = policy()
    encoding = encodings.get(name)().build(policy, SPEC)
    like = jax.eval_shape(policy.init, jax.random.key(0))
    found = jax.eval_shape(lambda: decoded(encoding))
    assert jax.tree.map(lambda x: x.shape, found) == jax.tree.map(
        lambda x: x.shape, like
    )


@pytest.mark.parametrize("name", MADE)
def test_large_networks_need_fewer_numbers(name):
    policy = mlp((64, 64))
    encoding = encodings.get(name)().build(policy, SPEC)
    genome, params = (
        jax.eval_shape(f, jax.random.key(0)) for f in (encoding.init, policy.init)
    )
    assert count(genome) < count(params) / 2


@pytest.mark.parametrize("name", ["subspace", "lowrank"])
def test_a_search_starts_at_the_fixed_network(name):
    policy = mlp()
    part = encodings.get(name)
    origin, _ = jax.jit(lambda key: weights.fixed(policy, 0, key))(KEY)
    other, _ = jax.jit(lambda key: weights.fixed(policy, 1, key))(KEY)
    for seed in (0, 1):  # whatever the seed of the run
        params = decoded(part().build(policy, SPEC), seed=seed)
        jax.tree.map(assert_close, params, origin)
    params = decoded(part(seed=1).build(policy, SPEC))
    jax.tree.map(assert_close, params, other)


def test_subspace_is_linear_in_the_genome():
    encoding = Subspace(size=3).build(mlp(), SPEC)
    start = started(encoding)
    genome = jnp.array([0.5, -2.0, 1.0])
    params = encoding.decode(genome, start)
    for i, kernel in enumerate(("hidden_0", "hidden_1")):
        each = np.asarray(start.directions[kernel]["kernel"])
        moved = sum(g * d for g, d in zip(genome, each, strict=True))
        expected = start.origin[kernel]["kernel"] + moved
        np.testing.assert_allclose(params[kernel]["kernel"], expected, rtol=1e-4)
        # A genome of numbers of size 1 moves weights by as much as a layer needs.
        unit = np.std(each) * np.sqrt(3) / weights.scale(each.shape[1:])
        assert 0.6 < unit < 1.4, i


def test_each_weight_belongs_to_one_number_in_a_sparse_subspace():
    encoding = Subspace(size=5, projection="sparse").build(mlp(), SPEC)
    start = started(encoding)
    moved = [
        encoding.decode(jnp.zeros(5).at[i].set(2.0), start)["hidden_0"]["kernel"]
        - start.origin["hidden_0"]["kernel"]
        for i in range(5)
    ]
    changed = np.abs(moved) > 1e-6
    assert (changed.sum(axis=0) == 1).all()
    sizes = np.abs(moved)[changed]
    np.testing.assert_allclose(sizes, 2 * weights.scale((4, 6)), rtol=1e-5)


def test_cosine_is_the_inverse_cosine_transform():
    encoding = Cosine(coefficients=3).build(mlp(), SPEC)
    genome = jax.tree.map(
        lambda x: jnp.asarray(np.random.default_rng(0).normal(size=x.shape)),
        encoding.init(jax.random.key(0)),
    )
    kernel = decoded(encoding, genome)["hidden_1"]["kernel"]
    spectrum = np.zeros((6, 5))
    spectrum[:3, :3] = genome["hidden_1"]["kernel"]
    expected = idctn(spectrum, norm="ortho") * np.sqrt(6 * 5)
    expected *= weights.scale((6, 5)) / np.sqrt(9)
    np.testing.assert_allclose(kernel, expected, rtol=1e-4, atol=1e-5)


def test_all_coefficients_give_any_weights():
    policy = mlp()
    encoding = Cosine(coefficients=6).build(policy, SPEC)
    genome, params = (
        jax.eval_shape(f, jax.random.key(0)) for f in (encoding.init, policy.init)
    )
    assert count(genome) == count(params)


def test_a_hypernetwork_is_a_function_of_the_place():
    """The weight in row i and column j does not depend on the size of the genome."""
    encoding = Hypernetwork(hidden=(7,), activation="tanh").build(mlp(), SPEC)
    genome = encoding.init(jax.random.key(1))
    params = decoded(encoding, genome)
    leaves = jax.tree.leaves(jax.eval_shape(mlp().init, jax.random.key(0)))
    index = [leaf.shape for leaf in leaves].index((4, 6))
    row, column = 2, 5
    place = np.zeros(4 + len(leaves))
    place[0] = np.pi * np.linspace(-1, 1, 6)[column]
    place[1] = np.pi * np.linspace(-1, 1, 4)[row]
    place[4 + index] = 1
    hidden = np.tanh(place @ genome[0]["kernel"] + genome[0]["bias"])
    value = hidden @ genome[1]["kernel"] + genome[1]["bias"]
    expected = value[0] * weights.scale((4, 6))
    np.testing.assert_allclose(
        params["hidden_0"]["kernel"][row, column], expected, rtol=1e-4
    )


@pytest.mark.parametrize("rank", [1, 2])
def test_what_is_added_has_the_rank(rank):
    encoding = LowRank(rank=rank).build(mlp((8, 8)), SPEC)
    genome = jax.tree.map(
        lambda x: x + jnp.asarray(np.random.default_rng(0).normal(size=x.shape)),
        encoding.init(jax.random.key(0)),
    )
    start = started(encoding)
    change = encoding.decode(genome, start)["hidden_1"]["kernel"]
    change = change - start["hidden_1"]["kernel"]
    assert np.linalg.matrix_rank(change, tol=1e-4) == rank


def test_a_rank_that_no_matrix_has():
    with pytest.raises(UserError, match="encoding.rank 6: expected at most 5") as error:
        LowRank(rank=6).build(mlp(), SPEC)
    assert "\n" not in str(error.value)


def test_a_chain_of_seeds_is_a_sum_of_mutations():
    encoding = Seeds(length=5, power=0.5).build(mlp(), SPEC)

    def kernel(*seeds):
        genome = jnp.zeros(5).at[: len(seeds)].set(jnp.array(seeds))
        return decoded(encoding, genome)["hidden_1"]["kernel"]

    first, second = kernel(3, 7) - kernel(3), kernel(4, 7) - kernel(4)
    assert_close(first + 1, second + 1)  # whatever they are added to
    assert_close(kernel(3, 7, 9) + 1, kernel(3, 9, 7) + 1)
    assert_close(kernel(3, 7, 0, 9), kernel(3, 7))  # what follows a zero is not in use
    assert not np.allclose(kernel(3), kernel(4))
    wide = Seeds(power=0.5).build(mlp((64, 64)), SPEC)
    genome = jnp.zeros(64).at[:2].set(jnp.array([3.0, 2.0**24 - 1]))
    before, after = (
        decoded(wide, x)["hidden_1"]["kernel"] for x in (genome.at[1].set(0), genome)
    )
    assert 0.9 < np.std(after - before) / (0.5 * weights.scale((64, 64))) < 1.1


def test_networks_of_an_ensemble_have_the_scales_of_a_single_one():
    one, four = (MLP(hidden=(64,), ensemble=n).build(SPEC) for n in (1, 4))
    assert weights.scales(four) == weights.scales(one)


def test_a_hypernetwork_makes_the_convolutions_of_an_ensemble_differ():
    images = Spec((5, 5, 2), Discrete(2))
    policy = CNN(channels=(4,), hidden=(), ensemble=2).build(images)
    params = decoded(Hypernetwork().build(policy, images))
    for each in jax.tree.leaves(params):
        assert (each[0] != each[1]).any()
