"""What is not finite, and options at the ends of their ranges."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

import neuroevo
from genomes.dataset import Dataset
from genomes.mixed import Mixed
from neuroevo import devices
from neuroevo.core.bounds import bounded
from neuroevo.core.fitness import fitness_of
from neuroevo.core.spread import spread
from neuroevo.differences import Factors
from neuroevo.errors import UserError
from neuroevo.policies.networks import MLP
from neuroevo.run.checks import check_strategy
from neuroevo.spaces import Discrete, Spec
from neuroevo.strategies.map_elites import MAPElites
from neuroevo.tasks.normalization import Constant
from neuroevo.tasks.task import make_task

FAST = {"population": 4, "generations": 2, "final_policies": 0, "devices": 1}


def counting(reward, **changes):
    """Return an environment of three steps, with a reward for each action."""
    return neuroevo.Environment(
        spec=Spec((1,), Discrete(2)),
        reset=lambda key: (jnp.int32(0), jnp.ones(1)),
        step=lambda key, state, action: (
            state + 1,
            jnp.ones(1),
            reward(action),
            state >= 2,
        ),
        max_steps=5,
    )._replace(**changes)


def test_an_infinite_return_is_a_failure():
    run = neuroevo.evolve(
        env=counting(lambda action: jnp.where(action == 1, jnp.inf, 1.0)),
        encoding="direct",
        policy=MLP(hidden=(), action="greedy"),
        **FAST | {"population": 8},
        target=10.0,
        center_every=1,
    )
    assert run.summary["stopped_by"] == "generations"
    assert sum(row["failures"] for row in run.metrics) > 0
    best = [row.get("center_return") for row in run.metrics]
    assert all(each is None or np.isfinite(each) for each in best)


def test_statistics_far_from_zero_are_exact():
    def noisy(key):
        return 1000 + 0.1 * jax.random.normal(key, (1,))

    environment = neuroevo.Environment(
        spec=Spec((1,), Discrete(2)),
        reset=lambda key: (0.0, noisy(key)),
        step=lambda key, state, action: (state, noisy(key), 1.0, False),
        max_steps=50,
    )
    task = make_task(environment, Constant().build((1,)))
    moments = jax.jit(task.init)(jax.random.key(0))
    np.testing.assert_allclose(moments.mean, 1000, atol=0.01)
    np.testing.assert_allclose(moments.var, 0.01, rtol=0.1)


def test_statistics_leave_out_what_has_diverged():
    environment = neuroevo.Environment(
        spec=Spec((1,), Discrete(2)),
        reset=lambda key: (jnp.int32(0), jnp.ones(1)),
        step=lambda key, state, action: (
            state + 1,
            jnp.where(state == 3, jnp.nan, 1.0)[None],
            1.0,
            False,
        ),
        max_steps=8,
    )
    task = make_task(environment, Constant().build((1,)))
    moments = jax.jit(task.init)(jax.random.key(0))
    assert (moments.mean, moments.var) == (1, 1)  # without variance, not scaled


def test_a_candidate_that_is_not_finite_says_nothing_of_the_spread():
    population = jnp.array([[1.0, 2.0], [1.5, 2.5], [jnp.nan, 3.0]])
    assert np.isnan(spread(population, jnp.array([1.0, 2.0])))


def test_the_fitness_is_of_one_policy_at_least():
    returns = jnp.array([[[1.0], [2.0]], [[4.0], [3.0]]])
    np.testing.assert_array_equal(fitness_of(returns, 1e-9), [1, 3])


def test_processes_add_booleans_to_a_boolean():
    total = devices.total({"ended": np.ones(3, bool), "steps": np.ones(2, np.int32)})
    assert [x.dtype for x in jax.tree.leaves(total)] == [bool, np.int32]


@pytest.mark.parametrize("changes", [{}, {"bounds": (0.0, 1.0)}, {"latent": 2}])
def test_mixed_has_the_options_of_data_sets(changes):
    spec = Spec((6, 6, 3) if "latent" in changes else (4,), Discrete(2))
    policy = MLP(hidden=(4,)).build(spec)
    encoding = bounded(Mixed(steps=1, **changes).build(policy, spec))
    genome = encoding.init(jax.random.key(0))
    params = encoding.decode(genome, encoding.start(jax.random.key(1)))
    shapes = jax.eval_shape(policy.init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
    if "latent" in changes:
        assert "weights" in str(jax.tree_util.tree_structure(encoding.export(genome)))


def test_elites_of_latents_are_data_sets():
    image = jnp.ones((4, 4, 1))
    environment = neuroevo.Environment(
        spec=Spec((4, 4, 1), Discrete(2)),
        reset=lambda key: (jnp.float32(0), image),
        step=lambda key, state, action: (state + action, image, 1.0 * action, False),
        max_steps=5,
        descriptor=neuroevo.Descriptor(
            ("x",), (0.0,), (5.0,), lambda state, seen: state[None]
        ),
    )
    run = neuroevo.evolve(
        env=environment,
        encoding=Dataset(latent=2, steps=2),
        policy=MLP(hidden=()),
        strategy=MAPElites(cells=(4,)),
        **FAST,
    )
    assert run.archive.genomes.keys() == run.genome.keys()
    assert run.elite(2.0).arrays()["states"].shape == run.genome["states"].shape


def test_a_strategy_may_take_differences_apart():
    def ask(key, center):
        left, right = jax.random.normal(key, (8, 1, 4)), jnp.ones((8, 1, 3))
        return {"w": Factors(left, right)}, center

    def tell(key, population, fitness, center):
        left, right = population["w"]
        change = jnp.einsum("n,nri,nro->io", fitness, left, right)
        return {"w": center["w"] + change}

    strategy = neuroevo.Strategy(
        lambda key, genome: genome, ask, tell, lambda center: center, differences=True
    )
    check_strategy(strategy, {"w": jax.ShapeDtypeStruct((4, 3), jnp.float32)}, 8)


def test_options_may_be_lists():
    policy = dataclasses.replace(MLP(), hidden=[4])
    options = toy.CARTPOLE | {"encoding": "direct", "policy": policy}
    assert neuroevo.evolve(**options, display=False).generation == 2


def test_ranges_that_are_named_are_allowed():
    with pytest.raises(UserError, match="the nearest are 9 and 17"):
        neuroevo.evolve(
            **toy.CARTPOLE | {"strategy": {"name": "GESMR_GA", "num_groups": 8}}
        )
    with pytest.raises(UserError, match="hidden layers of one width"):
        MLP(hidden=(), vary_depths=(1, 2)).build(Spec((4,), Discrete(2)))
