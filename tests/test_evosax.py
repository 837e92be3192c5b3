"""evosax through the adapter: what it does alike, and what it is cured of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuroevo.strategies import evosax as strategies
from neuroevo.strategies import fitness


@pytest.mark.parametrize("name", ["SNES", "SimpleGA"])
def test_is_evosax_with_the_sign_changed(name):
    from evosax.algorithms import algorithms

    start = jnp.full(5, 0.5)
    ours = strategies.config(name)(std=1.0).build(8)
    own = algorithms[name](population_size=8, solution=start)
    params = own.default_params
    keys = jax.random.split(jax.random.key(0), 8)

    def cost(population):
        return jnp.sum(population**2, axis=-1)

    def begin():
        state = ours.init(keys[0], start)
        if name == "SNES":
            return state, own.init(keys[0], start, params)
        first, state = ours.ask(keys[1], state)
        state = ours.tell(keys[2], first, -cost(first), state)
        return state, own.init(keys[2], first, cost(first), params)

    def generation(states, key):
        state, theirs = states
        population, state = ours.ask(key, state)
        expected, theirs = own.ask(key, theirs, params)
        state = ours.tell(key, population, -cost(population), state)
        theirs, _ = own.tell(key, expected, cost(expected), theirs, params)
        theirs = jax.tree.map(
            lambda new, old: jnp.asarray(new, old.dtype), theirs, own0
        )
        return (state, theirs), (population, expected)

    own0 = jax.eval_shape(begin)[1]

    @jax.jit
    def run():
        state, theirs = begin()
        theirs = jax.tree.map(lambda x: jnp.asarray(x, x.dtype), theirs)
        (state, theirs), asked = jax.lax.scan(generation, (state, theirs), keys[3:])
        means = (ours.center(state), theirs.mean) if name == "SNES" else asked
        return asked, means

    for one, other in run():
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_failures_rank_strictly_last():
    inf = jnp.inf
    for values in ([0.0, jnp.nan, 1.0], [-3e38, inf, 2.0], [1e-37, -inf, 5.0]):
        ranked = fitness.bounded(jnp.array(values))
        assert np.isfinite(ranked).all()
        assert (ranked[1] < ranked[jnp.array([0, 2])]).all()
    failures = fitness.bounded(jnp.array([jnp.nan, inf]))
    assert failures[0] == failures[1]


def test_ties_are_broken_at_random_and_by_very_little():
    values = jnp.array([0.0, -0.0, 0.0, -200.0, -200.0, 1e-39, 3.0, -1e-37, 1e15])
    values = jnp.concatenate([values, 7.0 + jnp.arange(20.0)])
    break_ties = jax.jit(jax.vmap(fitness.break_ties, (0, None)))
    keys = jax.random.split(jax.random.key(0), 400)
    broken = np.asarray(break_ties(keys, values))
    for each in broken:
        assert len(set(each.tolist())) == len(values)
    np.testing.assert_allclose(
        broken, np.broadcast_to(values, broken.shape), rtol=1e-6, atol=1e-36
    )
    tied, single = np.r_[0:6], np.r_[6:29]
    np.testing.assert_array_equal(broken[:, single] - np.asarray(values)[single], 0)
    first = broken[:, [0, 1, 2, 5]].argmin(axis=1)
    assert np.bincount(first).min() > 60  # of 100
    assert tied.size + single.size == values.size


@pytest.mark.parametrize("name", strategies.names())
def test_genomes_keep_their_structure_shapes_and_dtypes(name):
    genome = {
        "a": jnp.ones((2, 1, 3)),
        "b": (jnp.float32(2.0), jnp.ones(2, "bfloat16")),
    }
    size, key = 17 if name == "GESMR_GA" else 16, jax.random.key(0)
    strategy = strategies.config(name)().build(size)

    def generation():
        population, state = strategy.ask(key, strategy.init(key, genome))
        state = strategy.tell(key, population, jnp.arange(float(size)), state)
        return strategy.center(state), population

    center, population = jax.eval_shape(generation)
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), genome)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), center) == shapes
    shapes = jax.tree.map(lambda x: ((size, *x.shape), x.dtype), genome)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), population) == shapes


def search(name, population, objective, dims, generations, std=0.3):
    """Return the centers that two searches from zero end at."""
    strategy = strategies.config(name)(std=std).build(population)

    def generation(state, key):
        ask_key, tell_key = jax.random.split(key)
        population, state = strategy.ask(ask_key, state)
        return strategy.tell(tell_key, population, objective(population), state), None

    @jax.jit
    @jax.vmap
    def run(key):
        state = strategy.init(key, jnp.zeros(dims))
        state, _ = jax.lax.scan(generation, state, jax.random.split(key, generations))
        return strategy.center(state)

    return run(jax.random.split(jax.random.key(0), 2))


def sphere(x):
    return -jnp.sum((x - 1) ** 2, axis=-1)


def ellipsoid(x):
    return -jnp.sum(10.0 ** jnp.linspace(0, 3, x.shape[-1]) * (x - 1) ** 2, axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MA_ES", "LM_MA_ES", "CMA_ES"])
def test_matrix_adaptation_solves_an_ellipsoid(name):
    # evosax alone hands MA_ES its candidates unsorted and is 10^8 times worse here,
    # and its CMA_ES goes on to NaN when the standard deviation underflows.
    centers = search(name, 16, ellipsoid, dims=12, generations=600)
    assert (ellipsoid(centers) > (-0.1 if name == "LM_MA_ES" else -1e-8)).all()


@pytest.mark.slow
@pytest.mark.parametrize(("dims", "population"), [(1, 16), (2, 64), (4, 256)])
def test_candidates_may_outnumber_the_dimensions_of_lm_ma_es(dims, population):
    """evosax alone ends 10^8 away from the optimum, or in NaN."""
    centers = search("LM_MA_ES", population, sphere, dims, generations=150)
    assert (sphere(centers) > -1e-4).all()


@pytest.mark.slow
def test_rank_m_adapts_its_step_size():
    """evosax alone is at the lower limit of 0.001 after 20 generations, whatever."""
    assert (sphere(search("Rm_ES", 16, sphere, 12, 150, std=0.01)) > -1e-2).all()
    centers = search("Rm_ES", 16, ellipsoid, 12, 300)  # along evolution paths
    assert (ellipsoid(centers) > -1.0).all()
