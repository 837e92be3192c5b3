"""Derivatives of decoding: of training a policy on the pairs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genomes.dataset import Dataset
from neuroevo.policies import optimizers
from neuroevo.policies.networks import MLP
from neuroevo.spaces import Box, Discrete, Spec

SPECS = {"discrete": Spec((3,), Discrete(2)), "box": Spec((3,), Box((2,)))}


def outer_loss(spec, hidden=(6,), **options):
    """Return a function of a genome: how a policy trained on it acts; and a genome."""
    policy = MLP(hidden=hidden, kernel_init="lecun", activation="tanh").build(spec)
    encoding = Dataset(**{"size": 3, "init_scale": 1.0} | options).build(policy, spec)
    start = jax.jit(encoding.start)(jax.random.key(0))
    observations = jax.random.normal(jax.random.key(1), (5, *spec.observation))

    def loss(genome):
        params = encoding.decode(genome, start)
        outputs = jax.vmap(policy.apply, (None, 0))(params, observations)
        return sum(jnp.mean(jnp.sin(3 * x)) for x in jax.tree.leaves(outputs))

    return loss, jax.jit(encoding.init)(jax.random.key(2))


@pytest.mark.parametrize(
    "spec, options",
    [
        ("discrete", {"steps": 7, "labels": "learned", "max_grad_norm": 0.2}),
        ("discrete", {"steps": 12, "size": 20, "schedule": "cosine"}),
        ("box", {"steps": 9, "optimizer": "momentum", "noise": 0.1}),
        ("box", {"steps": 5, "loss": "mse", "optimizer": "sgd", "learning_rate": 0.1}),
    ],
    ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x.values())),
)
def test_gradients_agree_with_finite_differences(spec, options):
    loss, genome = outer_loss(SPECS[spec], **options)
    value, gradient = jax.jit(jax.value_and_grad(loss))(genome)
    forward = jax.jit(loss)
    np.testing.assert_allclose(value, forward(genome), rtol=1e-5)
    for seed in range(3):
        direction = optax.tree.random_like(jax.random.key(seed), genome)
        along = optax.tree.vdot(gradient, direction)
        ahead, behind = (
            forward(optax.tree.add_scale(genome, h, direction)) for h in (5e-4, -5e-4)
        )
        np.testing.assert_allclose(along, (ahead - behind) / 1e-3, rtol=0.02, atol=5e-4)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_gradients_are_finite_where_training_has_none(clip):
    """Zero states leave the hidden weights where they are: their gradient is zero."""
    options = {"steps": 4, "max_grad_norm": clip, "loss": "mse"}
    loss, genome = outer_loss(SPECS["box"], **options)
    gradient = jax.jit(jax.grad(loss))
    for states, actions in [(0.0, 1.0), (0.0, 0.0)]:
        genome = {
            "states": jnp.full_like(genome["states"], states),
            "actions": jnp.full_like(genome["actions"], actions),
        }
        found = gradient(genome)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(found)), found


def test_gradients_need_memory_for_a_few_steps_only():
    """200 steps of Adam on 2 x 512 units, of which one needs 4 MB."""
    loss, genome = outer_loss(SPECS["box"], hidden=(512, 512), steps=200, size=4)
    compiled = jax.jit(jax.grad(loss)).lower(genome).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 400e6


def test_optimizers_compute_what_those_of_optax_do():
    params = {"a": jnp.arange(3.0), "b": jnp.zeros((2, 2))}
    pairs = [
        (optimizers.scale_by_adam(eps=1e-5), optax.scale_by_adam(eps=1e-5)),
        (optimizers.clip_by_global_norm(2.0), optax.clip_by_global_norm(2.0)),
    ]
    for ours, theirs in pairs:
        state, expected = ours.init(params), theirs.init(params)
        for scale in (0.0, 1.0, 3.0):
            gradients = jax.tree.map(lambda x, s=scale: s * jnp.cos(x), params)
            updates, state = ours.update(gradients, state)
            wanted, expected = theirs.update(gradients, expected)
            for x, y in zip(*map(jax.tree.leaves, (updates, wanted)), strict=True):
                np.testing.assert_array_equal(x, y)
            assert jax.tree.structure(state) == jax.tree.structure(expected)


def test_updates_of_wide_kernels_are_divided_by_their_inputs():
    padded = jnp.ones((256, 3)).at[128:].set(0)
    params = {"padded": padded, "narrow": jnp.ones((8, 3)), "bias": jnp.ones(300)}
    rule = optimizers.scale_by_fan_in()
    updates, _ = rule.update(jax.tree.map(jnp.ones_like, params), rule.init(params))
    of = {name: float(each[0].mean()) for name, each in updates.items()}
    assert of == {"padded": 0.5, "narrow": 1, "bias": 1}


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 12, 64, 200])
def test_checkpoints_do_not_change_a_loop(steps):
    def update(i, carry):
        return carry * 0.9 + i

    loops = optimizers.loop, optimizers.checkpointed_loop
    found = [jax.jit(functools.partial(f, steps, update))(jnp.ones(2)) for f in loops]
    np.testing.assert_array_equal(*found)
    assert optimizers.segment_length(steps) <= max(1, 2 * steps**0.5)
