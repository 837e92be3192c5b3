"""The genetic algorithm on chains of mutation seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuroevo.errors import UserError
from neuroevo.strategies.deep_ga import DeepGA

KEYS = jax.random.split(jax.random.key(0), 8)
START = jnp.zeros(4).at[0].set(1.0)


def lengths(population):
    return np.count_nonzero(population, axis=1)


def test_children_of_the_best_have_one_more_seed():
    strategy = DeepGA(elite_ratio=0.25).build(8)
    state = strategy.init(KEYS[0], START)
    np.testing.assert_array_equal(strategy.center(state), START)
    first, state = strategy.ask(KEYS[1], state)
    np.testing.assert_array_equal(first[0], START)
    assert (lengths(first) == 1).all() and len(np.unique(first[:, 0])) == 8
    fitness = jnp.arange(8.0).at[3].set(jnp.nan)
    state = strategy.tell(KEYS[2], first, fitness, state)
    np.testing.assert_array_equal(strategy.center(state), first[7])
    second, state = strategy.ask(KEYS[3], state)
    np.testing.assert_array_equal(second[0], first[7])  # it survives as it is
    assert (lengths(second[1:]) == 2).all()
    assert set(np.asarray(second[:, 0])) == {float(x) for x in first[6:, 0]}
    assert len(np.unique(second[1:, 1])) == 7


def test_in_a_full_chain_the_last_seed_is_another_one():
    strategy = DeepGA().build(4)
    state = strategy.init(KEYS[0], START)
    for key in KEYS:
        population, state = strategy.ask(key, state)
        before = strategy.center(state)
        state = strategy.tell(key, population, jnp.arange(4.0), state)
    assert (lengths(population) == 4).all()
    np.testing.assert_array_equal(population[1:, :3], jnp.tile(before[:3], (3, 1)))
    assert (population[1:, 3] != before[3]).all()


def test_equal_fitness_teaches_nothing():
    strategy = DeepGA().build(4)
    state = strategy.init(KEYS[0], START)
    population, state = strategy.ask(KEYS[1], state)
    told = strategy.tell(KEYS[2], population, jnp.ones(4), state)
    jax.tree.map(np.testing.assert_array_equal, told, state)


def test_mistakes_are_told_in_one_line():
    with pytest.raises(UserError, match="at least 2, got 1"):
        DeepGA().build(1)
    for genome in ({"a": START, "b": START}, jnp.zeros((2, 2))):
        with pytest.raises(UserError, match="expected a genome of seeds"):
            DeepGA().build(4).init(KEYS[0], genome)
