"""Labeled data: splits, minibatches, scores, and what may be wrong with a file."""

import functools
import gzip
import struct
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stored import without_times

import neuroevo
from neuroevo.environments.supervised import files, labeled, suite
from neuroevo.environments.supervised.labeled import Labeled, Splits, make_objective
from neuroevo.errors import UserError
from neuroevo.progress import Role
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.views import confusion

SMALL = {
    "strategy": {"name": "SNES", "std": 0.3},
    "population": 8,
    "policies": 1,
    "generations": 2,
    "center_every": 1,
    "center_policies": 1,
    "final_policies": 2,
    "devices": 1,
}
TINY = SMALL | {
    "encoding": {"name": "dataset", "steps": 2},
    "policy": {
        "name": "cnn",
        "channels": [2],
        "padding": "same",
        "hidden": [],
        "kernel_init": "lecun",
    },
}
KEY = jax.random.key(7)


@functools.cache
def digits():
    return suite.Digits().build()


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    found, expected = files.read_digits(), load_digits()
    np.testing.assert_array_equal(found.inputs[..., 0] * 16, expected.images)
    np.testing.assert_array_equal(found.targets, expected.target)
    assert digits().spec == Spec((8, 8, 1), Discrete(10))


def test_splits_share_no_example():
    rows = [digits().rows(role) for role in Role]
    assert [len(each.targets) for each in rows] == [1294, 144, 359]
    every = np.concatenate([each.observations.reshape(-1, 64) for each in rows])
    expected = files.read_digits().inputs.reshape(-1, 64)
    assert sorted(map(bytes, every)) == sorted(map(bytes, expected))
    other = suite.Digits(split_seed=1).build().rows(Role.FINAL)
    assert not np.array_equal(other.observations, rows[2].observations)
    again = suite.Digits().build().rows(Role.FINAL)
    np.testing.assert_array_equal(again.observations, rows[2].observations)
    assert digits().train.targets.shape == (1294,) and (rows[0].weights == 1).all()


@pytest.mark.parametrize("size", [1, 10, 300, 1294, 2000])
def test_a_minibatch_is_of_the_training_split(size):
    inputs, labels = digits().batch(digits().data, jax.random.key(0), size)
    assert inputs.shape == (size, 8, 8, 1) and labels.shape == (size,)
    train = digits().train
    known = {
        bytes(x): y for x, y in zip(train.observations, train.targets, strict=True)
    }
    assert all(
        known[bytes(x)] == y for x, y in zip(np.asarray(inputs), labels, strict=True)
    )
    if size <= 1294:  # in which no row occurs twice, and classes are balanced
        assert len({bytes(x) for x in np.asarray(inputs)}) >= 0.99 * size
        counts = np.bincount(labels, minlength=10)
        assert counts.max() - counts.min() <= max(1, 0.03 * size)
    other, _ = digits().batch(digits().data, jax.random.key(1), size)
    assert size == 1294 or not np.array_equal(inputs, other)


def linear(params, x):
    return x.reshape(-1) @ params


@pytest.mark.parametrize("metric", ["accuracy", "cross_entropy"])
@pytest.mark.parametrize("validation", [0.1, 0.0])
def test_every_role_measures_its_split(metric, validation):
    """Against plain sums, on splits that are no multiple of a block."""
    objective = suite.Digits(
        metric=metric, validation=validation, batch_size=None
    ).build()
    params = jax.random.normal(jax.random.key(0), (64, 10))
    measure = jax.jit(functools.partial(objective.measure, linear))
    for role in Role:
        rows = objective.rows(role)
        logits = rows.observations.reshape(-1, 64) @ np.asarray(params)
        expected = 100 * np.mean(logits.argmax(1) == rows.targets)
        if metric == "cross_entropy" and role == Role.SEARCH:
            every = jax.nn.log_softmax(logits)[np.arange(len(logits)), rows.targets]
            expected = every.mean()
        found = measure(params, jax.random.key(1), jnp.int32(role), objective.data)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        assert objective.splits[role] == (len(rows.targets), True)
    broken = measure(params.at[0, 0].set(jnp.nan), KEY, jnp.int32(0), objective.data)
    assert np.isnan(broken)


def test_a_search_measures_on_a_minibatch_that_depends_on_the_key():
    objective = suite.Digits(batch_size=50).build()
    params = jax.random.normal(jax.random.key(0), (64, 10))
    measure = jax.jit(functools.partial(objective.measure, linear))
    found = {
        float(measure(params, key, jnp.int32(0), objective.data))
        for key in jax.random.split(jax.random.key(2), 8)
    }
    assert len(found) > 1 and all(round(x / 2, 4).is_integer() for x in found)
    assert objective.splits[0] == (50, False)


def test_regression_is_measured_by_its_squared_error():
    rng = np.random.default_rng(0)
    each = [
        Labeled(
            rng.normal(size=(n, 3)).astype(np.float32),
            rng.normal(size=(n, 2)).astype(np.float32),
        )
        for n in (40, 7, 9)
    ]
    objective = make_objective(
        Splits(*each), classes=None, batch_size=None, metric="accuracy"
    )
    assert objective.spec == Spec((3,), Box((2,)))
    params = rng.normal(size=(3, 2)).astype(np.float32)
    data = jax.tree.map(jnp.asarray, objective.data)
    for role, split in zip(Role, each, strict=True):
        expected = -np.mean((split.inputs @ params - split.targets) ** 2)
        found = objective.measure(lambda w, x: (x @ w, x), params, KEY, role, data)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_bytes_are_kept_as_bytes():
    inputs = np.arange(24, dtype=np.uint8).reshape(6, 4)
    each = [
        Labeled(inputs[rows], np.array([0, 1], np.int32))
        for rows in ([0, 1], [2, 3], [4, 5])
    ]
    objective = make_objective(
        Splits(*each), classes=2, batch_size=2, metric="accuracy"
    )
    assert objective.data["inputs"].dtype == np.uint8
    expected = inputs[4:] / 255
    np.testing.assert_allclose(objective.rows(Role.FINAL).observations, expected, 1e-6)
    drawn, _ = objective.batch(objective.data, jax.random.key(0), 2)
    np.testing.assert_allclose(drawn, inputs[:2] / 255, 1e-6)


# --- runs -----------------------------------------------------------------------------


def poisoned(role):
    """The digits, with NaN in every row of a role's split."""

    class Poisoned(suite.Digits):
        actions = None

        def build(self):
            objective = super().build()
            rows = {bytes(x) for x in objective.rows(role).observations}
            data = dict(objective.data)
            bad = [bytes(x) in rows for x in data["inputs"]]
            data["inputs"] = np.where(
                np.array(bad)[:, None, None, None], np.nan, data["inputs"]
            )
            return objective._replace(data=data)

    return Poisoned(batch_size=64, metric="cross_entropy")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run on the digits, in a directory."""
    env = {"name": "digits", "batch_size": 64, "metric": "cross_entropy"}
    path = tmp_path_factory.mktemp("digits") / "run"
    return neuroevo.evolve(**TINY, env=env, run_dir=path)


def test_the_test_split_is_for_the_final_evaluation_alone(plain):
    blind = neuroevo.evolve(**TINY, env=poisoned(Role.FINAL))
    for one, other in zip(plain.metrics, blind.metrics, strict=True):
        assert without_times([one]) == without_times([other])
    jax.tree.map(np.testing.assert_array_equal, plain.genome, blind.genome)
    assert np.isnan(blind.summary["best_return_mean"])
    result = plain.summary["best_return_mean"]
    assert 0 < result < 100 and plain.metrics[0]["fitness_mean"] < 0
    rows = plain.parts.environment.rows(Role.FINAL)
    start = plain.evaluate(2, 1, seed=0)
    assert start["episode_length_mean"] == len(rows.targets) == 359
    assert start["return_mean"] == result  # the final evaluation, again
    assert plain.evaluate(2, 5, seed=0)["return_mean"] == result  # nothing is random


def test_images_are_drawn_and_confusion_is_counted(plain, run_cli, tmp_path):
    found = confusion.confusion(plain.best, seed=3)
    rows = plain.parts.environment.rows(Role.FINAL)
    apply = jax.vmap(plain.parts.policy.apply, (None, 0))
    answers = np.argmax(apply(plain.decode(3), rows.observations), axis=1)
    assert found.accuracy == pytest.approx(100 * np.mean(answers == rows.targets))
    assert found.counts[4, 7] == np.sum((rows.targets == 4) & (answers == 7))
    np.testing.assert_array_equal(found.counts.sum(axis=1), np.bincount(rows.targets))
    assert run_cli(f"report {plain.path}").code == 0
    html = (plain.path / "report.html").read_text()
    assert "What it confuses" in html and "neuroevo render" not in html
    picture = tmp_path / "pairs.png"
    assert run_cli(f"inspect {plain.path} --picture {picture}").code == 0
    assert picture.stat().st_size > 1000
    refused = run_cli(f"render {plain.path} --out {tmp_path}/x.gif")
    assert refused.code == 2
    assert refused.err == (
        "neuroevo: env digits has no episodes to show: expected an environment\n"
    )


def test_networks_of_other_widths_are_those_that_transfer_measures(tmp_path):
    states = digits().train.observations[::130][:10]
    np.savez(tmp_path / "images.npz", states=states)
    options = {"env": "digits", "encoding": {"name": "dataset", "steps": 3}}
    mlp = {"name": "mlp", "hidden": [3], "activation": "tanh"}
    found = neuroevo.transfer(
        tmp_path / "images.npz",
        **options,
        policy=mlp,
        widths=[3, 6],
        activations=["relu"],
        policies=1,
        episodes=1,
        seed=0,
        devices=1,
    )
    for row in found["rows"]:
        policy = mlp | {"hidden": [row["width"]], "activation": "relu"}
        alone = neuroevo.load(
            tmp_path / "images.npz", **options, policy=policy, devices=1
        )
        expected = alone.evaluate(1, 1, seed=0)["return_mean"]
        assert row["return_mean"] == pytest.approx(expected, abs=0.5)


def write(path, **arrays):
    np.savez(path, **arrays)
    return {"name": "npz", "file": str(path)}


X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 3
HOLE = np.where(np.arange(40)[:, None] == 7, np.nan, X)


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"inputs": X}, "either labels (for classification) or targets"),
        ({"labels": Y}, "expected arrays inputs"),
        ({"inputs": X, "labels": Y, "targets": Y}, "either labels"),
        ({"inputs": X, "labels": Y[1:]}, "as many labels as inputs; got 39 and 40"),
        ({"inputs": HOLE, "labels": Y}, "1 of 40 rows, first in row 7"),
        ({"inputs": X, "targets": HOLE[:, 0]}, "targets: expected finite numbers"),
        ({"inputs": X, "labels": Y - 1}, "labels from 0 to 16777215; got -1 in row 0"),
        ({"inputs": X, "labels": Y + 0.5}, "expected integers of shape (N,)"),
        ({"inputs": X[:, 0], "labels": Y}, "expected shape (N, features)"),
        ({"inputs": X.astype(str), "labels": Y}, "expected real numbers"),
        ({"inputs": X[:1], "labels": Y[:1]}, "at least one test example"),
        ({"inputs": X, "labels": Y, "test_inputs": X}, "test_labels"),
        (
            {"inputs": X, "labels": Y, "test_inputs": X[:, :2], "test_labels": Y},
            "inputs for the test like the others, of shape (3,)",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, arrays, words):
    with pytest.raises(UserError) as error:
        neuroevo.evolve(**SMALL, env=write(tmp_path / "x.npz", **arrays))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_labels_fit_the_number_of_classes(tmp_path):
    env = write(tmp_path / "x.npz", inputs=X, labels=Y)
    assert suite.Npz(file=Path(env["file"])).build().spec.action == Discrete(3)
    assert suite.Npz(file=Path(env["file"]), classes=5).build().spec.action == Discrete(
        5
    )
    with pytest.raises(UserError, match="from 0 to 1; got 2 in row 2"):
        suite.Npz(file=Path(env["file"]), classes=2).build()
    env = write(tmp_path / "y.npz", inputs=X, targets=X[:, 0])
    assert suite.Npz(file=Path(env["file"])).build().spec == Spec((3,), Box((1,)))
    with pytest.raises(UserError, match="expected --env.file"):
        suite.Npz().build()


def idx(path, array):
    with gzip.open(path, "wb") as file:
        file.write(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape))
        file.write(array.tobytes())


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 10)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        labels = np.arange(count, dtype=np.uint8) % 10
        idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    return tmp_path


def test_a_folder_of_idx_files_is_read(folder):
    objective = suite.FashionMNIST(folder=folder).build()
    assert objective.spec == Spec((28, 28, 1), Discrete(10))
    assert [len(objective.rows(role).targets) for role in Role] == [27, 3, 10]
    assert 0.9 < objective.train.observations.max() <= 1


def test_what_is_wrong_with_a_folder_is_one_line(folder, run_cli):
    def said(**options):
        with pytest.raises(UserError) as error:
            suite.FashionMNIST(folder=folder, **options).build()
        assert "\n" not in str(error.value)
        return str(error.value)

    path = folder / "t10k-labels-idx1-ubyte.gz"
    idx(path, np.full(10, 10, np.uint8))
    assert "labels from 0 to 9; got 10 in row 0" in said()
    idx(path, np.zeros(9, np.uint8))
    assert "as many labels as t10k images; got 9 and 10" in said()
    path.write_bytes(path.read_bytes()[:20])
    assert "not an idx file" in said()
    path.unlink()
    assert "install Debian's package dataset-fashion-mnist" in said()
    refused = run_cli(f"train --env fashion-mnist --env.folder {folder}/none")
    assert refused.code == 2 and refused.err.count("\n") == 1
    assert "dataset-fashion-mnist" in refused.err


def test_strata_leave_out_no_row():
    for total, size in ((10, 3), (60000, 59999), (7, 7)):
        bounds = labeled._strata(total, size)
        assert bounds[0] == 0 and bounds[-1] == total and (np.diff(bounds) >= 1).all()
