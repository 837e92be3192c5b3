"""What holds for every encoding, and the direct one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genomes.direct import Direct
from neuroevo.policies.networks import MLP
from neuroevo.registry import encodings
from neuroevo.spaces import Box, Discrete, Spec

DISCRETE = Spec((4,), Discrete(3))
CONTINUOUS = Spec((4,), Box((2,)))
SPECS = {
    "discrete": DISCRETE,
    "box": CONTINUOUS,
    "image": Spec((6, 6, 2), Discrete(3)),
}
# Options that make the encodings of this project small; a plug-in's need none.
SMALL = {"dataset": {"size": 3, "steps": 3, "init_scale": 1.0}}


def assert_trees_close(a, b, atol=1e-6):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=atol), a, b)


# ---------------------------------------------------------------- of every encoding


@pytest.mark.parametrize("spec", ["discrete", "box"])
@pytest.mark.parametrize("name", encodings.names())
def test_contract(name, spec):
    """Decoding gives the policy's parameters, whatever `vmap` does to it, in one go."""
    spec = SPECS[spec]
    policy = MLP(hidden=(8, 7), kernel_init="lecun").build(spec)
    encoding = encodings.get(name)(**SMALL.get(name, {})).build(policy, spec)
    genomes = jax.jit(jax.vmap(encoding.init))(jax.random.split(jax.random.key(0), 2))
    starts = jax.jit(jax.vmap(encoding.start))(jax.random.split(jax.random.key(1), 2))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(genomes))
    assert jax.eval_shape(encoding.init, jax.random.key(0)) == jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), genomes
    )

    genome, start = jax.tree.map(lambda x: x[0], (genomes, starts))
    traces = []
    decode = jax.jit(lambda *args: traces.append(args) or encoding.decode(*args))
    params = decode(genome, start)
    expected = jax.eval_shape(policy.init, jax.random.key(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == jax.tree.map(
        lambda x: (x.shape, x.dtype), expected
    )
    decode(*jax.tree.map(lambda x: x[1], (genomes, starts)))
    assert len(traces) == 1

    for axes, args in (((0, None), (genomes, start)), ((None, 0), (genome, starts))):
        batched = jax.device_get(jax.jit(jax.vmap(encoding.decode, axes))(*args))
        for i in range(2):
            one = [
                arg if axis is None else jax.tree.map(lambda x, i=i: x[i], arg)
                for axis, arg in zip(axes, args, strict=True)
            ]
            looped = decode(*one)
            got = jax.tree.map(lambda x, i=i: x[i], batched)
            assert_trees_close(got, looped, atol=1e-5)


@pytest.mark.parametrize("name", encodings.names())
def test_suggestions_exist(name):
    part = encodings.get(name)
    assert all(isinstance(key, str) for key in part.suggests)


# ---------------------------------------------------------------------------- direct


def test_direct_is_the_parameters():
    policy = MLP(hidden=(8,)).build(CONTINUOUS)
    policy = policy._replace(init=jax.jit(policy.init))
    key = jax.random.key(3)
    encoding = Direct().build(policy, CONTINUOUS)
    genome = encoding.init(key)
    assert_trees_close(genome, policy.init(key))
    assert "log_std" in genome
    assert encoding.decode(genome, encoding.start(key)) is genome
    zeros = Direct(init="zeros").build(policy, CONTINUOUS).init(key)
    assert_trees_close(zeros, jax.tree.map(jnp.zeros_like, genome))
