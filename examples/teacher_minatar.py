"""Train a teacher for a MinAtar game with PPO, and distill it into a few pairs.

    python examples/teacher_minatar.py Breakout-MinAtar 3000000 16
    python examples/teacher_minatar.py ENV STEPS PAIRS SEED [FILE] [gpu]

The teacher is linear, and so are its students: what a few pairs teach a linear network
can be any of its weights, whatever it was initialized with. FILE is where the teacher's
weights go, as a genome of the direct encoding, which ``neuroevo distill FILE`` takes,
too: see docs/distillation.md. With ``gpu``, PPO plays in 2048 environments at once, and
150 M steps take a minute or two.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import neuroevo
from neuroevo.environments.gymnax import suite

EPOCHS = 4
DISCOUNT, TRACE, CLIP, ENTROPY, RATE = 0.99, 0.95, 0.2, 0.01, 5e-3


class Sizes(NamedTuple):
    """What is played between two updates, and in how many parts it is learned from."""

    environments: int
    steps: int
    minibatches: int


SIZES = {"cpu": Sizes(64, 128, 8), "gpu": Sizes(2048, 32, 16)}
# The decoder's learning rate, and how many generations there are. The more cells of a
# board are not empty, the more a weight counts.
DECODERS = {"SpaceInvaders-MinAtar": (0.3, 150)}
DECODER = 1.0, 60
DISTILLATION = {  # from a few episodes, and then from what many students see
    "policy": {"name": "mlp", "hidden": []},
    "normalization": "none",
    "strategy": {"relabel_every": 1, "relabel_policies": 64},
    "population": 1,
    "center_every": 10,
    "center_policies": 16,
    "final_policies": 24,
    "final_episodes": 4,
}


class ActorCritic(nn.Module):
    """Logits of the actions, which are linear, and the value of an observation."""

    actions: int

    @nn.compact
    def __call__(self, observation):
        """Return both for observations (…, height, width, channels)."""
        x = observation.reshape(*observation.shape[:-3], -1)
        logits = nn.Dense(self.actions, kernel_init=nn.initializers.zeros)(x)
        for _ in range(2):
            x = nn.relu(nn.Dense(64)(x))
        value = nn.Dense(1, kernel_init=nn.initializers.orthogonal(0.01))(x)
        return logits, value[..., 0]


class Step(NamedTuple):
    """A step of each environment."""

    observation: jax.Array
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    reward: jax.Array
    done: jax.Array


def teach(environment, network, steps, seed=0, sizes=SIZES["cpu"], rate=RATE):
    """Train a network with PPO (Schulman et al., 2017, arXiv 1707.06347).

    Args:
        environment: a `neuroevo.Environment` with discrete actions.
        network: returns logits and values for observations, as `ActorCritic` does.
        steps: environment steps.
        seed: seed of all randomness.
        sizes: sizes of a batch.
        rate: learning rate of Adam, which falls to 0.

    Returns:
        The parameters of the network; the sum of rewards in each episode that ended, on
        average, for each update.
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
        return params, rewards

    params, rewards = train(jax.random.key(seed))
    return params["params"], rewards


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


def save(weights, env, file):
    """Write the weights of a linear policy to a genome file."""
    arrays = {f"output/{name}": np.asarray(array) for name, array in weights.items()}
    np.savez(file, **arrays)  # neuroevo reads it, if told what it is
    policy = DISTILLATION["policy"] | {"action": "greedy"}
    parts = {"encoding": "direct", "policy": policy, "normalization": "none"}
    neuroevo.load(file, env=env, **parts).save(file)


def main(
    env="Breakout-MinAtar",
    steps=3_000_000,
    pairs=16,
    seed=0,
    file="teacher.npz",
    sizes="cpu",
    **distillation,
):
    """Return the run that distills a teacher."""
    environment = suite.config(env)().build()
    network = ActorCritic(environment.spec.action.n)
    params, rewards = teach(environment, network, int(steps), int(seed), SIZES[sizes])
    print(f"PPO: {rewards[-10:].mean():.1f} rewards in an episode")
    save(params["Dense_0"], env, Path(file))
    learning_rate, generations = DECODERS.get(env, DECODER)
    decoder = {"labels": "learned", "learning_rate": learning_rate}
    options = DISTILLATION | {
        "encoding": {"size": int(pairs)} | decoder,
        "generations": generations,
        "seed": int(seed),
    }
    return neuroevo.distill(file, env=env, **options | distillation)


if __name__ == "__main__":
    run = main(*sys.argv[1:])
    print(run.summary["best_return_mean"])
