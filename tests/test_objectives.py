"""Any fitness: functions of a network, and tasks made in Python."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from stored import without_times

import neuroevo
from neuroevo.core import keys, trees
from neuroevo.errors import UserError
from neuroevo.progress import UNLIMITED, Group, Role
from neuroevo.spaces import Box, Spec
from neuroevo.tasks.normalization import NoNormalization
from neuroevo.tasks.objective import make_objective_task
from neuroevo.tasks.task import evaluate, make_task
from neuroevo.types import Objective, Split

CURVE = Spec((1,), Box((1,)))
X = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
SMALL = {
    "encoding": "direct",
    "policy": {"name": "mlp", "hidden": [4]},
    "strategy": {"name": "SNES", "std": 0.3},
    "population": 16,
    "policies": 1,
    "episodes": 2,
    "generations": 4,
    "center_every": 2,
    "center_policies": 2,
    "final_policies": 2,
    "final_episodes": 3,
    "devices": 1,
    "chunk": 4,
}


def curve(apply, params, key):
    """How close the network comes to a line, seen through noise."""
    y, _ = jax.vmap(apply, (None, 0))(params, X)
    noise = 0.01 * jax.random.normal(key, X.shape)
    return -jnp.mean((y - 2 * X + noise) ** 2)


def by_role(apply, params, key, role, data):
    """Each role has data of its own: 1, 10, 100; the key counts for a search only."""
    SEEN.append(data)
    drawn = jnp.where(role == Role.SEARCH, jax.random.uniform(key), 0.0)
    return apply(params, jnp.zeros(1))[0][0] + data[role] + drawn


SEEN = []
ROLES = Objective(
    CURVE,
    by_role,
    np.array([1.0, 10.0, 100.0], np.float32),
    (Split(2, False), Split(3, True), Split(5, True)),
)


@functools.cache
def fitted():
    return neuroevo.evolve(**SMALL | {"fitness": curve, "spec": CURVE})


def assert_same(one, two):
    jax.tree.map(
        np.testing.assert_array_equal, trees.unwrap_keys(one), trees.unwrap_keys(two)
    )


def test_a_curve_is_fitted():
    run = fitted()
    assert run.config.names["env"] == "curve"
    first, last = run.metrics[0], run.metrics[-1]
    assert last["fitness_mean"] > first["fitness_mean"] and last["failures"] == 0
    assert first["env_steps"] == 16 * 2 + 2 * 2  # measurements, the center's too
    result = run.evaluate(policies=2, episodes=3, seed=0)
    params = run.decode()  # a direct genome decodes to the same policy for all keys
    policy_keys = keys.policy_keys(keys.evaluation(0), 2)
    expected = [
        [
            curve(run.parts.policy.apply, params, key)
            for key in keys.episode_keys(keys.of_policy(each).episodes, 3)
        ]
        for each in policy_keys
    ]
    np.testing.assert_allclose(
        result["return_per_policy"], np.mean(expected, axis=1), rtol=1e-4
    )
    assert result["episode_length_mean"] == 1


def test_devices_agree():
    one, two = with_roles(), with_roles(devices=2)
    assert without_times(one.metrics) == without_times(two.metrics)
    assert_same(one.state, two.state)


def test_resume_continues_bit_for_bit(tmp_path):
    options = SMALL | {"fitness": curve, "spec": CURVE}
    neuroevo.evolve(**options | {"generations": 2}, run_dir=tmp_path / "run")
    resumed = neuroevo.evolve(**options, run_dir=tmp_path / "run", resume=True)
    assert resumed.generation == 4
    assert_same(resumed.state, fitted().state)
    assert without_times(resumed.metrics) == without_times(fitted().metrics)
    loaded = neuroevo.load(tmp_path / "run", fitness=curve, spec=CURVE)
    expected = fitted().evaluate(2, 3, seed=1)
    assert loaded.evaluate(2, 3, seed=1)["return_mean"] == expected["return_mean"]
    with pytest.raises(UserError, match="curve' is not registered"):
        neuroevo.load(tmp_path / "run")


@pytest.mark.parametrize("slots, count", [(1, 5), (2, 5), (8, 5), (2, 3), (2, 0)])
def test_groups_are_measured_as_policies_alone(slots, count):
    """Five groups of two, of mixed roles; once per policy where the key is ignored."""
    values = jax.random.normal(jax.random.key(0), (5, 2))
    groups = Group(
        values,
        jax.random.split(jax.random.key(1), (5, 3)),
        (jnp.arange(10) != 4).reshape(5, 2),
        jnp.array([0, 0, 1, 2, 0]),
    )
    task = make_objective_task(ROLES, lambda value, x: (value + x, x))

    def load(rows):
        return jax.tree.map(lambda x: x[rows], groups)

    progress = task.begin(None, load, (), 5, slots)
    calls = 0
    play = jax.jit(functools.partial(task.play, None, load, ()))
    price = UNLIMITED._replace(seconds=np.float32(1), entry=np.float32(1))
    while int(progress.ended) < count:
        progress, spent = play(count, progress, price)
        calls += 1
        assert int(spent.entries) == 1  # no more is affordable
    assert calls == -(-count // min(slots, 5))
    returns, lengths, *_ = progress.outcomes
    data = np.array([1, 10, 100])[groups.role]
    drawn = jax.vmap(jax.vmap(jax.random.uniform))(groups.keys)
    drawn = np.where(groups.role[:, None] == 0, drawn, 0)
    expected = np.asarray(values)[..., None] + data[:, None, None] + drawn[:, None]
    expected = np.where(groups.valid[..., None], expected, np.nan)
    expected[count:] = 0
    np.testing.assert_allclose(returns, expected, rtol=1e-6)
    examples = np.array([2, 3, 5])[groups.role] * (np.arange(5) < count)
    np.testing.assert_array_equal(lengths, np.broadcast_to(examples, (3, 2, 5)).T)


@functools.cache
def with_roles(devices=1):
    options = {"env": ROLES, "generations": 2, "devices": devices}
    return neuroevo.evolve(**SMALL | options)


def test_each_role_has_its_data():
    run = with_roles()
    row = run.metrics[0]
    assert abs(row["fitness_mean"] - 1.5) < 1  # the network's own part is small
    assert abs(row["center_return"] - 10) < 1
    assert abs(run.summary["final_return_mean"] - 100) < 1
    assert abs(run.best.validate(1, 1, seed=0) - 10) < 1
    assert row["env_steps"] == 16 * 2 * 2 + 2 * 2 * 3
    assert run.evaluate(1, 2, seed=0)["episode_length_mean"] == 5


def test_the_final_evaluation_does_not_choose():
    """The best center is the one with the better return on what is not for testing."""

    def opposite(apply, params, key, role, data):
        value = apply(params, jnp.zeros(1))[0][0]
        return jnp.where(role == Role.FINAL, -value, value)

    run = neuroevo.evolve(**SMALL | {"env": ROLES._replace(measure=opposite)})
    centers = run.center, run.state.best
    last, best = (
        float(run.parts.policy.apply(each.genome, jnp.zeros(1))[0][0])
        for each in centers
    )
    assert run.best_is_final == (last >= best)
    assert run.summary["best_return_mean"] == pytest.approx(-max(last, best))


def test_data_is_an_argument_of_programs():
    """As a constant, a copy of it would be compiled into every program."""
    run = with_roles()
    assert SEEN and all(isinstance(data, jax.core.Tracer) for data in SEEN)
    other = run.parts.task.bind(jnp.zeros(3))
    episodes = jax.random.split(jax.random.key(0))
    outcome = evaluate(other, None, run.genome, (), episodes)
    assert abs(outcome.returns).max() < 2  # without the 1 of the role's own data
    assert run.parts.task.data is ROLES.data
    assert not [x for x in jax.tree.leaves(run.state) if x.shape == (3,)]


def refused(*words, **options):
    with pytest.raises(UserError) as error:
        neuroevo.evolve(**SMALL | {"fitness": curve, "spec": CURVE} | options)
    for word in words:
        assert word in str(error.value), error.value


@pytest.mark.parametrize(
    "words, options",
    [
        (
            ["fitness: expected a number, float32[] (a scalar)", "float32[8, 1]"],
            {"fitness": lambda apply, params, key: jnp.asarray(X)},
        ),
        (
            ["fitness: expected a number", "None"],
            {"fitness": lambda apply, params, key: None},
        ),
        (
            ["fitness: expected a function of (apply, params, key)", "a float"],
            {"fitness": 1.0},
        ),
        (["spec: expected the neuroevo.Spec", "None"], {"spec": None}),
        (["spec: expected a fitness"], {"fitness": None}),
        (["fitness: expected it without env"], {"env": "CartPole-v1"}),
        (["normalization constant: expected none"], {"normalization": "constant"}),
        (["env.spec.observation"], {"spec": Spec(3, Box((1,)))}),
    ],
)
def test_mistakes_are_one_line(words, options):
    refused(*words, **options)


def test_what_has_no_episodes_is_not_shown():
    with pytest.raises(UserError, match="env curve has no episodes to show"):
        fitted().best.record()


def test_not_finite_is_found():
    def broken(apply, params, key):
        return jnp.log(-1.0 + 0 * curve(apply, params, key))

    refused(
        "candidate 0, policy 0: its fitness: 2 of 2", fitness=broken, debug_nans=True
    )


def test_a_task_of_the_users_own():
    """An environment with its normalization, made into a task beforehand."""
    task = make_task(toy.walk(), NoNormalization().build((2,)))
    options = SMALL | {"generations": 1, "final_policies": 0}
    own = neuroevo.evolve(**options, env=task)
    plain = neuroevo.evolve(**options, env=toy.walk())
    assert without_times(own.metrics) == without_times(plain.metrics)
    assert len(own.best.record()) == 1

    def short(actor, load, state, size, slots):
        return task.begin(actor, load, state, size - 1, slots)

    with pytest.raises(UserError, match="env.play: expected returns of 2 groups"):
        neuroevo.evolve(**options, env=task._replace(begin=short))
