"""Policies with memory in an environment outside of JAX."""

import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box

from neuroevo.core import keys
from neuroevo.core.acting import act_with
from neuroevo.environments.gym import suite
from neuroevo.registry import policies
from neuroevo.tasks import host, host_rollout
from neuroevo.tasks.normalization import NoNormalization

POLICIES, EPISODES = 3, 5


class Wander(gymnasium.Env):
    """Random numbers, for two to six steps; rewards weigh actions by the time."""

    observation_space, action_space = Box(-9, 9, (2,)), Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.length = 0, self.np_random.integers(2, 7)
        return self._show(), {}

    def _show(self):
        return self.np_random.normal(size=2).astype(np.float32)

    def step(self, action):
        self.t += 1
        reward = float(action[0]) * 2.0**self.t
        return self._show(), reward, self.t >= self.length, False, {}


@pytest.fixture(scope="module")
def environment():
    made = suite.from_function(Wander, workers=1).build()
    yield made
    made.instances.close()


@pytest.fixture(scope="module", params=["gru", "frames"])
def playing(request, environment):
    """A policy with memory, parameters of several such policies, and their task."""
    size = {"units": 4} if request.param == "gru" else {"frames": 3}
    options = policies.get(request.param)(hidden=(), action="greedy", **size)
    policy = options.build(environment.spec)
    drawn = jax.random.split(jax.random.key(1), POLICIES)
    params = jax.tree.map(lambda x: x + 0.3, jax.vmap(policy.init)(drawn))
    task = host.make_host_task(environment, NoNormalization().build((2,)))
    return policy, params, task, act_with(policy)


EPISODE_KEYS = jax.vmap(functools.partial(keys.episode_keys, count=EPISODES))(
    jax.random.split(jax.random.key(2), POLICIES)
)


def play(playing, slots=POLICIES, seconds=np.inf, together=EPISODES):
    """Return the outcomes, of `together` episodes of a policy at a time."""
    _, params, task, actor = playing
    load = host._loading(params, EPISODE_KEYS)
    shape = (POLICIES, 1, EPISODES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_rollout, "_AT_ONCE", together)
        share = task.host.begin(actor, load, (), np.arange(POLICIES), shape, slots)
        calls = 0
        while share.ended < POLICIES:
            share.play(seconds if calls else 0.0)
            calls += 1
    return share.outcomes, calls


def play_plainly(policy, apply, params, key):
    """Return what one episode brings, in a loop over its steps."""
    env, total, ended = Wander(), 0.0, False
    seen, _ = env.reset(seed=int(keys.host_seed(keys.of_episode(key).reset)))
    memory = policy.init_memory(params)
    while not ended:
        output, memory = apply(params, seen, memory)
        action = np.clip(policy.act(output, key), -1, 1)
        seen, reward, ended, *_ = env.step(action)
        total += reward
    return total, env.t


def test_memory_is_that_of_an_episode(playing):
    policy, params, *_ = playing
    apply = jax.jit(policy.apply)
    outcomes, _ = play(playing)
    for i in range(POLICIES):
        own = jax.tree.map(lambda x: x[i], params)  # noqa: B023
        plain = [play_plainly(policy, apply, own, key) for key in EPISODE_KEYS[i]]
        returns, lengths = map(np.array, zip(*plain, strict=True))
        np.testing.assert_allclose(outcomes.returns[i, 0], returns, rtol=1e-4)
        np.testing.assert_array_equal(outcomes.lengths[i, 0], lengths)


def test_memory_matters_here(playing):
    """What is compared above would differ without it, or with that of another."""
    policy, params, task, actor = playing
    forgetful = actor._replace(
        act=lambda params, memory, *rest: actor.act(
            params, jax.tree.map(jnp.zeros_like, memory), *rest
        )
    )
    found, _ = play(playing)
    without, _ = play((policy, params, task, forgetful))
    assert (abs(found.returns - without.returns) > 1e-3).all()


@pytest.mark.parametrize("how", [{"slots": 1}, {"seconds": 1e-4}], ids=str)
def test_neither_slots_nor_calls_matter(playing, how):
    expected, _ = play(playing)
    found, calls = play(playing, **how)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert calls > 2 or "seconds" not in how


def test_episodes_of_a_policy_may_follow_one_another(playing):
    expected, _ = play(playing)
    found, _ = play(playing, slots=2, together=2)
    np.testing.assert_array_equal(found.lengths, expected.lengths)
    # Products of matrices of other sizes are rounded in another way.
    np.testing.assert_allclose(found.returns, expected.returns, rtol=1e-5)


def test_an_episode_is_recorded_with_its_memory(playing):
    policy, params, task, actor = playing
    outcomes, _ = play(playing)
    own = jax.tree.map(lambda x: x[1], params)
    trajectory = task.record(actor, own, (), EPISODE_KEYS[1, 2])
    np.testing.assert_allclose(trajectory.rewards.sum(), outcomes.returns[1, 0, 2])
    collected = task.collect(actor, params, (), EPISODE_KEYS)
    np.testing.assert_array_equal(collected.returns, outcomes.returns[:, 0])
