"""Genome files: exact, atomic, and no way to run code or to surprise their reader."""

import json
import pickle
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.config.schema import PARTS
from neuroevo.errors import UserError
from neuroevo.policies.networks import MLP
from neuroevo.registry import encodings, envs
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.store import genome_file

SPECS = {
    "cartpole": Spec((4,), Discrete(2)),
    "continuous": Spec((3,), Box((2,))),
    "image": Spec((5, 5, 2), Discrete(2)),
}
META = {"encoding": {"name": "dataset"}, "env": {"name": "Ünïcode-v1", "x": None}}


def described(**changes):
    return {"format": "neuroevo-genome", "version": 1} | changes


def refusal(path):
    """Return the one line that refuses to load `path`."""
    with pytest.raises(UserError) as error:
        genome_file.load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert "allow_pickle=True" not in message
    return message


# ------------------------------------------------------------------------ round trips


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", encodings.names())
def test_round_trip(name, spec, tmp_path):
    spec = SPECS[spec]
    policy = MLP(hidden=(5,), kernel_init="lecun").build(spec)
    encoding = encodings.get(name)().build(policy, spec)
    genome = jax.jit(encoding.init)(jax.random.key(0))
    genome = jax.tree.map(
        lambda x: x + jnp.linspace(0, 1, x.size, x.dtype).reshape(x.shape), genome
    )
    arrays = {**encoding.constants, **genome_file.to_arrays(genome)}
    genome_file.save(tmp_path / "genome.npz", arrays, META)

    file = genome_file.load(tmp_path / "genome.npz")
    assert file.meta == META | described()
    assert file.arrays.keys() == arrays.keys()
    like = jax.eval_shape(encoding.init, jax.random.key(0))
    again = genome_file.to_genome(file, like, encoding.constants)
    constants = genome_file.to_constants(file, encoding.constants)
    jax.tree.map(np.testing.assert_array_equal, constants, dict(encoding.constants))
    assert jax.tree.structure(again) == jax.tree.structure(genome)
    jax.tree.map(np.testing.assert_array_equal, again, genome)
    assert jax.tree.map(lambda x: x.dtype, again) == jax.tree.map(
        lambda x: x.dtype, genome
    )


@pytest.mark.parametrize(
    "genome",
    [
        np.arange(3.0, dtype=np.float32),  # a bare array has the empty path
        [np.ones(2, np.float32), (np.zeros((), np.float32),)],
        {"a": {"b/c": np.ones(1, np.float32)}, "file.npy": np.ones(2, np.float32)},
    ],
)
def test_round_trip_of_any_pytree(genome, tmp_path):
    genome_file.save(tmp_path / "g.npz", genome_file.to_arrays(genome), {})
    again = genome_file.to_genome(genome_file.load(tmp_path / "g.npz"), genome, {})
    assert jax.tree.structure(again) == jax.tree.structure(genome)
    jax.tree.map(np.testing.assert_array_equal, again, genome)


def test_the_description_is_a_scalar_string(tmp_path):
    """The contract: one 0-d string array of JSON, readable without neuroevo."""
    genome_file.save(tmp_path / "g.npz", {"x": np.ones(2)}, META)
    with np.load(tmp_path / "g.npz", allow_pickle=False) as content:
        meta = content["meta"]
    assert meta.shape == () and meta.dtype.kind == "U"
    assert json.loads(str(meta)) == META | described()


def test_a_file_without_description(tmp_path):
    np.savez(tmp_path / "g.npz", states=np.zeros((2, 4)), labels=np.arange(2))
    file = genome_file.load(tmp_path / "g.npz")
    assert file.meta == {} and file.arrays.keys() == {"states", "labels"}


# --------------------------------------------------------------------------- atomicity


def test_saving_leaves_nothing_else(tmp_path):
    genome_file.save(tmp_path / "g.npz", {"x": np.ones(2)}, {})
    genome_file.save(tmp_path / "g.npz", {"x": np.zeros(2)}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["g.npz"]
    assert not genome_file.load(tmp_path / "g.npz").arrays["x"].any()


def test_leaves_may_have_any_name_but_that_of_the_description(tmp_path):
    arrays = {name: np.ones(2) for name in ("file", "allow_pickle", "ü", "a/b")}
    genome_file.save(tmp_path / "g.npz", arrays, {})
    assert genome_file.load(tmp_path / "g.npz").arrays.keys() == arrays.keys()
    with np.load(tmp_path / "g.npz", allow_pickle=False) as file:
        assert set(file.files) == {*arrays, "meta"}
    with pytest.raises(UserError, match="none of them named meta"):
        genome_file.save(tmp_path / "h.npz", {"meta": np.ones(2)}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["g.npz"]


def test_types_that_numpy_lacks_are_written_as_floats(tmp_path):
    genome_file.save(tmp_path / "g.npz", {"x": jnp.full(2, 1.5, jnp.bfloat16)}, {})
    x = genome_file.load(tmp_path / "g.npz").arrays["x"]
    assert x.dtype == np.float32 and x.tolist() == [1.5, 1.5]


# -------------------------------------------------------------------- untrusted input


class Payload:
    """What unpickling would execute."""

    executed = False

    def __reduce__(self):
        return setattr, (Payload, "executed", True)


def object_array():
    array = np.empty(1, object)
    array[0] = Payload()
    return array


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "g.npz"
    np.savez(path, states=object_array())
    assert "states.npy holds object, expected numbers" in refusal(path)
    np.savez(path, states=np.zeros(2), meta=object_array())
    refusal(path)
    path.write_bytes(pickle.dumps(Payload()))
    assert "expected an archive of arrays" in refusal(path)
    np.save(tmp_path / "g.npy", object_array())
    refusal(tmp_path / "g.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Payload()))
    refusal(path)
    assert not Payload.executed


def damaged(path, kind):
    """Write a file that is a genome file in all but one respect."""
    genome_file.save(path, {"x": np.arange(1000.0)}, {})
    content = path.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("states: [1, 2]")
    elif kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + b"????" + content[middle + 4 :])
    elif kind == "a single array":
        with path.open("wb") as file:
            np.save(file, np.ones(3))
    elif kind == "directory":
        path.unlink()
        path.mkdir()
    elif kind == "huge":  # claims 8 EB
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }\n" % 2**60
        with zipfile.ZipFile(path, "w") as archive:
            data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
            archive.writestr("x.npy", data)
    elif kind == "not json":
        np.savez(path, meta=np.array("{nope"))
    elif kind == "deep json":
        np.savez(path, meta=np.array("[" * 100_000))
    elif kind == "json list":
        np.savez(path, meta=np.array("[1]"))
    elif kind == "numbers as meta":
        np.savez(path, meta=np.ones(3))


@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        "text",
        "truncated",
        "flipped",
        "a single array",
        "directory",
        "huge",
        "not json",
        "deep json",
        "json list",
        "numbers as meta",
    ],
)
def test_damaged_files_are_refused(kind, tmp_path):
    path = tmp_path / "g.npz"
    damaged(path, kind)
    expected = "expected a genome" if kind == "directory" else "not a genome (.npz): "
    assert expected in refusal(path)


def test_a_missing_file(tmp_path):
    assert "no such file; expected a genome (.npz)" in refusal(tmp_path / "g.npz")


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        (described(version=2), "version 2 of the genome format; this neuroevo reads "),
        (described(version="new"), "version 'new'"),
        (described(version=[1]), "version [1]"),
        (described(format="other"), "expected format 'neuroevo-genome', got 'other'"),
        ({"encoding": "direct"}, "expected format 'neuroevo-genome', got None"),
    ],
)
def test_other_formats_are_refused(meta, expected, tmp_path):
    np.savez(tmp_path / "g.npz", meta=np.array(json.dumps(meta)), x=np.ones(2))
    assert expected in refusal(tmp_path / "g.npz")


# ---------------------------------------------------------------------------- fitting


def as_file(**arrays):
    return genome_file.GenomeFile("g.npz", arrays, {})


def misfit(file, like, constants=None):
    with pytest.raises(UserError) as error:
        genome_file.to_genome(file, like, constants or {})
    return str(error.value)


LIKE = {"states": jnp.zeros((2, 3, 3, 2)), "actions": jnp.zeros((2, 4))}


def test_flattened_images_are_reshaped():
    states = np.arange(36.0).reshape(2, 18)
    file = as_file(states=states, actions=np.zeros((2, 4), int))
    genome = genome_file.to_genome(file, LIKE, {})
    np.testing.assert_array_equal(genome["states"], states.reshape(2, 3, 3, 2))
    assert genome["actions"].dtype == jnp.float32


def test_a_misfit_is_told_exactly():
    file = as_file(states=np.zeros((2, 17)), other=np.zeros(1))
    assert misfit(file, LIKE) == (
        "g.npz: does not fit the environment, encoding and policy: lacks actions "
        "(2, 4); has no use for other; expected states of shape (2, 3, 3, 2), not "
        "(2, 17)"
    )


@pytest.mark.parametrize(
    "states",
    [
        np.zeros((18, 2)),  # the right size, but another number of pairs
        np.zeros((2, 18), complex),
        np.full((2, 18), "1"),
        np.zeros((2, 18), bool),
        np.zeros(()),
    ],
)
def test_arrays_that_only_seem_to_fit(states):
    file = as_file(states=states, actions=np.zeros((2, 4)))
    assert "expected states of shape" in misfit(file, LIKE)


CONSTANTS = {"labels": np.array([0, 1, 2], np.int32)}


def test_the_constants_of_a_file_win():
    like = {"states": jnp.zeros((3, 2))}
    file = as_file(states=np.zeros((3, 2)), labels=np.array([2, 2, 0], np.int64))
    assert list(genome_file.to_genome(file, like, CONSTANTS)) == ["states"]
    constants = genome_file.to_constants(file, CONSTANTS)
    np.testing.assert_array_equal(constants["labels"], [2, 2, 0])
    assert constants["labels"].dtype == jnp.int32
    assert genome_file.to_constants(as_file(), CONSTANTS) == {}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 1], "g.npz: expected labels of shape (3,), not (2,)"),
        ([0, 1, 3], "expected labels from 0 to 2, one for each action of the"),
        ([-1, 1, 2], "not -1 to 2"),
        ([0.0, 1.0, 2.0], "expected labels of type int32, not float64"),
        (["0", "1", "2"], "expected labels of type int32"),
    ],
)
def test_constants_that_do_not_fit(labels, expected):
    file = as_file(states=np.zeros((3, 2)), labels=np.array(labels))
    with pytest.raises(UserError) as error:
        genome_file.to_constants(file, CONSTANTS)
    assert expected in str(error.value)


@pytest.mark.parametrize("env", envs.names())
def test_a_file_describes_every_environment(tmp_path, env):
    """Options come back as they were, infinite ones too (brax's healthy ranges)."""
    resolved = resolve.resolve([Layer("test", {"env": env})])
    genome_file.save(tmp_path / "g.npz", {}, resolved.to_dict())
    meta = genome_file.load(tmp_path / "g.npz").meta
    own = {part: meta[part] for part in PARTS}
    again = resolve.resolve([Layer("file", own)])
    assert again.parts == resolved.parts
