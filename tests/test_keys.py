"""Random streams: no two of them ever meet, and nothing else makes keys."""

import ast
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import toy

import neuroevo
from neuroevo.core import keys

ROOT = Path(__file__).parents[1]
SEEDS = [*range(24), 2**31 - 1, 2**32 - 1]
ROOTS = {
    "evaluation": keys.evaluation,
    "policy": keys.policy,
    "recording": keys.recording,
    "collection": keys.collection,
    "initial policy": keys.initial_policy,
    "genome": lambda seed: keys.search(seed).genome,
    "strategy": lambda seed: keys.search(seed).strategy,
    "warm-up": keys.warm_up,
    "run": lambda seed: keys.search(seed).run,
}


def raw(key):
    """Return a typed key, or an array of them, as rows of plain integers."""
    return np.asarray(jax.random.key_data(key)).reshape(-1, 2)


def unique(rows):
    return len(np.unique(rows, axis=0)) == len(rows)


@jax.jit
def below_evaluation(key):
    """Return every key of an evaluation: policies, episodes and their first steps."""
    policies = keys.policy_keys(key, 5)
    each = jax.vmap(keys.of_policy)(policies)
    episodes = jax.vmap(keys.episode_keys, (0, None))(each.episodes, 3).reshape(-1)
    parts = jax.vmap(keys.of_episode)(episodes)
    steps = [
        jax.vmap(lambda key, t=t: keys.at_step(key, t))(key)
        for t, key in itertools.product(range(4), (parts.act, parts.step))
    ]
    return [policies, *each, episodes, *parts, *steps]


@jax.jit
def below_run(key):
    """Return every key of a search's first generations."""

    def generation(number):
        of_generation = keys.generation(key, number)
        return [*of_generation, *below_evaluation(of_generation.evaluation)]

    return jax.vmap(generation)(jax.numpy.arange(12))


def test_no_two_keys_are_alike():
    """Of runs, evaluations, policies and recordings with many seeds."""
    found = []
    for seed in SEEDS:
        roots = {name: make(seed) for name, make in ROOTS.items()}
        found += [*map(raw, roots.values())]
        for name in ("evaluation", "warm-up", "recording"):
            found += [raw(key) for key in below_evaluation(roots[name])]
        found += [raw(key) for key in below_run(roots["run"])]
    found = np.concatenate(found)
    assert len(found) > 20_000
    assert unique(found)


def test_no_stream_is_reached_from_another():
    """Children by split or fold_in, and theirs, are no key that anything begins at."""
    roots = [(name, seed) for name in ROOTS for seed in SEEDS]
    at = jax.numpy.stack([ROOTS[name](seed) for name, seed in roots])

    @jax.jit
    def children(key):
        return [
            jax.random.split(key, 40),
            jax.vmap(jax.random.fold_in, (None, 0))(key, jax.numpy.arange(40)),
        ]

    split, folded = jax.vmap(children)(at)
    # Why roots are hashes: keys derived from one key in two ways are the same keys.
    np.testing.assert_array_equal(raw(split), raw(folded))
    grandchildren, _ = jax.vmap(children)(split[:, :6].reshape(-1))
    known = {tuple(row) for row in raw(at)}
    assert len(known) == len(roots)
    below = np.concatenate([raw(split), raw(grandchildren)])
    assert not known & {tuple(row) for row in below}
    seeds = np.arange(64, dtype=np.uint32)  # nor one that JAX makes of a seed
    assert not known & {tuple(row) for row in raw(jax.vmap(jax.random.key)(seeds))}


def test_streams_are_repeatable_and_differ_by_seed():
    for make in ROOTS.values():
        np.testing.assert_array_equal(raw(make(3)), raw(make(np.int64(3))))
        assert unique(np.concatenate([raw(make(seed)) for seed in SEEDS]))
    assert keys.fresh_seed() != keys.fresh_seed()


def test_a_seed_is_an_integer():
    with pytest.raises(TypeError):
        keys.evaluation(0.5)


def test_streams_stay_what_they_are():
    """Recorded results repeat in later versions; a change belongs in the CHANGELOG."""
    assert raw(keys.search(0).run).tolist() == RUN_OF_SEED_0
    assert str(jax.random.key_impl(keys.policy(0))) == keys.IMPLEMENTATION
    assert keys.abstract().dtype == keys.policy(0).dtype


RUN_OF_SEED_0 = [[3449224375, 2552339235]]


def test_nothing_else_makes_keys():
    """Keys are made here alone; parts split only those that they are given."""
    makers = {"jax.random.key", "jax.random.PRNGKey"}
    for package in ("neuroevo", "genomes"):
        for file in (ROOT / package).rglob("*.py"):
            if "environments" in file.parts:  # for the shapes of a reset
                continue
            tree = ast.walk(ast.parse(file.read_text()))
            used = {ast.unparse(n) for n in tree if isinstance(n, ast.Attribute)}
            assert not used & makers, file


SCRIPT = """
import jax
from neuroevo.core import keys
from neuroevo.run import switches

with switches.pinned():
    ours, theirs = keys.policy(1), jax.random.key(1)
    for key in (ours, *jax.random.split(ours), theirs, jax.random.fold_in(theirs, 7)):
        print(jax.random.bits(key, 5))
"""


def test_jax_settings_do_not_matter(capsys):
    """Neither for our keys nor for those that an environment makes."""
    exec(SCRIPT, {})
    expected = capsys.readouterr().out
    others = {"JAX_DEFAULT_PRNG_IMPL": "rbg", "JAX_THREEFRY_PARTITIONABLE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | others,
        capture_output=True,
        text=True,
        check=True,
    )
    assert expected and done.stdout == expected


def test_evaluation_repeats_the_summary_to_the_bit(tmp_path):
    """With the run's seed, numbers of policies and episodes, and recorded chunks."""
    options = {"env": toy.walk(), "encoding": toy.offset}
    neuroevo.evolve(
        **options,
        policy={"name": "mlp", "hidden": [4]},
        normalization="running",
        strategy="SNES",
        run_dir=tmp_path / "run",
        seed=5,
        population=6,
        generations=3,
        chunk=3,
        final_policies=5,
        final_episodes=3,
        devices=2,
    )
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    solution = neuroevo.load(tmp_path / "run", **options, devices=1)
    assert solution.config.settings.chunk == 3
    result = solution.evaluate(5, 3, seed=5)
    for name in ("return_mean", "return_std", "return_per_policy"):
        assert result[name] == summary[f"best_{name}"]
    assert solution.evaluate(5, 3)["return_mean"] != result["return_mean"]
