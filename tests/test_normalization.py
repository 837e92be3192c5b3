"""Each observation normalizer against a plain numpy reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuroevo import registry
from neuroevo.config import ranges
from neuroevo.errors import UserError
from neuroevo.tasks.normalization import (
    Constant,
    Episode,
    NoNormalization,
    Running,
    Sums,
)

SHAPES = [(), (3,), (2, 3, 2)]


def no_warm_up(normalizer, episodes):
    raise AssertionError("this normalizer needs no warm-up")


def batches(shape, steps=7, episodes=4, offset=5.0):
    """Observations (steps, episodes, *shape) of episodes that end one by one."""
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.1, 10, shape)
    x = offset + scale * rng.normal(size=(steps, episodes, *shape))
    alive = np.arange(steps)[:, None] < np.array([7, 2, 5, 1])[:episodes]
    return x.astype(np.float32), alive


def gather(normalizer, state, x, alive):
    """Observe and normalize step by step; NaN stands in for what is over."""
    carry, outputs = normalizer.start(state), []
    for observation, going in zip(x, alive, strict=True):
        mask = going.reshape(-1, *[1] * (observation.ndim - 1))
        garbage = jnp.where(mask, observation, jnp.nan)
        carry = normalizer.observe(state, carry, garbage, jnp.asarray(going))
        outputs.append(normalizer.apply(state, carry, observation))
    return np.stack(outputs), normalizer.stats(carry)


@pytest.mark.parametrize("name", ["none", "constant", "running", "episode"])
def test_registered(name):
    assert name in registry.normalizations.names()
    assert registry.normalizations.get(name)().build((3,)).init is not None


def test_none_is_the_identity_and_free():
    normalizer = NoNormalization().build((3,))
    state = normalizer.init(no_warm_up)
    x, alive = batches((3,))
    outputs, stats = gather(normalizer, state, x, alive)
    np.testing.assert_array_equal(outputs, x)
    assert jax.tree.leaves((state, stats, normalizer.constants(state))) == []
    assert normalizer.update(state, stats) == state


@pytest.mark.parametrize("shape", SHAPES)
def test_running_matches_numpy_over_generations(shape):
    normalizer = Running().build(shape)
    state = normalizer.init(no_warm_up)
    seen = []
    for generation in range(3):
        total = None
        for policy in range(2):  # stats are summed over policies
            x, alive = batches(shape, offset=10.0 * generation - policy)
            outputs, stats = gather(normalizer, state, x, alive)
            total = stats if total is None else jax.tree.map(jnp.add, total, stats)
            seen.append(x[alive])
        mean, var = np.asarray(state.mean), np.asarray(state.var)
        expected = np.clip((x - mean) / np.sqrt(var), -10, 10)
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
        state = normalizer.update(state, total)
        everything = np.concatenate(seen).astype(np.float64)
        assert state.count == len(everything)
        np.testing.assert_allclose(state.mean, everything.mean(0), rtol=1e-4)
        np.testing.assert_allclose(state.var, everything.var(0), rtol=1e-3)
    constants = normalizer.constants(state)
    np.testing.assert_array_equal(constants["obs_mean"], state.mean)
    np.testing.assert_array_equal(constants["obs_var"], state.var)


def test_running_is_the_identity_before_the_first_update():
    normalizer = Running().build((2,))
    state = normalizer.init(no_warm_up)
    x = jnp.array([[3.0, -4.0]])
    carry = normalizer.observe(state, normalizer.start(state), x, jnp.array([True]))
    np.testing.assert_array_equal(normalizer.apply(state, carry, x), x)
    nothing = normalizer.stats(normalizer.start(state))
    for after, before in zip(normalizer.update(state, nothing), state, strict=True):
        np.testing.assert_array_equal(after, before)


def test_running_starts_from_given_statistics():
    given = {"obs_mean": np.array([1.0, 2.0]), "obs_var": np.array([4.0, 9.0])}
    normalizer = Running().build((2,), **given)
    state = normalizer.init(no_warm_up)
    x = jnp.array([[5.0, -4.0]])
    np.testing.assert_allclose(normalizer.apply(state, (), x), [[2.0, -2.0]])
    for name, value in normalizer.constants(state).items():
        np.testing.assert_array_equal(value, given[name])


def test_running_stays_sane_after_1e12_observations():
    normalizer = Running().build((2,))
    state = normalizer.init(no_warm_up)
    update = jax.jit(normalizer.update)
    mean, var = jnp.array([1e3, -1e-2]), jnp.array([4.0, 1e-4])

    def batch(n):
        offset = mean - state.mean
        return Sums(jnp.float32(n), n * offset, n * (var + offset**2))

    state = update(state, batch(1e4))
    for _ in range(1000):
        state = update(state, batch(1e9))
    state = update(state, batch(3.0))  # a batch below the count's last digit
    np.testing.assert_allclose(state.count, 1e12, rtol=1e-3)
    np.testing.assert_allclose(state.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(state.var, var, rtol=1e-2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_running_ignores_diverged_observations(bad):
    normalizer = Running().build((2,))
    state = normalizer.init(no_warm_up)
    x = jnp.array([[1.0, 2.0], [bad, 0.0], [3.0, 6.0]])
    carry = normalizer.observe(state, normalizer.start(state), x, jnp.ones(3, bool))
    state = normalizer.update(state, normalizer.stats(carry))
    assert state.count == 2
    np.testing.assert_allclose(state.mean, [2, 4], rtol=1e-6)
    np.testing.assert_allclose(state.var, [1, 4], rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_episode_matches_the_published_recipe(shape):
    normalizer = Episode().build(shape)
    state = normalizer.init(no_warm_up)
    x, alive = batches(shape)
    outputs, stats = gather(normalizer, state, x, alive)
    assert jax.tree.leaves((state, stats)) == []

    mean, var, count = np.zeros(shape), np.ones(shape), 1e-4
    for observation, going, output in zip(x, alive, outputs, strict=True):
        batch = observation[going].astype(np.float64)
        total = count + len(batch)
        delta = batch.mean(0) - mean
        m2 = var * count + batch.var(0) * len(batch)
        m2 += delta**2 * count * len(batch) / total
        mean = mean + delta * len(batch) / total
        var, count = m2 / total, total
        expected = (batch - mean) / np.sqrt(var + 1e-8)
        np.testing.assert_allclose(output[going], expected, rtol=2e-3, atol=2e-3)


def test_episode_without_anyone_alive_changes_nothing():
    normalizer = Episode().build((2,))
    carry = normalizer.start(())
    nobody = jnp.zeros(3, bool)
    after = normalizer.observe((), carry, jnp.full((3, 2), jnp.nan), nobody)
    for new, old in zip(after, carry, strict=True):
        np.testing.assert_array_equal(new, old)


def test_constant_given():
    mean, var = np.array([1.0, -2.0, 0.0]), np.array([4.0, 0.25, 0.0])
    normalizer = Constant().build((3,), mean, var)
    state = normalizer.init(no_warm_up)
    x = jnp.array([[5.0, -1.0, 1e-4], [1e6, -1e6, 1.0]])
    np.testing.assert_allclose(
        normalizer.apply(state, normalizer.start(state), x),
        [[2.0, 2.0, 0.1], [10.0, -10.0, 10.0]],  # floored and clipped
        rtol=1e-5,
    )
    constants = normalizer.constants(state)
    np.testing.assert_array_equal(constants["obs_mean"], mean)
    np.testing.assert_array_equal(constants["obs_var"], var)
    unbounded = Constant(clip=None).build((3,), mean, var)
    assert unbounded.apply(state, (), x)[1, 0] > 1e5


def test_constant_estimated_leaves_dead_dimensions_unscaled():
    asked = []

    def warm_up(gatherer, episodes):
        asked.append(episodes)
        state = gatherer.init(no_warm_up)
        x = jnp.array([[1.0, 3.0], [3.0, 3.0]])
        carry = gatherer.observe(state, gatherer.start(state), x, jnp.ones(2, bool))
        return gatherer.stats(carry)

    normalizer = Constant(warmup_episodes=5).build((2,))
    state = normalizer.init(warm_up)
    assert asked == [5]
    np.testing.assert_allclose(state.mean, [2, 3])
    np.testing.assert_allclose(state.var, [1, 1])
    constants = normalizer.constants(state)
    again = Constant().build((2,), constants["obs_mean"], constants["obs_var"])
    x = jnp.array([[7.0, 4.5]])
    np.testing.assert_array_equal(
        again.apply(again.init(no_warm_up), (), x), normalizer.apply(state, (), x)
    )


def test_constant_from_a_file(tmp_path):
    file = tmp_path / "stats.npz"
    mean, var = np.arange(6.0), np.arange(1.0, 7.0)
    np.savez(file, obs_mean=mean, obs_var=var, meta=np.array("{}"))
    normalizer = Constant(file=str(file)).build((2, 3))  # flattened is welcome
    state = normalizer.init(no_warm_up)
    np.testing.assert_array_equal(state.mean, mean.reshape(2, 3))
    np.testing.assert_array_equal(state.var, var.reshape(2, 3))


def test_user_errors_are_one_line(tmp_path):
    def check(build, *words):
        with pytest.raises(UserError) as caught:
            build()
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert word in message

    file = tmp_path / "stats.npz"
    path = str(file)
    check(lambda: Constant(file=path).build((2,)), "stats.npz", "no such file")
    np.savez(file, obs_mean=np.zeros(2))
    check(lambda: Constant(file=path).build((2,)), "obs_var", "obs_mean")
    np.savez(file, obs_mean=np.zeros(2), obs_var=np.ones(2))
    check(lambda: Constant(file=path).build((3,)), "(2,)", "(3,)")
    np.savez(file, obs_mean=np.array([0, np.nan]), obs_var=np.ones(2))
    check(lambda: Constant(file=path).build((2,)), "obs_mean", "finite")
    np.savez(file, obs_mean=np.zeros(2), obs_var=-np.ones(2))
    check(lambda: Constant(file=path).build((2,)), "obs_var", "negative")
    np.savez(file, obs_mean=np.array(["a", "b"]), obs_var=np.ones(2))
    check(lambda: Constant(file=path).build((2,)), "obs_mean", "numbers")
    file.write_text("not a zip")
    check(lambda: Constant(file=path).build((2,)), "stats.npz")
    file.write_bytes(b"")
    check(lambda: Constant(file=path).build((2,)), "stats.npz")
    for options, name in (
        (Constant(warmup_episodes=0), "warmup_episodes"),
        (Constant(clip=0.0), "clip"),
        (Running(var_floor=-1.0), "var_floor"),
        (Episode(clip=float("nan")), "clip"),
    ):
        check(lambda o=options: ranges.check(o, "normalization"), name)
    check(lambda: Constant().build((2,), obs_mean=np.zeros(2)), "obs_var")
