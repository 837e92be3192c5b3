"""Data sets of sequences, for policies with memory: files, commands, and errors."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from stored import assert_same_run, rewind

import neuroevo
from genomes.dataset import Dataset
from neuroevo.errors import UserError
from neuroevo.policies import imitation
from neuroevo.policies.memory import GRU
from neuroevo.spaces import Box, Discrete, MultiDiscrete, Spec
from neuroevo.terminal import genomes

TINY = {
    "env": {"name": "MemoryChain-bsuite", "memory_length": 2},
    "encoding": {"name": "dataset", "size": 2, "length": 3, "steps": 2},
    "policy": {"name": "gru", "units": 3, "kernel_init": "lecun"},
    "population": 4,
    "policies": 2,
    "episodes": 2,
    "final_policies": 0,
    "devices": 1,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    every = {"every_generations": 1, "keep": 9}
    return neuroevo.evolve(**TINY, generations=3, run_dir=path, checkpoint=every)


@pytest.fixture(scope="module")
def genome(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("genomes") / "genome.npz"
    run.best.save(path)
    return path


# --- the encoding ---------------------------------------------------------------------

ARRAYS = {
    "fixed": ({}, Discrete(2), {"labels": (2, 3)}),
    "learned": ({"labels": "learned"}, Discrete(2), {"action_logits": (2, 3, 2)}),
    "several": ({}, MultiDiscrete((2, 3)), {"labels": (2, 3, 2)}),
    "box": ({}, Box((2,)), {"actions": (2, 3, 2)}),
}


def build(options, action, policy=None):
    spec = Spec((4,), action)
    policy = policy or GRU(units=3, kernel_init="lecun").build(spec)
    encoding = Dataset(size=2, length=3, steps=2, **options).build(policy, spec)
    return policy, spec, encoding


@pytest.mark.parametrize("name", ARRAYS)
def test_a_genome_holds_sequences(name):
    options, action, targets = ARRAYS[name]
    policy, spec, encoding = build(options, action)
    genome = encoding.init(jax.random.key(0))
    shapes = {k: v.shape for k, v in {**genome, **encoding.constants}.items()}
    assert shapes == {"states": (2, 3, 4)} | targets
    decode = jax.eval_shape(
        lambda genome, key: encoding.decode(genome, encoding.start(key)),
        genome,
        jax.random.key(0),
    )
    like = jax.eval_shape(policy.init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, decode) == jax.tree.map(jnp.shape, like)
    stored = {k: np.asarray(v) for k, v in {**genome, **encoding.constants}.items()}
    fitted = Dataset().fit_to(stored, spec)
    assert (fitted.size, fitted.length) == (2, 3)
    alone = {k: v[:, 0] for k, v in stored.items()}
    assert Dataset().fit_to(alone, spec).length is None


def test_decoding_is_training_through_time():
    """By plain loops over the sequences and their pairs."""
    policy, _, encoding = build({"optimizer": "sgd", "learning_rate": 0.1}, Box((1,)))
    genome = jax.tree.map(
        lambda x: jax.random.normal(jax.random.key(1), x.shape),
        encoding.init(jax.random.key(0)),
    )
    start = encoding.start(jax.random.key(0))

    @jax.jit
    def loss(params):
        apply = jax.vmap(policy.apply, (None, 0, 0))
        memory, total = jnp.stack([policy.init_memory(params)] * 2), 0.0
        for t in range(3):
            outputs, memory = apply(params, genome["states"][:, t], memory)
            total += policy.losses["nll"](outputs, genome["actions"][:, t])
        return total / 3

    expected = start.params
    for _ in range(2):
        gradient = jax.grad(loss)(expected)
        expected = jax.tree.map(lambda p, g: p - 0.1 * g, expected, gradient)
    found = jax.jit(encoding.decode)(genome, start)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected
    )


def test_labels_stay_the_same_within_a_sequence_if_they_can():
    _, _, encoding = build({}, Discrete(2))
    np.testing.assert_array_equal(encoding.constants["labels"], [[0] * 3, [1] * 3])
    _, _, encoding = build({}, Discrete(6))
    np.testing.assert_array_equal(encoding.constants["labels"], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("options", "action", "words"),
    [
        ({}, Discrete(7), ["leaves some of the 7 actions"]),
        ({"init_from": "mean"}, Discrete(2), ["init_from", "without memory"]),
    ],
)
def test_what_sequences_cannot_be(options, action, words):
    spec = Spec((4,), action)
    policy = GRU(units=3).build(spec)
    rows = neuroevo.types.Rows(np.zeros((9, 4)), np.zeros(9, int), np.ones(9))
    with pytest.raises(UserError) as caught:
        Dataset(size=2, length=3, **options).build(policy, spec, rows=rows)
    assert all(word in str(caught.value) for word in words), caught.value


# --- files and commands ---------------------------------------------------------------


def test_a_file_holds_what_the_run_found(run, genome):
    again = neuroevo.load(genome)
    assert again.genome["states"].shape == (2, 3, 3)
    jax.tree.map(np.testing.assert_array_equal, again.genome, run.best.genome)
    assert again.config.parts["encoding"].length == 3
    scores = [each.evaluate(4, 8, seed=1) for each in (run.best, again)]
    assert scores[0]["return_per_policy"] == scores[1]["return_per_policy"]
    assert scores[0]["episode_length_mean"] == 3


@pytest.mark.slow
def test_a_policy_of_it_remembers_elsewhere(genome, tmp_path):
    solution, path = neuroevo.load(genome), tmp_path / "policy.npz"
    neuroevo.save_policy(solution, path, seed=3)
    policy = neuroevo.load(path)
    jax.tree.map(np.testing.assert_array_equal, policy.genome, solution.decode(3))
    (one,), (other,) = solution.record(3), policy.record(3)
    np.testing.assert_array_equal(one.actions, other.actions)


@pytest.mark.slow
def test_resumed_equals_uninterrupted(run, tmp_path):
    whole, parts = run.path, tmp_path / "parts"
    rewind(whole, parts, 1)
    every = {"every_generations": 1, "keep": 9}
    neuroevo.evolve(**TINY, generations=3, run_dir=parts, resume=True, checkpoint=every)
    assert_same_run(whole, parts)


@pytest.mark.slow
def test_chunks_and_devices_change_no_more_than_last_digits(run):
    other = neuroevo.evolve(**TINY | {"devices": 2, "chunk": 3}, generations=3)
    for one, two in zip(run.metrics, other.metrics, strict=True):
        np.testing.assert_allclose(one["fitness_mean"], two["fitness_mean"], atol=1e-5)


@pytest.mark.slow
def test_an_ensemble_of_it_acts(genome):
    found = neuroevo.load(genome, policy={"ensemble": 2}).evaluate(2, 2, seed=0)
    assert found["ensemble"] == 2 and -1 <= found["return_mean"] <= 1


def test_inspect_shows_one_pair_after_the_other(genome, run_cli):
    said = run_cli(f"inspect {genome}")
    assert said.code == 0, said
    assert "2 sequences of 3 state-action pairs" in said.out
    for name in ("0.0", "0.2", "1.0", "1.2"):
        assert name in said.out


@pytest.mark.parametrize("action", [action for _, action, _ in ARRAYS.values()])
def test_rows_of_sequences_are_known_from_rows_of_pairs(action):
    options = next(o for o, a, _ in ARRAYS.values() if a == action)
    _, _, encoding = build(options, action)
    arrays = {**encoding.init(jax.random.key(0)), **encoding.constants}
    rows = genomes.in_rows(arrays, action)
    assert rows.is_sequences and rows.names == [
        "0.0",
        "0.1",
        "0.2",
        "1.0",
        "1.1",
        "1.2",
    ]
    assert {len(array) for array in rows.arrays.values()} == {6}
    pairs = {name: array[:, 0] for name, array in arrays.items()}
    assert not genomes.in_rows(pairs, action).is_sequences


@pytest.mark.slow
def test_collecting_writes_what_it_did(genome, run_cli):
    said = run_cli(f"collect {genome} --out rows.npz --episodes 5 --json")
    assert said.code == 0, said
    assert json.loads(said.out)["steps"] == 15
    with np.load("rows.npz") as file:
        assert file["observations"].shape == (15, 3)
        assert set(np.unique(file["actions"])) <= {0, 1}
        np.testing.assert_array_equal(np.bincount(file["episode"]), [3] * 5)


ONE_LINE = {
    "train --policy mlp --encoding.length 3": ["encoding.length 3", "--policy gru"],
    "train --env digits --policy gru": ["policy gru has a memory", "env digits"],
    "evaluate {} --policy mlp": ["encoding.length 3", "this one has none"],
    "transfer {} --widths 4": ["policy gru", "expected --policy mlp"],
    "merge {} {} --out merged.npz": ["policy gru has a memory", "cannot be merged"],
    "distill zoo:cartpole-d2 --policy gru --generations 1": [
        "strategy gradients: expected a policy without memory",
    ],
    "distill {} --policy mlp --generations 1": ["--strategy.relabel-every 0"],
    "train --policy frames --policy.channels 4": ["policy frames with", "(4,)"],
}


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, marks=pytest.mark.slow if "distill {}" in line else [])
        for line in ONE_LINE
    ],
)
def test_what_it_cannot_do_is_said_in_one_line(line, genome, run_cli):
    said = run_cli(line.replace("{}", str(genome)))
    assert said.code == 2 and len(said.err.strip().splitlines()) == 1, said
    assert all(word in said.err for word in ONE_LINE[line]), said.err


@pytest.mark.slow
def test_a_memory_reaches_a_step_in_several_calls():
    """What an evaluation keeps between two calls includes what policies remember."""
    options = TINY | {"encoding": "direct", "generations": 1, "policies": 1}
    slow = neuroevo.evolve(**options | {"env": toy.SlowWalk(6)})
    fast = neuroevo.evolve(**options | {"env": toy.Walk(6)})
    assert slow.metrics[0]["fitness_mean"] == fast.metrics[0]["fitness_mean"]


def test_an_answer_to_a_sequence_is_that_of_a_trained_network():
    """Two cues and opposite answers a step later: the pairs teach to remember."""
    spec = Spec((2,), Discrete(2))
    policy = GRU(units=4, kernel_init="lecun").build(spec)
    encoding = Dataset(size=2, length=2, steps=200, learning_rate=0.05).build(
        policy, spec
    )
    genome = {"states": jnp.array([[[1.0, 0], [0, 0]], [[-1, 0], [0, 0]]])}
    start = encoding.start(jax.random.key(0))
    params = jax.jit(encoding.decode)(genome, start)
    logits = imitation.respond(policy, params, genome["states"])
    np.testing.assert_array_equal(np.argmax(logits, 1), [0, 0, 1, 1])
