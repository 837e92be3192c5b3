"""PPO for environments with discrete actions, which other examples use: `trainer`."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import neuroevo

EPOCHS = 4
DISCOUNT, TRACE, CLIP, ENTROPY, RATE = 0.99, 0.95, 0.2, 0.01, 1e-3


class Sizes(NamedTuple):
    """What is played between two updates, and in how many parts it is learned from."""

    environments: int
    steps: int
    minibatches: int


SIZES = Sizes(environments=16, steps=128, minibatches=4)


class ActorCritic(nn.Module):
    """A policy of the given layers, and a value function that is always the same."""

    actions: int
    hidden: tuple[int, ...] = (64, 64)
    activation: Callable = nn.tanh

    @nn.compact
    def __call__(self, observation):
        """Return logits and values for observations (…, n)."""
        x = observation
        for width in self.hidden:
            x = self.activation(nn.Dense(width)(x))
        logits = nn.Dense(self.actions, kernel_init=nn.initializers.orthogonal(0.01))(x)
        x = observation
        for _ in range(2):
            x = nn.tanh(nn.Dense(64)(x))
        return logits, nn.Dense(1)(x)[..., 0]


class Step(NamedTuple):
    """A step of each environment."""

    observation: jax.Array
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    reward: jax.Array
    done: jax.Array


def trainer(environment, network, steps, sizes=SIZES, rate=RATE):
    """Return what trains a network with PPO (Schulman et al., 2017, arXiv 1707.06347).

    Args:
        environment: a `neuroevo.Environment` with discrete actions.
        network: returns logits and values for observations, as `ActorCritic` does.
        steps: environment steps.
        sizes: sizes of a batch.
        rate: learning rate of Adam, which falls to 0.

    Returns:
        A jitted function of a key. It returns the parameters of the network; and the
        sum of rewards in each episode that ended, on average, for each update.
    """
    size = sizes.environments * sizes.steps
    updates = max(1, steps // size)
    rate = optax.linear_schedule(rate, 0.0, updates * EPOCHS * sizes.minibatches)
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(rate))

    def act(params, carry, key):
        """Take a step in every environment; those at their end begin again."""
        state, seen, count = carry
        first, second, third = jax.random.split(key, 3)
        logits, value = network.apply(params, seen)
        action = jax.random.categorical(first, logits)
        log_prob = _of(jax.nn.log_softmax(logits), action)
        keys = jax.random.split(second, sizes.environments)
        state, after, reward, done = jax.vmap(environment.step)(keys, state, action)
        done |= count + 1 >= environment.max_steps
        keys = jax.random.split(third, sizes.environments)
        fresh = jax.vmap(environment.reset)(keys)

        def restarted(new, old):
            return jnp.where(done.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        state, after = jax.tree.map(restarted, fresh, (state, after))
        step = Step(seen, action, log_prob, value, reward, done)
        return (state, after, jnp.where(done, 0, count + 1)), step

    def loss(params, step, advantage, target):
        logits, value = network.apply(params, step.observation)
        log_probs = jax.nn.log_softmax(logits)
        ratio = jnp.exp(_of(log_probs, step.action) - step.log_prob)
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        clipped = jnp.clip(ratio, 1 - CLIP, 1 + CLIP)
        gain = jnp.minimum(ratio * advantage, clipped * advantage).mean()
        entropy = -(jnp.exp(log_probs) * log_probs).sum(-1).mean()
        return 0.5 * jnp.square(value - target).mean() - gain - ENTROPY * entropy

    def minibatch(carry, batch):
        params, moments = carry
        updates, moments = optimizer.update(jax.grad(loss)(params, *batch), moments)
        return (optax.apply_updates(params, updates), moments), None

    def update(carry, key):
        params, moments, playing = carry
        acting, shuffling = jax.random.split(key)
        keys = jax.random.split(acting, sizes.steps)
        playing, taken = jax.lax.scan(lambda c, k: act(params, c, k), playing, keys)
        last = network.apply(params, playing[1])[1]
        advantage = _advantages(taken, last)
        data = taken, advantage, advantage + taken.value
        data = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data)

        def epoch(carry, key):
            order = jax.random.permutation(key, size)
            parts = order.reshape(sizes.minibatches, -1)
            batches = jax.tree.map(lambda x: x[parts], data)
            return jax.lax.scan(minibatch, carry, batches)

        each = jax.random.split(shuffling, EPOCHS)
        (params, moments), _ = jax.lax.scan(epoch, (params, moments), each)
        ended = taken.reward.sum() / jnp.maximum(taken.done.sum(), 1)
        return (params, moments, playing), ended

    @jax.jit
    def train(key):
        first, second, third = jax.random.split(key, 3)
        keys = jax.random.split(first, sizes.environments)
        state, seen = jax.vmap(environment.reset)(keys)
        params = network.init(second, seen)
        playing = state, seen, jnp.zeros(sizes.environments, int)
        carry = params, optimizer.init(params), playing
        (params, *_), rewards = jax.lax.scan(
            update, carry, jax.random.split(third, updates)
        )
        return params["params"], rewards

    return train


def save(layers, env, policy, file):
    """Write the weights of a policy to a genome file of the direct encoding.

    Args:
        layers: kernel and bias of each layer, by its name: ``hidden_0``, …, ``output``.
        env: the environment's name.
        policy: options of the policy.
        file: where to write, ``.npz``.
    """
    arrays = {
        f"{layer}/{name}": np.asarray(array)
        for layer, weights in layers.items()
        for name, array in weights.items()
    }
    np.savez(file, **arrays)  # neuroevo reads it, if told what it is
    policy = policy | {"action": "greedy"}
    parts = {"encoding": "direct", "policy": policy, "normalization": "none"}
    neuroevo.load(file, env=env, **parts).save(file)


def _of(log_probs, action):
    return jnp.take_along_axis(log_probs, action[..., None], axis=-1)[..., 0]


def _advantages(taken, last):
    """Return generalized advantages (Schulman et al., 2015, arXiv 1506.02438)."""

    def back(carry, step):
        after, advantage = carry
        going = DISCOUNT * (1 - step.done)
        error = step.reward + going * after - step.value
        advantage = error + going * TRACE * advantage
        return (step.value, advantage), advantage

    begin = last, jnp.zeros_like(last)
    return jax.lax.scan(back, begin, taken, reverse=True)[1]
