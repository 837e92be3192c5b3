"""Environment steps are counted exactly, however many a generation plays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neuroevo
from neuroevo.core import counting
from neuroevo.core.state import FOREVER
from neuroevo.spaces import Box, Spec
from neuroevo.types import Objective, Split


@pytest.mark.parametrize("shape", [(1,), (3, 2), (5000, 2, 3)])
@pytest.mark.parametrize("most", [1, 1000, 2**26])
def test_sums_of_lengths(shape, most):
    lengths = np.random.default_rng(0).integers(0, most + 1, shape)
    count = jax.jit(counting.total)(jnp.asarray(lengths))
    assert counting.to_int(count) == lengths.sum()
    twice = counting.add(count, count)
    assert counting.to_int(twice) == 2 * lengths.sum()
    assert counting.capped(twice, FOREVER) == min(2 * lengths.sum(), FOREVER)


def test_a_generation_of_more_steps_than_an_int32_holds():
    def measure(apply, params, key, role, data):
        return apply(params, jnp.zeros(1))[0][0]

    many = Split(2**29, False)
    run = neuroevo.evolve(
        env=Objective(Spec((1,), Box((1,))), measure, splits=(many,) * 3),
        encoding="direct",
        policy={"name": "mlp", "hidden": []},
        population=8,
        policies=1,
        episodes=1,
        center_every=10,
        generations=5,
        max_env_steps=2**33,
        final_policies=0,
        devices=1,
    )
    assert [row["env_steps"] for row in run.metrics] == [2**32, 2**33]
