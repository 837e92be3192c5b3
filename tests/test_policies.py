import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from neuroevo.config import ranges
from neuroevo.errors import UserError
from neuroevo.policies import imitation
from neuroevo.policies.initializers import orthogonal
from neuroevo.policies.networks import CNN, MLP
from neuroevo.policies.products import convolution
from neuroevo.registry import policies
from neuroevo.run.checks import check_policy
from neuroevo.spaces import Box, Discrete, Spec

OBSERVATIONS = {"vector": (5,), "image": (10, 10, 4)}
ACTIONS = {"discrete": Discrete(3), "box": Box((2,)), "box2d": Box((2, 3))}
SMALL = {"mlp": {"hidden": (8, 7)}, "cnn": {"channels": (4,), "hidden": (8,)}}
MEMORY = {  # cheap to compile
    "gru": {"units": 5, "kernel_init": "lecun"},
    "lstm": {"units": 4, "hidden": (3,), "kernel_init": "lecun"},
    "frames": {"frames": 3, "hidden": (6,), "kernel_init": "lecun"},
    "plastic": {"hidden": (6,), "kernel_init": "lecun"},
}
SMALL |= MEMORY


def _cases():
    for name, obs, action in itertools.product(policies.names(), OBSERVATIONS, ACTIONS):
        if name == "cnn" and obs == "vector" or action == "box2d" and obs == "image":
            continue
        if name in MEMORY and (obs, action) not in (
            ("vector", "discrete"),
            ("image", "box"),
        ):
            continue  # what is behind the memory is that of the others
        yield pytest.param(name, obs, action, id=f"{name}-{obs}-{action}")


CASES = list(_cases())


def make(name, obs, space, **options):
    spec = Spec(OBSERVATIONS[obs], ACTIONS[space])
    options = {**SMALL.get(name, {}), **options}
    if name in MEMORY and obs == "image":
        options = {"channels": (2,), **options}
    return policies.get(name)(**options).build(spec), spec


@functools.cache
def initialized(name, obs, space):
    policy, spec = make(name, obs, space)
    return policy, spec, jax.jit(policy.init)(jax.random.key(0))


def outputs_of(policy, params, *observations):
    """Return the outputs of a policy for the first observations of an episode."""
    if policy.init_memory is None:
        return [policy.apply(params, x) for x in observations]
    memory, outputs = policy.init_memory(params), []
    for x in observations:
        output, memory = policy.apply(params, x, memory)
        outputs.append(output)
    return outputs


@pytest.mark.parametrize("name, obs, action", CASES)
def test_shapes_and_dtypes(name, obs, action):
    policy, spec, params = initialized(name, obs, action)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    check_policy(policy, spec)
    (output,) = outputs_of(policy, params, jnp.ones(spec.observation))
    if isinstance(spec.action, Discrete):
        assert output.shape == (spec.action.n,)
    else:
        mean, log_std = output
        assert mean.shape == log_std.shape == spec.action.shape
        assert "log_std" in params


def test_init_depends_on_its_key_only():
    policy, _ = make("mlp", "vector", "discrete")
    init = jax.jit(policy.init)
    first, again, other = (init(jax.random.key(seed)) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first["output"]["kernel"], other["output"]["kernel"])


@pytest.mark.parametrize("choice", ["sample", "greedy"])
@pytest.mark.parametrize("name, obs, action", CASES)
def test_actions_are_valid(name, obs, action, choice):
    policy, spec = make(name, obs, action, action=choice)
    _, _, params = initialized(name, obs, action)
    (output,) = outputs_of(policy, params, jnp.ones(spec.observation))
    keys = jax.random.split(jax.random.key(1), 64)
    actions = np.asarray(jax.vmap(policy.act, (None, 0))(output, keys))
    if isinstance(spec.action, Discrete):
        assert actions.shape == (64,) and np.issubdtype(actions.dtype, np.integer)
        assert actions.min() >= 0 and actions.max() < spec.action.n
        mode = np.argmax(output)
    else:
        assert actions.shape == (64, *spec.action.shape)
        mode = output[0]
    if choice == "greedy":
        np.testing.assert_array_equal(actions, np.broadcast_to(mode, actions.shape))
    else:
        assert len(np.unique(actions, axis=0)) > 1


def test_sampling_follows_the_distribution():
    keys = jax.random.split(jax.random.key(0), 20_000)
    policy, _ = make("mlp", "vector", "discrete")
    logits = jnp.array([0.0, 1.0, -1.0])
    counts = np.bincount(jax.vmap(policy.act, (None, 0))(logits, keys), minlength=3)
    expected = jax.nn.softmax(logits) * len(keys)
    assert stats.chisquare(counts, expected, sum_check=False).pvalue > 1e-3
    policy, _ = make("mlp", "vector", "box")
    output = jnp.array([0.5, -2.0]), jnp.array([0.0, -1.0])
    actions = np.asarray(jax.vmap(policy.act, (None, 0))(output, keys))
    for i in range(2):
        normal = stats.norm(output[0][i], math.exp(output[1][i]))
        assert stats.kstest(actions[:, i], normal.cdf).pvalue > 1e-3


def test_log_std_init_sets_the_first_spread():
    policy, _ = make("mlp", "vector", "box", log_std_init=-1.5)
    _, log_std = policy.apply(policy.init(jax.random.key(0)), jnp.ones(5))
    np.testing.assert_array_equal(log_std, np.full(2, -1.5, np.float32))


def test_mlp_is_the_network_it_says():
    policy, spec = make("mlp", "image", "discrete", activation="relu")
    params = policy.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=spec.observation).astype(np.float32)
    h = x.ravel()
    for name in ("hidden_0", "hidden_1"):
        h = np.maximum(h @ params[name]["kernel"] + params[name]["bias"], 0)
    logits = h @ params["output"]["kernel"] + params["output"]["bias"]
    np.testing.assert_allclose(policy.apply(params, x), logits, atol=1e-5)


def test_a_convolution_is_the_one_it_says():
    """With padding, an image keeps its size, and lies among zeros."""
    spec = Spec((3, 3, 1), Discrete(2))
    options = {"channels": (2,), "hidden": (), "activation": "relu"}
    plain = CNN(**options, padding="valid").build(spec)
    padded = CNN(**options, padding="same").build(spec)
    x = np.random.default_rng(0).normal(size=(3, 3, 1)).astype(np.float32)
    params = padded.init(jax.random.key(0))
    kernel, output = params["conv_0"]["kernel"], params["output"]["kernel"]
    assert plain.init(jax.random.key(0))["output"]["kernel"].shape == (2, 2)
    assert output.shape == (18, 2)
    wide = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    windows = [wide[i : i + 3, j : j + 3] for i in range(3) for j in range(3)]
    hidden = [np.maximum(np.einsum("ijk,ijkf", w, kernel), 0) for w in windows]
    expected = np.ravel(hidden) @ output
    np.testing.assert_allclose(padded.apply(params, x), expected, atol=1e-6)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_convolution_equals_the_one_of_jax(padding):
    """Its outputs and gradients, for two policies and images that are not square."""
    x_key, kernel_key = jax.random.split(jax.random.key(0))
    x = jax.random.normal(x_key, (2, 6, 7, 5, 3))
    kernel = jax.random.normal(kernel_key, (2, 3, 3, 3, 4))
    numbers = ("NHWC", "HWIO", "NHWC")

    def results(convolve):
        def outputs(x, kernel):
            return convolve(x, kernel, (1, 1), padding, dimension_numbers=numbers)

        def loss(x, kernel):
            return jnp.sum(jnp.sin(jax.vmap(outputs)(x, kernel)))

        return jax.vmap(outputs)(x, kernel), jax.grad(loss, (0, 1))(x, kernel)

    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(close, results(convolution), results(jax.lax.conv_general_dilated))


def test_mlp_has_the_derivatives_of_plain_matrix_products():
    """Its own differentiation rule, in both modes and batched."""
    policy, spec = make("mlp", "vector", "discrete")
    params = policy.init(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (3, *spec.observation))

    def plain(params, x):
        for name in ("hidden_0", "hidden_1"):
            x = jnp.tanh(x @ params[name]["kernel"] + params[name]["bias"])
        return x @ params["output"]["kernel"] + params["output"]["bias"]

    def derivatives(apply):
        def loss(*args):
            return jnp.sum(jnp.sin(jax.vmap(apply, (None, 0))(*args)))

        tangents = jax.tree.map(jnp.cos, (params, xs))
        return jax.grad(loss, (0, 1))(params, xs), jax.jvp(loss, (params, xs), tangents)

    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, derivatives(policy.apply), derivatives(plain))


def test_no_hidden_layer_is_a_linear_policy():
    policy, _ = make("mlp", "vector", "discrete", hidden=())
    assert set(policy.init(jax.random.key(0))) == {"output"}


# ---------------------------------------------------------------------------- losses


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("name, obs, action", CASES)
def test_losses_are_finite_and_differentiable(name, obs, action):
    policy, spec, params = initialized(name, obs, action)
    lead = (4,) if policy.init_memory is None else (2, 2)
    observations = jax.random.normal(jax.random.key(1), (*lead, *spec.observation))
    if isinstance(spec.action, Discrete):
        target = jnp.arange(4) % spec.action.n
    else:
        target = jax.random.normal(jax.random.key(2), (4, *spec.action.shape))
    for loss in policy.losses.values():
        value, grads = jax.jit(
            jax.value_and_grad(
                lambda p, loss=loss: loss(
                    imitation.respond(policy, p, observations), target
                )
            )
        )(params)
        assert value.shape == () and np.isfinite(value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_discrete_losses_match_numpy():
    policy, _ = make("mlp", "vector", "discrete")
    assert list(policy.losses) == ["cross_entropy", "cross_entropy_per_class"]
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 3)).astype(np.float32)
    labels = np.array([0, 0, 1, 1, 2, 2])
    rows = np.exp(log_softmax(rng.normal(size=(6, 3)))).astype(np.float32)
    for target, probabilities in ((labels, np.eye(3)[labels]), (rows, rows)):
        terms = -probabilities * log_softmax(logits)
        for name, expected in (
            ("cross_entropy", terms.sum(axis=1).mean()),
            ("cross_entropy_per_class", terms.mean()),
        ):
            got = policy.losses[name](jnp.asarray(logits), jnp.asarray(target))
            np.testing.assert_allclose(got, expected, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("action", ["box", "box2d"])
def test_box_losses_match_scipy(action):
    policy, spec = make("mlp", "vector", action)
    assert list(policy.losses) == ["nll", "mse", "clipped_mse"]
    rng = np.random.default_rng(0)
    mean, log_std, target = rng.normal(size=(3, 6, *spec.action.shape))
    output = jnp.asarray(mean, jnp.float32), jnp.asarray(log_std, jnp.float32)
    logpdf = stats.norm(mean, np.exp(log_std)).logpdf(target).reshape(6, -1)
    got = policy.losses["nll"](output, jnp.asarray(target, jnp.float32))
    np.testing.assert_allclose(got, -logpdf.sum(axis=1).mean(), rtol=1e-5)
    got = policy.losses["mse"](output, jnp.asarray(target, jnp.float32))
    error = ((mean - target) ** 2).reshape(6, -1).sum(axis=1).mean()
    np.testing.assert_allclose(got, error, rtol=1e-5)


# -------------------------------------------------------------------- initialization

orthogonal_jit = jax.jit(orthogonal, static_argnums=1)


def deviation(matrix):
    """Return the largest entry of Q^T Q - I, on the side that is orthogonal."""
    q = np.asarray(matrix, np.float64)
    q = q if q.shape[0] >= q.shape[1] else q.T
    return np.abs(q.T @ q - np.eye(q.shape[1])).max()


@pytest.mark.parametrize(
    "shape, draws",
    [((1, 1), 5), ((2, 2), 200), ((64, 64), 20), ((512, 512), 3), ((512, 3), 5)]
    + [((3, 512), 5), ((400, 64), 3)],
    ids=str,
)
def test_orthogonal_is_orthogonal(shape, draws):
    for seed in range(draws):
        q = orthogonal_jit(jax.random.key(seed), shape)
        assert q.shape == shape and q.dtype == jnp.float32
        assert deviation(q) < 1e-5


def test_orthogonal_flattens_convolution_kernels_and_scales():
    kernel = jax.jit(lambda key: orthogonal(key, (3, 3, 4, 16), gain=math.sqrt(2)))(
        jax.random.key(0)
    )
    assert kernel.shape == (3, 3, 4, 16)
    assert deviation(kernel.reshape(36, 16) / math.sqrt(2)) < 1e-5


def test_orthogonal_is_vmappable_and_uses_no_lapack():
    keys = jax.random.split(jax.random.key(0), 4)
    batched = jax.jit(jax.vmap(lambda key: orthogonal(key, (16, 8))))(keys)
    single = [orthogonal_jit(key, (16, 8)) for key in keys]
    np.testing.assert_allclose(batched, np.stack(single), atol=1e-6)
    text = jax.jit(lambda key: orthogonal(key, (16, 16))).lower(keys[0]).as_text()
    assert "lapack" not in text


@pytest.mark.parametrize("shape", [(2, 2), (5, 5), (6, 3), (3, 6)], ids=str)
def test_orthogonal_is_haar_distributed(shape):
    """Entries, traces and a product of entries follow QR with its signs fixed."""
    draws = 4000
    keys = jax.random.split(jax.random.key(1), draws)
    ours = np.asarray(jax.jit(jax.vmap(lambda key: orthogonal(key, shape)))(keys))
    gaussian = np.random.default_rng(0).normal(size=(draws, max(shape), min(shape)))
    q, r = np.linalg.qr(gaussian)
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    reference = q if shape[0] >= shape[1] else q.transpose(0, 2, 1)
    statistics = [
        lambda q: q[:, 0, 0],
        lambda q: q[:, -1, -1],
        lambda q: q[:, 0, -1],
        lambda q: q[:, 0, 0] * q[:, 1, 1],
        lambda q: np.trace(q, axis1=1, axis2=2),
        lambda q: (
            (q[:, :2, :2] ** 2).sum(axis=(1, 2)) if min(shape) > 2 else q[:, 1, 0]
        ),
    ]
    for i, statistic in enumerate(statistics):
        # Rounded, as a 2x2 reflection has trace 0 up to its sign.
        samples = (np.round(statistic(x), 5) for x in (ours, reference))
        pvalue = stats.ks_2samp(*samples).pvalue
        assert pvalue > 1e-3, f"statistic {i}: p = {pvalue}"
    # Entries have mean 0 and variance 1 / max(shape): 5 standard errors.
    error = 5 / math.sqrt(draws * max(shape))
    np.testing.assert_allclose(ours.mean(axis=0), 0, atol=error)
    second = (ours**2).mean(axis=0)
    np.testing.assert_allclose(second, 1 / max(shape), atol=5 / math.sqrt(draws))


def test_orthogonal_squares_are_rotations_and_reflections_alike():
    keys = jax.random.split(jax.random.key(2), 1000)
    q = jax.jit(jax.vmap(lambda key: orthogonal(key, (3, 3))))(keys)
    assert abs(np.sign(np.linalg.det(q)).mean()) < 0.16


def test_initial_gains():
    policy, _ = make("mlp", "vector", "box", hidden=(16,))
    params = jax.jit(policy.init)(jax.random.key(0))
    assert deviation(params["hidden_0"]["kernel"] / math.sqrt(2)) < 1e-5
    assert deviation(params["output"]["kernel"] / 0.01) < 1e-5
    assert not np.any(params["hidden_0"]["bias"])
    assert not np.any(params["output"]["bias"])
    policy, _ = make("mlp", "image", "discrete", hidden=(64,), kernel_init="lecun")
    kernel = policy.init(jax.random.key(0))["hidden_0"]["kernel"]
    np.testing.assert_allclose(np.std(kernel), 1 / math.sqrt(400), rtol=0.05)


# ---------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "part, spec, words",
    [
        (CNN(), Spec((4,), Discrete(2)), ["(4,)", "--policy mlp"]),
        (
            CNN(channels=(4, 4, 4)),
            Spec((6, 6, 1), Discrete(2)),
            ["room for 2", "got 3", "--policy.padding same"],
        ),
    ],
)
def test_errors_say_what_was_wrong(part, spec, words):
    with pytest.raises(UserError) as error:
        part.build(spec)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (MLP(hidden=(64, 0)), "policy.hidden: expected values that are each"),
        (CNN(channels=(0,)), "policy.channels: expected values that are each"),
        (CNN(channels=()), "policy.channels: expected at least 1 value, got ()"),
        (MLP(log_std_init=math.inf), "policy.log_std_init: expected a finite number"),
    ],
    ids=str,
)
def test_ranges(part, expected):
    with pytest.raises(UserError) as error:
        ranges.check(part, "policy")
    assert str(error.value).startswith(expected)


def test_widths_may_come_from_numpy():
    spec = Spec((4,), Discrete(2))
    policy = MLP(hidden=np.array([3, 2])).build(spec)
    params = jax.eval_shape(policy.init, jax.random.key(0))
    assert params["hidden_1"]["kernel"].shape == (3, 2)
