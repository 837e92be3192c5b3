"""The plain formulation: what everyone writes first, kept as the reference.

Candidates, seeds and episodes are three nested vmaps; every candidate and seed draws
and trains a network of its own; a scan goes through the environment's full number of
steps, and what an episode returned is masked out of the stacked rewards afterwards. One
device. The math is neuroevo's and keys are split in the same way, so that the same key
means the same episode. Environment, strategy and initial weights are neuroevo's, and
everything that is timed between these is written out here. (flax's own orthogonal
weights are QR decompositions, which hang under vmap with jax 0.10 on two CPU devices.)
"""

import functools
import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from neuroevo.core import keys
from neuroevo.policies.initializers import orthogonal


class Network(nn.Module):
    """The network of neuroevo's `mlp` and `cnn`, parameter by parameter."""

    outputs: int
    gaussian: bool
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    activation: str
    kernel_init: str

    @nn.compact
    def __call__(self, x):
        """Return logits, or mean and log standard deviation."""
        activation, sqrt2 = getattr(nn, self.activation), math.sqrt(2)
        for i, width in enumerate(self.channels):
            kernel, name = self.kernel(sqrt2), f"conv_{i}"
            conv = nn.Conv(
                width, (3, 3), padding="VALID", kernel_init=kernel, name=name
            )
            x = activation(conv(x))
        x = x.ravel()
        for i, width in enumerate(self.hidden):
            dense = nn.Dense(width, kernel_init=self.kernel(sqrt2), name=f"hidden_{i}")
            x = activation(dense(x))
        x = nn.Dense(self.outputs, kernel_init=self.kernel(0.01), name="output")(x)
        if self.gaussian:
            return x, self.param("log_std", nn.initializers.zeros, (self.outputs,))
        return x

    def kernel(self, gain):
        """Return the initializer of a layer's weights."""
        if self.kernel_init == "orthogonal":
            return functools.partial(orthogonal, gain=gain)
        return nn.initializers.lecun_normal()


def make_network(run):
    """Return the network that the policy of a `neuroevo.run.run.Run` describes."""
    policy, action = run.config.parts["policy"], run.parts.environment.spec.action
    gaussian = hasattr(action, "shape")
    outputs = math.prod(action.shape) if gaussian else action.n
    channels = getattr(policy, "channels", ())
    layers = policy.hidden, channels, policy.activation, policy.kernel_init
    return Network(outputs, gaussian, *layers)


def sample(output, key):
    """Return an action of the network's distribution."""
    if not isinstance(output, tuple):
        return jax.random.categorical(key, output)
    mean, log_std = output
    noise = jax.random.normal(key, mean.shape)
    return jnp.clip(mean + jnp.exp(log_std) * noise, -1, 1)


class Moments(NamedTuple):
    """Mean and variance of the observations so far."""

    count: jax.Array
    mean: jax.Array
    var: jax.Array


def merge(moments, observations, alive):
    """Count in a batch of `observations`, those of living episodes."""
    axes = tuple(range(alive.ndim))
    mask = alive.reshape(*alive.shape, *[1] * (observations.ndim - alive.ndim))
    n = jnp.maximum(alive.sum(), 1)
    mean = jnp.where(mask, observations, 0).sum(axes) / n
    var = jnp.where(mask, jnp.square(observations - mean), 0).sum(axes) / n
    count = moments.count + alive.sum()
    share = alive.sum() / count
    delta = mean - moments.mean
    var = (1 - share) * (moments.var + share * delta**2) + share * var
    return Moments(count, moments.mean + share * delta, var)


def make_train(run, network):
    """Return ``train(params, genome)``: supervised learning on the genome's pairs."""
    options, labels = run.config.parts["encoding"], run.parts.encoding.constants
    rate, eps = options.learning_rate, options.adam_eps
    optimizer = optax.adam(rate, eps=eps)
    if options.max_grad_norm is not None:
        clip = optax.clip_by_global_norm(options.max_grad_norm)
        optimizer = optax.chain(clip, optimizer)

    def loss(params, genome):
        output = jax.vmap(network.apply, (None, 0))(
            {"params": params}, genome["states"]
        )
        if network.gaussian:
            mean, log_std = output
            error = (genome["actions"] - mean) * jnp.exp(-log_std)
            nll = 0.5 * error**2 + log_std + 0.5 * math.log(2 * math.pi)
            return nll.sum(-1).mean()
        entropy = optax.softmax_cross_entropy_with_integer_labels
        per_class = options.loss == "cross_entropy_per_class"
        scale = 1 / network.outputs if per_class else 1
        return scale * entropy(output, labels["labels"]).mean()

    def train(params, genome):
        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params, genome), state)
            return (optax.apply_updates(params, updates), state), None

        carry = params, optimizer.init(params)
        return jax.lax.scan(step, carry, length=options.steps)[0][0]

    return train


def make_evaluate(run):
    """Return ``evaluate(population, key, moments)``.

    It gives returns and lengths, (population, seeds, episodes), the observations of all
    steps and which of them belong to an episode.
    """
    settings, environment = run.config.settings, run.parts.environment
    mode, network = run.config.names["normalization"], make_network(run)
    bound = getattr(run.config.parts["normalization"], "clip", None) or jnp.inf
    direct = run.config.names["encoding"] == "direct"
    train = None if direct else make_train(run, network)

    def decode(genome, key):
        if direct:
            return genome
        init_key, _ = jax.random.split(key)
        zeros = jnp.zeros(environment.spec.observation)
        return train(network.init(init_key, zeros)["params"], genome)

    def normalize(observation, moments):
        if mode == "none":
            return observation
        std = jnp.sqrt(moments.var + 1e-8)
        return jnp.clip((observation - moments.mean) / std, -bound, bound)

    def rollout(params, episode_keys, moments):
        """Play the episodes of one policy in parallel."""
        reset_keys, act_keys, step_keys = jax.vmap(keys.of_episode)(episode_keys)
        at_step = jax.vmap(keys.at_step, (0, None))

        def step(carry, t):
            state, observation, alive, moments = carry
            if mode == "episode":
                moments = merge(moments, observation, alive)
            output = jax.vmap(network.apply, (None, 0))(
                {"params": params}, normalize(observation, moments)
            )
            action = jax.vmap(sample)(output, at_step(act_keys, t))
            state, after, reward, done = jax.vmap(environment.step)(
                at_step(step_keys, t), state, action
            )
            done = jnp.asarray(done, bool)
            carry = state, after, alive & ~done, moments
            return carry, (reward, done, observation)

        state, observation = jax.vmap(environment.reset)(reset_keys)
        alive = jnp.ones(len(episode_keys), bool)
        _, (rewards, dones, observations) = jax.lax.scan(
            step,
            (state, observation, alive, moments),
            jnp.arange(environment.max_steps),
        )
        alive = jnp.cumsum(dones, 0) - dones == 0
        returns = jnp.where(alive, rewards, 0).sum(0)
        return returns, alive.sum(0), observations, alive

    def evaluate(population, key, moments):
        def policy(genome, key):
            start, episodes = keys.of_policy(key)
            episode_keys = keys.episode_keys(episodes, settings.episodes)
            return rollout(decode(genome, start), episode_keys, moments)

        policy_keys = keys.policy_keys(key, settings.policies)
        policies = jax.vmap(jax.vmap(policy, (None, 0)), (0, None))
        return policies(population, policy_keys)

    return evaluate


def make_generation(run):
    """Return ``init(search keys)`` and the jitted ``generation(state)``.

    `run` is a `neuroevo.run.run.Run`, for its configuration, environment and strategy.
    A generation gives the next state, the mean fitness and the environment steps.
    """
    strategy, evaluate = run.parts.strategy, make_evaluate(run)
    mode, shape = (
        run.config.names["normalization"],
        run.parts.environment.spec.observation,
    )

    def init(search):
        genome = run.parts.encoding.init(search.genome)
        count = jnp.float32(1e-4 if mode == "episode" else 0)
        moments = Moments(count, jnp.zeros(shape), jnp.ones(shape))
        strategy_state = strategy.init(search.strategy, genome)
        return search.run, jnp.int32(0), strategy_state, moments

    def generation(state):
        key, number, strategy_state, moments = state
        drawn = keys.generation(key, number)
        population, strategy_state = strategy.ask(drawn.ask, strategy_state)
        returns, lengths, *seen = evaluate(population, drawn.evaluation, moments)
        fitness = returns.mean((1, 2))
        strategy_state = strategy.tell(drawn.tell, population, fitness, strategy_state)
        if mode == "running":
            moments = merge(moments, *seen)
        state = key, number + 1, strategy_state, moments
        return state, (fitness.mean(), lengths.sum())

    return jax.jit(init), jax.jit(generation)
