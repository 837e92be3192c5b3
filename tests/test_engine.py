"""The engine's invariants: what results must not depend on."""

import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from compilations import counting_compilations

import neuroevo
from neuroevo.config import resolve
from neuroevo.config.custom import parts_in
from neuroevo.config.layers import Layer
from neuroevo.core import acting, counting, keys, layout, trees
from neuroevo.core.fitness import fitness_of
from neuroevo.core.state import Budget
from neuroevo.progress import UNLIMITED, Allowance
from neuroevo.run.run import Run
from neuroevo.spaces import Box, Spec
from neuroevo.tasks.task import evaluate
from neuroevo.types import Encoding

WALK = toy.walk()
SMALL = {
    "env": WALK,
    "policy": {"name": "mlp", "hidden": [4], "kernel_init": "lecun"},
    "encoding": {"name": "dataset", "size": 2, "steps": 3},
    "population": 7,
    "policies": 2,
    "episodes": 2,
    "generations": 4,
    "center_every": 2,
    "center_policies": 3,
    "chunk": 3,
    "devices": 2,
}
CARTPOLE = {"env": {"name": "CartPole-v1", "max_steps_in_episode": 40}}
_runs = {}


def make_run(**changes):
    """Return a run at generation 0; runs of equal options share a compiled engine."""
    key = repr(sorted(changes.items()))
    if key not in _runs:
        options = SMALL | changes
        custom, options = parts_in(options)
        layers = [Layer("test", options)]
        _runs[key] = Run(resolve.resolve(layers, custom=custom))
    run = copy.copy(_runs[key])
    run.initialize()
    return run


def limits(generations, steps=10**9, target=np.inf):
    return Budget(np.int32(generations), np.int32(steps), np.float32(target))


def advance(run, generations, **kwargs):
    run.state, done, log = run.engine.advance(run.state, limits(generations, **kwargs))
    return jax.tree.map(lambda x: np.asarray(x)[: int(done)], log)


def assert_same(one, two):
    jax.tree.map(np.testing.assert_array_equal, host(one), host(two))


def host(tree):
    return jax.tree.map(np.asarray, trees.unwrap_keys(tree))


@pytest.mark.parametrize("count", [1, 3])
def test_items_that_are_mapped_one_at_a_time_are_not_batched(count):
    """A batch of one matrix product is up to twice as slow as the product."""

    def multiply(x):
        return x @ x

    items = jnp.arange(count * 4.0).reshape(count, 2, 2)
    mapped = functools.partial(trees.map_batches, multiply, batch=1)
    assert "([], [])" in str(jax.make_jaxpr(mapped)(items))  # no batch axes
    np.testing.assert_array_equal(mapped(items), jax.vmap(multiply)(items))


@pytest.mark.parametrize("devices", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_device_count_does_not_matter(devices):
    one = make_run(devices=1, **CARTPOLE)
    many = make_run(devices=devices, **CARTPOLE)
    assert_same(advance(one, 4), advance(many, 4))
    assert_same(one.state, many.state)


@pytest.mark.parametrize(
    ("normalization", "changes"),
    [
        pytest.param("running", {"chunk": 1}, marks=pytest.mark.slow),
        pytest.param(
            "running", {"chunk": 64, "decode_chunk": 2}, marks=pytest.mark.slow
        ),
        ("episode", {"chunk": 64, "devices": 3}),
    ],
)
def test_chunks_and_devices_change_no_more_than_last_digits(normalization, changes):
    one = make_run(normalization=normalization)
    other = make_run(normalization=normalization, **changes)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
        advance(one, 3),
        advance(other, 3),
    )


@pytest.mark.slow
def test_what_policies_of_a_seed_share_changes_no_more_than_last_digits():
    """The population is no multiple of the policies that are evaluated together."""
    options = {"population": 8 * layout.WIDTH - 3, "normalization": "running"}
    together = make_run(**options, chunk=2 * layout.WIDTH, devices=3)
    assert layout.worth(layout.WIDTH, options["population"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
        advance(make_run(**options, chunk=3), 3),
        advance(together, 3),
    )


@pytest.mark.parametrize("in_steps", [False, True])
def test_an_environment_is_traced_once(in_steps):
    """Tracing a physics engine takes seconds, which no compilation cache saves."""
    calls = []

    def count(*args):
        calls.append(args)
        return WALK.step(*args)

    run = make_run(env=WALK._replace(step=count))
    calls.clear()  # what was made in Python has been checked
    _ = step(run, UNLIMITED) if in_steps else advance(run, 2)
    assert len(calls) == 1


def test_generation_agrees_with_plain_loops():
    """The engine's fitness is the mean return over seeds and episodes, one by one."""
    run = make_run(center_every=1)
    parts, plan = run.parts, SMALL
    before = host(run.state), run.state
    log = advance(run, 1)

    state = before[1]
    drawn = keys.generation(state.key, 0)
    population, _ = parts.strategy.ask(drawn.ask, state.strategy)
    center = parts.strategy.center(state.strategy)
    count = plan["policies"] + plan["center_policies"]
    policy_keys = keys.policy_keys(drawn.evaluation, count)

    def play(genome, key):
        start, episodes = keys.of_policy(key)
        params = parts.encoding.decode(genome, parts.encoding.start(start))

        act = acting.act_with(parts.policy)
        episode_keys = keys.episode_keys(episodes, plan["episodes"])
        return evaluate(parts.task, act, params, state.task, episode_keys)

    play = jax.jit(play)
    fitness, steps = [], 0
    for row in range(plan["population"]):
        genome = jax.tree.map(lambda x, row=row: x[row], population)
        outcomes = [play(genome, key) for key in policy_keys[: plan["policies"]]]
        fitness.append(np.mean([outcome.returns for outcome in outcomes]))
        steps += sum(int(outcome.lengths.sum()) for outcome in outcomes)
    outcomes = [play(center, key) for key in policy_keys[plan["policies"] :]]
    steps += sum(int(outcome.lengths.sum()) for outcome in outcomes)

    np.testing.assert_allclose(log.fitness_mean[0], np.mean(fitness), rtol=1e-4)
    np.testing.assert_allclose(log.fitness_max[0], np.max(fitness), rtol=1e-4)
    np.testing.assert_allclose(log.fitness_std[0], np.std(fitness), rtol=1e-3)
    center_return = np.mean([outcome.returns for outcome in outcomes])
    np.testing.assert_allclose(log.center_return[0], center_return, rtol=1e-4)
    assert counting.to_int(log.steps)[0] == steps


@pytest.mark.parametrize("share, count", [(1, 4), (0.5, 2), (0.3, 2), (0.01, 1)])
def test_fitness_of_the_worst_policies(share, count):
    assert fitness_of(jnp.arange(30.0).reshape(1, 30, 1), 0.1) == 1
    returns = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    worst = np.sort(returns.mean(axis=2), axis=1)[:, :count].mean(axis=1)
    found = fitness_of(jnp.asarray(returns), share)
    np.testing.assert_allclose(found, worst, rtol=1e-5)
    returns[1, 2, 0] = np.nan  # a candidate that fails once has failed
    assert np.isnan(fitness_of(returns, share)).tolist() == [False, True, False]


def test_candidates_share_their_randomness():
    """Equal candidates have equal fitness: common random numbers."""
    log = advance(make_run(strategy={"name": "SNES", "std": 1e-30}), 2)
    np.testing.assert_allclose(log.fitness_std, 0.0, atol=1e-6)
    assert log.fitness_mean[0] != log.fitness_mean[1]  # and fresh in each generation


def test_calls_compose_and_compile_once():
    whole, parts = make_run(), make_run()
    advance(whole, 0), advance(parts, 0)
    log = advance(whole, 4)
    with counting_compilations() as compilations:
        pieces = [advance(parts, n) for n in (1, 2, 0, 1)]
    assert not compilations
    joined = jax.tree.map(lambda *xs: np.concatenate(xs), *pieces)
    assert_same(log, joined)
    assert_same(whole.state, parts.state)


def step(run, allowance):
    """Run a generation in several calls, and return their number and the report."""
    steps, calls, over = run.engine.steps, 0, False
    progress, work = steps.begin(None, run.state)
    while not over:
        progress, played = steps.play(progress, work, run.state, allowance)
        calls, over = calls + 1, played.is_over
        assert 0 <= np.sum(played.ended) <= played.groups
    target = np.float32(np.inf)
    _, (run.state, report) = steps.finish(progress, work, run.state, target)
    return calls, report


@pytest.mark.parametrize(
    "options",
    [
        {"normalization": "running", "chunk": 64, "decode_chunk": 2},
        CARTPOLE | {"devices": 4},
        pytest.param(CARTPOLE | {"devices": 1}, marks=pytest.mark.slow),
    ],
    ids=["walk", "cartpole on 4 devices", "cartpole on 1 device"],
)
def test_a_generation_in_several_calls_is_the_same(options):
    """It stops anywhere: between steps, and before groups of policies enter."""
    whole, most = make_run(**options), {}
    log = advance(whole, 3)
    for seconds in (1e9, 1.5, 5):
        parts = make_run(**options)
        allowance = Allowance(*map(np.float32, (seconds, 0.3, 1)))
        calls, reports = zip(*(step(parts, allowance) for _ in range(3)), strict=True)
        assert_same(whole.state, parts.state)
        # With the flags of this suite, see conftest.py, sums for people may be fused
        # with other arithmetic, which changes their last digit.
        close = functools.partial(np.testing.assert_allclose, rtol=1e-6)
        jax.tree.map(close, log, jax.tree.map(lambda *xs: np.stack(xs), *reports))
        most[seconds] = max(calls)
    assert most[1e9] == 1 < most[5] < most[1.5]


def test_center_is_evaluated_at_its_interval():
    log = advance(make_run(center_every=3), 7)
    np.testing.assert_array_equal(
        np.isfinite(log.center_return), [True, False, False, True, False, False, True]
    )


def test_limits_stop_at_the_generation_that_meets_them():
    run = make_run()
    steps = counting.to_int(advance(run, 6).steps)
    run = make_run()
    assert len(advance(run, 6, steps=int(steps[:3].sum())).spread) == 3
    run = make_run(center_every=1)
    assert len(advance(run, 6, target=-1e3).spread) == 2  # twice in a row


def test_best_is_the_center_with_the_best_return():
    run = make_run(center_every=1)
    best, genomes = [], []
    for _ in range(4):
        genomes.append(run.center.genome)
        best.append(advance(run, 1).center_return[0])
    assert float(run.state.best_return) == max(best)
    assert_same(run.best.genome, genomes[int(np.argmax(best))])


def test_non_finite_returns_rank_last():
    """A candidate that breaks its environment neither wins nor poisons the search."""

    def reset(key):
        return jnp.zeros(1), jnp.ones(1)

    def step(key, state, action):
        # The further to the right the better, but past 0.5 everything breaks.
        broken = action[0] > 0.5
        return state, jnp.ones(1), jnp.where(broken, jnp.nan, action[0]), True

    environment = neuroevo.Environment(Spec((1,), Box((1,))), reset, step, 3)
    encoding = Encoding(
        init=lambda key: jnp.zeros(1), decode=lambda genome, start: genome
    )
    policy = neuroevo.Policy(
        init=lambda key: jnp.zeros(1),
        apply=lambda params, observation: params,
        act=lambda output, key: output,
        losses={},
    )
    run = make_run(
        env=environment,
        policy=policy,
        encoding=lambda policy, spec: encoding,
        population=20,
        strategy={"name": "CMA_ES", "std": 1.0},
        normalization="running",
    )
    log = advance(run, 30)
    assert log.failures[0] > 0
    assert np.isfinite(log.fitness_mean).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(host(run.state)[2]))
    assert 0.2 < float(run.genome[0]) <= 0.5


def test_a_hopeless_generation_leaves_the_strategy_alone():
    environment = WALK._replace(
        step=lambda key, state, action: (state, state, jnp.nan, False)
    )
    run = make_run(env=environment)
    log = advance(run, 2)
    np.testing.assert_array_equal(log.failures, SMALL["population"])
    assert np.isfinite(jax.tree.leaves(run.genome)[0]).all()


def test_evaluation_is_held_out_and_repeatable():
    run = make_run()
    one, two = run.evaluate(3, 2, seed=0), run.evaluate(3, 2, seed=0)
    assert one == two
    assert run.evaluate(3, 2, seed=1)["return_mean"] != one["return_mean"]
    fresh = run.evaluate(3, 2)
    assert fresh["return_mean"] != run.evaluate(3, 2)["return_mean"]
    assert fresh == run.evaluate(3, 2, seed=fresh["seed"])
    assert len(one["return_per_policy"]) == 3
    np.testing.assert_allclose(one["return_mean"], np.mean(one["return_per_policy"]))
