"""The data set encoding: against plain numpy, its pieces, and the published sets."""

import collections
import dataclasses
import functools
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_genomes import CONTINUOUS, DISCRETE, SPECS, assert_trees_close

from genomes.dataset import Dataset
from genomes.labels import balanced_labels
from neuroevo.config import ranges
from neuroevo.errors import UserError
from neuroevo.policies.networks import MLP
from neuroevo.spaces import Box, Discrete, Spec

PUBLISHED = Path(__file__).parents[2] / "shared" / "published"


@functools.cache
def make(spec, **options):
    """Return a small policy and an encoding for it, jitted."""
    policy = MLP(hidden=(8,), kernel_init="lecun").build(spec)  # fast to compile
    encoding = Dataset(**options).build(policy, spec)
    encoding = encoding._replace(
        init=jax.jit(encoding.init),
        start=jax.jit(encoding.start),
        decode=jax.jit(encoding.decode),
    )
    return policy, encoding


def started(encoding, seed=0):
    return encoding.start(jax.random.key(seed))


# ------------------------------------------------- the data set: against plain numpy


class Reference:
    """A tanh network with one hidden layer, its gradients and optimizers, by hand."""

    def __init__(self, params):
        self.w1, self.b1, self.w2, self.b2, self.log_std = (
            np.asarray(leaf, np.float64)
            for leaf in (
                params["hidden_0"]["kernel"],
                params["hidden_0"]["bias"],
                params["output"]["kernel"],
                params["output"]["bias"],
                params.get("log_std", np.zeros(0)),
            )
        )

    @property
    def leaves(self):
        return [self.w1, self.b1, self.w2, self.b2, self.log_std]

    def loss_and_gradients(self, x, target, loss):
        rows = len(x)
        h = np.tanh(x @ self.w1 + self.b1)
        out = h @ self.w2 + self.b2
        d_log_std = np.zeros_like(self.log_std)
        if loss.startswith("cross_entropy"):
            scale = rows * (out.shape[1] if loss.endswith("per_class") else 1)
            log_z = np.log(np.exp(out).sum(axis=1, keepdims=True))
            value = -(target * (out - log_z)).sum() / scale
            d_out = (np.exp(out - log_z) - target) / scale
        elif loss == "nll":
            std = np.exp(self.log_std)
            z = (target - out) / std
            value = (0.5 * z**2 + self.log_std + 0.5 * np.log(2 * np.pi)).sum() / rows
            d_out = -z / std / rows
            d_log_std = (1 - z**2).sum(axis=0) / rows
        else:
            value = ((target - out) ** 2).sum() / rows
            d_out = 2 * (out - target) / rows
        d_h = d_out @ self.w2.T * (1 - h**2)
        gradients = [
            x.T @ d_h,
            d_h.sum(axis=0),
            h.T @ d_out,
            d_out.sum(axis=0),
            d_log_std,
        ]
        return value, gradients

    def train(self, x, target, o, loss):
        first = [np.zeros_like(leaf) for leaf in self.leaves]
        second = [np.zeros_like(leaf) for leaf in self.leaves]
        for t in range(o.steps):
            _, g = self.loss_and_gradients(x, target, loss)
            if o.max_grad_norm is not None:
                norm = math.sqrt(sum((leaf**2).sum() for leaf in g))
                g = [leaf * min(1, o.max_grad_norm / norm) for leaf in g]
            rate = {
                "constant": o.learning_rate,
                "linear": o.learning_rate * (1 - t / o.steps),
                "cosine": o.learning_rate * 0.5 * (1 + math.cos(math.pi * t / o.steps)),
            }[o.schedule]
            for i, leaf in enumerate(self.leaves):
                if o.optimizer == "adam":
                    first[i] = 0.9 * first[i] + 0.1 * g[i]
                    second[i] = 0.999 * second[i] + 0.001 * g[i] ** 2
                    m = first[i] / (1 - 0.9 ** (t + 1))
                    v = second[i] / (1 - 0.999 ** (t + 1))
                    leaf -= rate * m / (np.sqrt(v) + o.adam_eps)
                elif o.optimizer == "momentum":
                    first[i] = o.momentum * first[i] + g[i]
                    leaf -= rate * first[i]
                else:
                    leaf -= rate * g[i]


@pytest.mark.parametrize(
    "spec, loss, options",
    [
        ("discrete", "cross_entropy", {"max_grad_norm": 0.1}),
        ("discrete", "cross_entropy", {"labels": "learned", "schedule": "linear"}),
        (
            "discrete",
            "cross_entropy_per_class",
            {"optimizer": "sgd", "learning_rate": 0.5},
        ),
        ("box", "nll", {"max_grad_norm": 0.5, "schedule": "cosine"}),
        (
            "box",
            "mse",
            {"optimizer": "momentum", "momentum": 0.8, "max_grad_norm": 0.2},
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x.values())),
)
def test_decode_matches_plain_numpy(spec, loss, options):
    options = Dataset(size=5, steps=12, init_scale=1.0, loss=loss, **options)
    spec = SPECS[spec]
    policy = MLP(hidden=(6,), kernel_init="lecun").build(spec)
    encoding = options.build(policy, spec)
    genome = jax.jit(encoding.init)(jax.random.key(0))
    start = jax.jit(encoding.start)(jax.random.key(0))
    if "actions" in genome:
        target = np.asarray(genome["actions"])
    elif "action_logits" in genome:
        target = np.exp(genome["action_logits"])
        target = target / target.sum(axis=1, keepdims=True)
    else:
        target = np.eye(spec.action.n)[encoding.constants["labels"]]
    reference = Reference(start[0])
    x = np.asarray(genome["states"], np.float64)
    before, _ = reference.loss_and_gradients(x, target, loss)
    reference.train(x, target, options, loss)
    after, _ = reference.loss_and_gradients(x, target, loss)
    got = Reference(jax.jit(encoding.decode)(genome, start))
    for ours, expected in zip(got.leaves, reference.leaves, strict=True):
        np.testing.assert_allclose(ours, expected, atol=2e-5)
    assert after < before


# ----------------------------------------------------------- the data set: its pieces


def test_balanced_labels_use_every_row():
    for n in range(2, 7):
        for size in range(n, 21):
            labels = balanced_labels(size, n)
            counts = collections.Counter(labels.tolist())
            assert labels.shape == (size,) and labels.dtype == np.int32
            assert sorted(counts) == list(range(n))
            assert max(counts.values()) - min(counts.values()) <= 1
    expected = [0] * 6 + [1] * 5 + [2] * 5
    assert balanced_labels(16, 3).tolist() == expected


def test_genomes_hold_what_the_action_space_needs():
    def shapes(spec, **options):
        _, encoding = make(spec, size=4, **options)
        shapes = jax.eval_shape(encoding.init, jax.random.key(0))
        return {k: v.shape for k, v in shapes.items()}, dict(encoding.constants)

    assert shapes(CONTINUOUS) == ({"states": (4, 4), "actions": (4, 2)}, {})
    genome, constants = shapes(DISCRETE)
    assert genome == {"states": (4, 4)} and constants["labels"].tolist() == [0, 0, 1, 2]
    genome = {"states": (4, 4), "action_logits": (4, 3)}
    assert shapes(DISCRETE, labels="learned") == (genome, {})


def test_init_scale_sets_the_spread_of_the_center():
    _, encoding = make(CONTINUOUS, size=64, init_scale=0.5)
    genome = encoding.init(jax.random.key(0))
    np.testing.assert_allclose(np.std(genome["states"]), 0.5, rtol=0.2)
    assert not np.array_equal(genome["states"][:, :2], genome["actions"])
    _, encoding = make(CONTINUOUS, size=64, init_scale=0.0)
    assert not any(map(np.any, jax.tree.leaves(encoding.init(jax.random.key(0)))))


def test_the_labels_of_a_file_take_the_place_of_balanced_ones():
    policy, encoding = make(DISCRETE, size=3, steps=20, init_scale=1.0)
    genome, start = encoding.init(jax.random.key(0)), started(encoding)
    options = Dataset(size=3, steps=20, init_scale=1.0)

    def decoded(labels):
        other = options.build(policy, DISCRETE, labels=np.array(labels))
        assert other.constants["labels"].tolist() == labels
        return other.decode(genome, start)

    assert_trees_close(encoding.decode(genome, start), decoded([0, 1, 2]))
    bias = encoding.decode(genome, start)["output"]["bias"]
    assert not np.allclose(bias, decoded([2, 1, 0])["output"]["bias"])


def test_flat_states_of_an_image_are_the_image():
    _, encoding = make(SPECS["image"], size=3, steps=3, init_scale=1.0)
    genome, start = encoding.init(jax.random.key(0)), started(encoding)
    flat = {"states": genome["states"].reshape(3, -1)}
    assert_trees_close(encoding.decode(flat, start), encoding.decode(genome, start))


def test_random_initialization_follows_the_key_and_a_fixed_one_its_seed():
    def initial(seed, **options):
        _, encoding = make(CONTINUOUS, **options)
        return np.asarray(started(encoding, seed)[0]["output"]["kernel"])

    assert not np.array_equal(initial(0), initial(1))
    fixed = initial(0, init="fixed")
    np.testing.assert_array_equal(fixed, initial(1, init="fixed"))
    assert not np.array_equal(fixed, initial(0, init="fixed", init_seed=1))


def test_no_steps_leave_the_initial_policy():
    _, encoding = make(CONTINUOUS, steps=0, schedule="cosine")
    start = started(encoding)
    genome = encoding.init(jax.random.key(0))
    assert_trees_close(encoding.decode(genome, start), start[0])


def test_noise_follows_the_key_only_and_changes_at_every_step():
    def decoded(seed, **options):
        options = dict(size=1, steps=1, optimizer="sgd", init="fixed") | options
        _, encoding = make(CONTINUOUS, **options)
        genome = jax.tree.map(jnp.ones_like, encoding.init(jax.random.key(0)))
        params = encoding.decode(genome, started(encoding, seed))
        return np.asarray(params["hidden_0"]["kernel"])

    np.testing.assert_array_equal(decoded(0), decoded(1))
    noisy = decoded(0, noise=0.3, steps=3)
    np.testing.assert_array_equal(noisy, decoded(0, noise=0.3, steps=3))
    assert not np.array_equal(noisy, decoded(1, noise=0.3, steps=3))
    # Equal rows change the kernel by a matrix of rank 1; fresh noise raises the rank.
    first = decoded(0, steps=0)
    rank = functools.partial(np.linalg.matrix_rank, tol=1e-5)
    assert rank(decoded(0) - first) == 1
    assert rank(noisy - first) > 1


def test_training_fits_the_pairs():
    policy, encoding = make(CONTINUOUS, size=4, steps=400)
    genome = {
        "states": jax.random.normal(jax.random.key(0), (4, 4)),
        "actions": jax.random.uniform(jax.random.key(1), (4, 2), minval=-1),
    }
    start = started(encoding)
    params = encoding.decode(genome, start)
    mean, log_std = jax.vmap(policy.apply, (None, 0))(params, genome["states"])
    np.testing.assert_allclose(mean, genome["actions"], atol=0.1)
    assert np.all(log_std < 0)


def test_a_learned_factor_on_the_learning_rate_is_one_at_first():
    spec, options = DISCRETE, {"size": 3, "steps": 2, "optimizer": "sgd"}
    _, plain = make(spec, **options)
    policy, both = make(spec, learn=("learning_rate", "layer_rates"), **options)
    genome, start = both.init(jax.random.key(0)), started(both)
    assert sorted(genome) == ["log_rate", "log_rates", "states"]
    assert sorted(genome["log_rates"]) == ["hidden_0", "output"]
    without = {"states": genome["states"] + 1.0}
    genome |= without
    assert_trees_close(both.decode(genome, start), plain.decode(without, start))
    _, faster = make(spec, learning_rate=3e-2, **options)
    genome["log_rate"] = jnp.log(3.0)
    assert_trees_close(both.decode(genome, start), faster.decode(without, start))
    genome["log_rate"], genome["log_rates"]["hidden_0"] = jnp.zeros(()), -jnp.inf
    kept = both.decode(genome, start)
    assert_trees_close(kept["hidden_0"], start[0]["hidden_0"], atol=0)
    assert not np.allclose(kept["output"]["bias"], start[0]["output"]["bias"])
    nameless = policy._replace(init=lambda key: [jnp.zeros(3)])
    with pytest.raises(UserError, match="layer_rates: expected a policy whose"):
        Dataset(size=3, learn=("layer_rates",)).build(nameless, spec)


def test_fit_to_takes_what_the_file_determines():
    states = np.zeros((5, 4))
    options = Dataset(size=2, steps=7)
    fitted = options.fit_to({"states": states, "labels": np.zeros(5, int)})
    assert (fitted.size, fitted.labels, fitted.steps) == (5, "fixed", 7)
    fitted = options.fit_to({"states": states, "action_logits": np.zeros((5, 3))})
    assert (fitted.size, fitted.labels) == (5, "learned")
    fitted = fitted.fit_to({"states": states, "labels": np.zeros(5, int)})
    assert fitted.labels == "fixed"
    fitted = options.fit_to({"states": states, "actions": states})
    assert (fitted.labels, fitted.learn) == ("fixed", ())
    rates = {"log_rates/output": np.zeros(())}
    fitted = options.fit_to({"states": states, "actions": states, **rates})
    assert fitted.learn == ("layer_rates",)
    with pytest.raises(UserError, match="'states', found hidden/kernel"):
        options.fit_to({"hidden/kernel": states})


TWO, BOX = Spec((4,), Discrete(2)), Spec((4,), Box((3,)))


@pytest.mark.parametrize(
    ("arrays", "spec", "expected"),
    [
        ({"states": (5, 3), "labels": (5,)}, TWO, "states have shape (3,) each"),
        ({"states": (5, 4), "actions": (5, 3)}, TWO, "has 2 discrete ones"),
        ({"states": (5, 4), "action_logits": (5, 3)}, TWO, "has 2 actions"),
        ({"states": (5, 4), "labels": (5,)}, BOX, "holds labels of discrete"),
        ({"states": (5, 4), "actions": (5, 2)}, BOX, "have shape (2,) each"),
    ],
)
def test_fit_to_tells_what_differs(arrays, spec, expected):
    arrays = {name: np.zeros(shape) for name, shape in arrays.items()}
    with pytest.raises(UserError) as error:
        Dataset().fit_to(arrays, spec)
    assert str(error.value).startswith("does not fit the environment: its") or (
        "it holds" in str(error.value)
    )
    assert expected in str(error.value)
    other = BOX if spec is TWO else TWO
    if "states" in expected:  # all that differs, in one line
        with pytest.raises(UserError, match=r"states have .*; it holds labels"):
            Dataset().fit_to(arrays, other)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": 0}, "size: expected an integer from 1 to 2^24, got 0"),
        ({"steps": -1}, "steps: expected an integer of at least 0, got -1"),
        ({"noise": -0.5}, "noise: expected a number from 0 to 2^24, got -0.5"),
        ({"init_scale": -1.0}, "init_scale: expected a number from 0"),
        ({"learning_rate": 0.0}, "learning_rate: expected a finite number greater"),
        ({"learning_rate": math.nan}, "got nan"),
        ({"adam_eps": 0.0}, "adam_eps: expected a finite number greater than 0"),
        ({"max_grad_norm": 0.0}, "max_grad_norm: expected a finite number greater"),
        ({"momentum": 1.0}, "momentum: expected"),
        ({"init_seed": -1}, "init_seed: expected an integer from 0 to 2^32 - 1"),
    ],
    ids=str,
)
def test_ranges(options, expected):
    with pytest.raises(UserError, match="encoding") as error:
        ranges.check(Dataset(**options), "encoding")
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "cross_entrpy"}, ["did you mean 'cross_entropy'"]),
        ({"loss": "nll"}, ["'nll'", "auto", "cross_entropy"]),
        ({"size": 2}, ["--encoding.size 3", "--encoding.labels learned"]),
    ],
    ids=str,
)
def test_options_that_do_not_fit_the_policy_or_the_actions(options, words):
    policy = MLP().build(DISCRETE)
    with pytest.raises(UserError) as error:
        Dataset(**{"size": 3} | options).build(policy, DISCRETE)
    assert all(word in str(error.value) for word in words)


def test_few_pairs_are_fine_with_learned_labels_or_continuous_actions():
    make(DISCRETE, size=1, labels="learned")
    make(CONTINUOUS, size=1, labels="learned")


# ------------------------------------------------------------- the paper's data sets


@pytest.mark.parametrize(
    "name", ["hopper-d4-s0", pytest.param("breakout-d16-s0", marks=pytest.mark.slow)]
)
def test_published_genomes_train_a_policy_that_fits_them(name):
    if not (PUBLISHED / f"{name}.npz").exists():
        pytest.skip(f"{PUBLISHED} is not here")
    with np.load(PUBLISHED / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    settings = json.loads((PUBLISHED / f"{name}.json").read_text())
    if "labels" in arrays:
        spec, loss = Spec((10, 10, 4), Discrete(3)), "cross_entropy_per_class"
    else:
        spec, loss = Spec(arrays["states"].shape[1:], Box((3,))), "nll"
    options = Dataset(
        steps=settings["sgd_steps"],
        learning_rate=settings["learning_rate"],
        adam_eps=settings["adam_eps"],
        max_grad_norm=settings["max_grad_norm"],
        loss=loss,
    ).fit_to(arrays)
    hidden = tuple(settings["hidden"])
    policy = MLP(hidden=hidden, activation=settings["activation"]).build(spec)
    encoding = options.build(policy, spec)
    genome = {k: v for k, v in arrays.items() if not k.startswith("obs_")}
    start = jax.jit(encoding.start)(jax.random.key(0))
    trained = jax.jit(encoding.decode)(genome, start)

    states = arrays["states"].reshape(-1, *spec.observation)
    outputs, first = (
        jax.vmap(policy.apply, (None, 0))(params, states)
        for params in (trained, start[0])
    )
    target = arrays.get("labels", arrays.get("actions"))
    assert policy.losses[loss](outputs, target) < policy.losses[loss](first, target) / 2
    if "labels" in arrays:
        np.testing.assert_array_equal(np.argmax(outputs, axis=-1), target)
    else:
        error = np.abs(outputs[0] - target).mean()
        assert error < 0.1 * np.abs(target).mean()


def test_members_of_an_ensemble_train_as_they_would_alone():
    spec, options = CONTINUOUS, Dataset(size=3, steps=4, init_scale=1.0)
    network = MLP(hidden=(8,), kernel_init="lecun")
    single = network.build(spec)
    policy = dataclasses.replace(network, ensemble=3).build(spec)
    encoding, alone = (options.build(each, spec) for each in (policy, single))
    genome = jax.jit(encoding.init)(jax.random.key(0))
    start = jax.jit(encoding.start)(jax.random.key(1))
    params = start.params
    trained = jax.jit(encoding.decode)(genome, start)
    assert jax.tree.map(jnp.shape, trained) == jax.tree.map(jnp.shape, params)
    decode = jax.jit(alone.decode)
    for i in range(3):
        own, found = (jax.tree.map(lambda x, i=i: x[i], t) for t in (params, trained))
        assert_trees_close(found, decode(genome, start._replace(params=own)))
    first, second = (params["hidden_0"]["kernel"][i] for i in (0, 1))
    assert not np.allclose(first, second)
    # Without hidden layers, the mean of the outputs is that of the mean parameters.
    linear = MLP(hidden=(), ensemble=2).build(spec)
    params = linear.init(jax.random.key(2))
    middle = jax.tree.map(lambda x: x.mean(axis=0), params)
    observation = jnp.arange(4.0)
    expected = MLP(hidden=()).build(spec).apply(middle, observation)
    assert_trees_close(linear.apply(params, observation), expected)
