"""EGGROLL: candidates as differences, which share the weights of their center."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import walk

import neuroevo
from neuroevo import differences, registry
from neuroevo.core.spread import spread
from neuroevo.differences import Factors
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.strategies.eggroll import EGGROLL
from neuroevo.strategies.fitness import centered_ranks

GENOME = {"matrix": jnp.ones((5, 7)), "vector": jnp.zeros(7), "scale": jnp.ones(())}


def asked(options, count=64, genome=GENOME, seed=0):
    strategy = options.build(count)
    state = strategy.init(jax.random.key(seed), genome)
    population, state = strategy.ask(jax.random.key(seed + 1), state)
    return strategy, state, population


def whole(population, genome=GENOME):
    """Return all candidates of a population as genomes, minus the center."""
    zero = jax.tree.map(jnp.zeros_like, genome)
    return jax.vmap(differences.add, (None, 0))(zero, population)


@pytest.mark.parametrize("rank", [1, 3])
def test_candidates_are_as_far_from_the_center_as_std_says(rank):
    _, _, population = asked(EGGROLL(rank=rank, std=0.3), count=4096)
    assert population["matrix"].left.shape == (4096, rank, 5)
    for each in jax.tree.leaves(whole(population)):
        np.testing.assert_allclose(each.std(axis=0), 0.3, rtol=0.1)
        np.testing.assert_allclose(each.mean(axis=0), 0, atol=1e-6)  # in pairs
    ranks = np.linalg.matrix_rank(whole(population)["matrix"][:20])
    assert (ranks == rank).all()


def test_without_pairs_all_candidates_are_drawn():
    _, _, population = asked(EGGROLL(antithetic=False), count=3)
    assert len(np.unique(whole(population)["vector"], axis=0)) == 3


def test_the_step_is_the_sum_of_the_candidates_weighted_by_fitness():
    """The gradient of Salimans et al. (2017), from whole candidates."""
    options = EGGROLL(std=0.2, optimizer="sgd", learning_rate=0.5, rank=2)
    strategy, state, population = asked(options)
    fitness = jax.random.normal(jax.random.key(5), (64,))
    told = strategy.tell(jax.random.key(2), population, fitness, state)
    weights = np.argsort(np.argsort(fitness)) / 63 - 0.5
    for name, each in whole(population).items():
        gradient = np.tensordot(weights, each, axes=1) / (64 * 0.2**2)
        expected = GENOME[name] + 0.5 * gradient
        np.testing.assert_allclose(told.center[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shaping", ["raw", "centered_rank", "standardize"])
def test_it_climbs_and_decays(shaping):
    options = EGGROLL(
        fitness_shaping=shaping,
        std_decay=0.99,
        std_limit=0.05,
        learning_rate_decay=0.99,
        learning_rate=0.05,
    )
    strategy = options.build(64)

    def fitness_of(difference, center):
        at = differences.add(center, difference)
        return -jnp.sum((at["matrix"] - 2) ** 2) - jnp.sum((at["vector"] + 1) ** 2)

    @jax.jit
    def generation(state, key):
        population, state = strategy.ask(key, state)
        fitness = jax.vmap(fitness_of, (0, None))(population, state.center)
        return strategy.tell(key, population, fitness, state), fitness.mean()

    keys = jax.random.split(jax.random.key(1), 200)
    state = strategy.init(keys[0], GENOME)
    state, means = jax.lax.scan(generation, state, keys)
    assert means[-1] > means[0] / 10
    assert np.isclose(state.std, 0.05) and np.isclose(
        state.learning_rate, 0.05 * 0.99**200, rtol=1e-3
    )


def test_weight_decay_shrinks_the_center():
    options = EGGROLL(weight_decay=0.5, learning_rate=0.1, optimizer="sgd", std=1.0)
    strategy, state, population = asked(options)
    fitness = jnp.arange(64) % 32.0  # the same on both sides: no gradient
    told = strategy.tell(jax.random.key(2), population, fitness, state)
    np.testing.assert_allclose(told.center["matrix"], 0.95, atol=1e-4)


def test_equal_fitness_and_failures_teach_nothing():
    strategy, state, population = asked(EGGROLL())
    for fitness in (jnp.ones(64), jnp.full(64, jnp.nan)):
        told = strategy.tell(jax.random.key(2), population, fitness, state)
        jax.tree.map(np.testing.assert_array_equal, told, state)


def test_a_std_that_vanishes_leaves_the_center_where_it_is():
    strategy, state, population = asked(EGGROLL(std=1e-30, optimizer="sgd"))
    told = strategy.tell(jax.random.key(2), population, jnp.arange(64.0), state)
    jax.tree.map(np.testing.assert_array_equal, told.center, state.center)


def test_ties_share_their_rank():
    np.testing.assert_allclose(
        centered_ranks(jnp.array([3.0, 1.0, 3.0, 7.0, 3.0])), [0, -0.5, 0, 0.5, 0]
    )


def test_the_spread_is_that_of_the_candidates_multiplied_out():
    _, state, population = asked(EGGROLL(rank=2, std=0.2), count=16)
    of_genomes = jax.vmap(differences.add, (None, 0))(GENOME, population)
    found = spread(population, GENOME, differences=True)
    np.testing.assert_allclose(found, spread(of_genomes, GENOME), rtol=1e-4)
    del state


# --- networks near others -------------------------------------------------------------

NETWORKS = {
    "mlp": {"hidden": (8, 8)},
    "cnn": {"channels": (3, 2), "hidden": (8,)},
    "gru": {"hidden": (8,), "units": 4},
    "lstm": {"hidden": (), "units": 4},
    "frames": {"hidden": (8,), "frames": 3},
}


@pytest.mark.parametrize("action", [Discrete(3), Box((2, 2))], ids=["logits", "box"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_near_another_is_that_of_the_sum(name, action):
    shape = (6, 6, 2) if name == "cnn" else (5,)
    policy = registry.policies.get(name)(**NETWORKS[name]).build(Spec(shape, action))
    params = policy.init(jax.random.key(0))
    _, _, population = asked(EGGROLL(rank=2, std=0.3), 4, genome=params)
    if name != "cnn":  # the factors of every kernel are used
        kernels = [x for x in jax.tree.leaves(params) if x.ndim > 1]
        found = jax.tree.leaves(population, is_leaf=lambda x: isinstance(x, Factors))
        assert sum(isinstance(x, Factors) for x in found) == len(kernels)
    memory = () if policy.init_memory is None else (policy.init_memory(params),)
    memory = jax.tree.map(lambda x: x + 0.1, memory)

    @jax.jit
    @jax.vmap
    def both(difference, observation):
        args = observation, *memory
        near = policy.apply_near(params, difference, *args)
        return near, policy.apply(differences.add(params, difference), *args)

    found = both(population, jax.random.normal(jax.random.key(1), (4, *shape)))
    same = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(same, *found)


@pytest.mark.parametrize(
    "options", [{"ensemble": 2}, {"vary_activations": ("tanh", "relu")}]
)
def test_networks_that_no_layer_makes_have_no_function_of_their_own(options):
    policy = registry.policies.get("mlp")(**options).build(Spec((3,), Discrete(2)))
    assert policy.apply_near is None
    spec = Spec((3,), Discrete(2))
    assert registry.policies.get("plastic")().build(spec).apply_near is None


# --- the engine -----------------------------------------------------------------------


def evolved(hidden=(8,), policy="mlp", **options):
    """Return the center of a short search."""
    run = neuroevo.evolve(
        env=walk(),
        policy=policy if callable(policy) else {"name": policy, "hidden": hidden},
        strategy={"name": "EGGROLL", "rank": 2},
        population=16,
        policies=1,
        generations=3,
        center_every=2,
        final_policies=1,
        final_episodes=1,
        **{"encoding": "direct", "devices": 1, **options},
    )
    return run.center.genome


def close(x, y):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-3), x, y)


def test_sharing_weights_changes_no_result():
    def alone(spec):
        made = registry.policies.get("mlp")(hidden=(8,)).build(spec)
        return made._replace(apply_near=None)

    shared = evolved()
    close(shared, evolved(policy=alone))
    close(shared, evolved(devices=2))
    close(shared, evolved(chunk=3))


def test_a_data_set_is_searched_by_differences_too():
    genome = evolved(encoding={"name": "dataset", "size": 4, "steps": 2})
    assert genome["states"].shape == (4, 2)


# --- bad input ------------------------------------------------------------------------


def test_an_odd_population_has_no_pairs():
    with pytest.raises(UserError, match="an even population, got 7; the nearest are 6"):
        EGGROLL().build(7)
    EGGROLL(antithetic=False).build(7)


@pytest.mark.parametrize("antithetic", [True, False])
def test_one_candidate_is_too_few(antithetic):
    with pytest.raises(UserError, match="at least 2, got 1"):
        EGGROLL(antithetic=antithetic).build(1)


def test_a_rank_above_every_matrix_is_named():
    with pytest.raises(UserError, match="strategy.rank 6: expected at most 5"):
        asked(EGGROLL(rank=6))


def test_a_genome_without_matrices_is_named():
    with pytest.raises(UserError, match="expected a genome with matrices"):
        asked(EGGROLL(), genome=jnp.zeros(4))
