"""Policies with memory: their cells, stacks and plastic weights, and their training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_policies import MEMORY, initialized, make, outputs_of

from neuroevo.errors import UserError
from neuroevo.policies import imitation
from neuroevo.policies.memory import GRU, Frames
from neuroevo.policies.restrict import restrict
from neuroevo.registry import policies
from neuroevo.spaces import Discrete, Spec

XS = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


def of(name):
    return initialized(name, "vector", "discrete")


def test_these_are_the_policies_with_memory():
    assert {name for name in MEMORY if of(name)[0].init_memory} == MEMORY.keys()
    assert MEMORY.keys() == set(policies.names()) - {"mlp", "cnn"}


@pytest.mark.parametrize("name", MEMORY)
def test_what_was_seen_before_matters(name):
    policy, _, params = of(name)
    if name == "plastic":  # its rules are zero at first
        params = jax.tree.map(lambda x: x + 0.3, params)
    *_, once = outputs_of(policy, params, XS[0])
    *_, later = outputs_of(policy, params, XS[1], XS[0])
    *_, again = outputs_of(policy, params, XS[0])
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - later).max() > 1e-6


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(part, x):
    return x @ part["kernel"] + part.get("bias", 0)


def test_gru_is_the_cell_it_says():
    policy, _, params = of("gru")
    cell, h = params["cell"], np.zeros(5)
    for x in XS:
        r = sigmoid(dense(cell["ir"], x) + dense(cell["hr"], h))
        z = sigmoid(dense(cell["iz"], x) + dense(cell["hz"], h))
        n = np.tanh(dense(cell["in"], x) + r * dense(cell["hn"], h))
        h = (1 - z) * n + z * h
    *_, output = outputs_of(policy, params, *XS)
    np.testing.assert_allclose(output, dense(params["output"], h), atol=1e-6)


def test_lstm_is_the_cell_it_says():
    policy, _, params = of("lstm")
    cell, c, h = params["cell"], np.zeros(4), np.zeros(4)
    for x in XS:
        x = np.tanh(dense(params["hidden_0"], x))
        i, f, g, o = (dense(cell[f"i{k}"], x) + dense(cell[f"h{k}"], h) for k in "ifgo")
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    *_, output = outputs_of(policy, params, *XS)
    np.testing.assert_allclose(output, dense(params["output"], h), atol=1e-6)


def test_frames_are_the_last_observations():
    policy, _, params = of("frames")
    before = np.zeros((2, 5))
    for t, output in enumerate(outputs_of(policy, params, *XS)):
        seen = np.concatenate([before, XS[: t + 1]])[-3:].ravel()
        hidden = np.tanh(dense(params["hidden_0"], seen))
        np.testing.assert_allclose(output, dense(params["output"], hidden), atol=1e-6)


def test_frames_of_images_are_further_channels():
    policy, spec = make("frames", "image", "discrete", channels=(2,), frames=3)
    params = jax.eval_shape(policy.init, jax.random.key(0))
    assert params["conv_0"]["kernel"].shape == (3, 3, 12, 2)
    memory = jax.eval_shape(policy.init_memory, params)
    assert memory.shape == (2, *spec.observation)


def test_plastic_weights_follow_their_rules():
    policy, _, params = of("plastic")
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype("f"), params)
    weights = {name: part["kernel"] for name, part in params.items()}
    for x, output in zip(XS, outputs_of(policy, params, *XS), strict=True):
        for name, part in params.items():
            x = np.append(x, 1)
            y = x @ weights[name]
            if name == "output":
                np.testing.assert_allclose(output, y, rtol=1e-3, atol=1e-4)
            o_i, o_j = x[:, None], np.tanh(y)[None]
            change = part["a"] * o_i * o_j + part["b"] * o_i + part["c"] * o_j
            changed = weights[name] + part["rate"] * (change + part["d"])
            weights[name] = changed / max(1, np.abs(changed).max())
            x = np.tanh(y)


@pytest.mark.parametrize("name", MEMORY)
def test_an_ensemble_averages_networks_with_memories_of_their_own(name):
    members, _ = make(name, "vector", "discrete", ensemble=2)
    single, *_ = of(name)
    params = jax.jit(members.init)(jax.random.key(3))
    alone = [
        outputs_of(single, jax.tree.map(lambda x, i=i: x[i], params), *XS)
        for i in range(2)
    ]
    found = outputs_of(members, params, *XS)
    np.testing.assert_allclose(found, np.mean(alone, axis=0), atol=1e-6)


def test_a_policy_for_a_larger_spec_keeps_its_memory():
    policy, spec, params = of("gru")
    small = Spec((3,), Discrete(2))
    own = GRU(units=5).build(small)
    restricted = restrict(policy, spec, own, small)
    padded = np.pad(XS[:, :3], [(0, 0), (0, 2)])
    np.testing.assert_array_equal(
        outputs_of(restricted, params, *XS[:, :3]),
        np.array(outputs_of(policy, params, *padded))[:, :2],
    )


@pytest.mark.parametrize("name", MEMORY)
def test_responses_to_sequences_are_those_of_episodes(name):
    policy, _, params = of(name)
    found = imitation.respond(policy, params, np.stack([XS, XS[::-1]]))
    expected = [
        *outputs_of(policy, params, *XS),
        *outputs_of(policy, params, *XS[::-1]),
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", MEMORY)
def test_training_through_time_learns_to_remember(name):
    """The last answer depends on the first observation, and on nothing else."""
    policy, _ = make(
        name, "vector", "discrete", **{"frames": {"frames": 4}}.get(name, {})
    )
    cue = np.zeros((2, 3, 5), np.float32)
    cue[:, 0, 0] = 1, -1
    labels = np.array([[2, 2, 0], [2, 2, 1]])
    options = imitation.Training(steps=150, learning_rate=0.03)
    key = jax.random.key(0)
    train = functools.partial(imitation.train, policy, options=options, key=key)
    params = jax.jit(lambda p: train(p, jnp.asarray(cue), jnp.asarray(labels)))(
        policy.init(key)
    )
    logits = imitation.respond(policy, params, cue)
    np.testing.assert_array_equal(np.argmax(logits, axis=1), labels.ravel())


@pytest.mark.parametrize(
    ("options", "shape", "words"),
    [
        (GRU(channels=(4,)), (4,), ["policy gru with --policy.channels", "(4,)"]),
        (Frames(channels=(4, 4)), (4, 4, 1), ["room for 1", "got 2"]),
    ],
)
def test_images_are_for_convolutions(options, shape, words):
    with pytest.raises(UserError) as caught:
        options.build(Spec(shape, Discrete(2)))
    message = str(caught.value)
    assert "\n" not in message and "no --policy.channels" in message
    assert all(word in message for word in words), message
