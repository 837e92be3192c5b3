"""A run that was stopped and resumed is the run that never stopped."""

from pathlib import Path

import numpy as np
import pytest
from stored import SEARCHES, TINY, WEIGHTS, assert_same_run, evolve, rewind

import neuroevo
from neuroevo.config.resolve import resolve
from neuroevo.errors import UserError
from neuroevo.loading import start_layers
from neuroevo.registry import encodings
from neuroevo.store import genome_file
from neuroevo.store.directory import RunDirectory, check_new

SLOW = {"running", *WEIGHTS}


def test_exact_resume_is_tested_for_every_encoding():
    named = [search["encoding"] for search in SEARCHES.values()]
    named = {each if isinstance(each, str) else each["name"] for each in named}
    assert named == set(encodings.names())


@pytest.mark.parametrize(
    "search",  # all others of this file have running statistics
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else [])
        for name in SEARCHES
    ],
)
def test_resumed_equals_uninterrupted(search, tmp_path):
    options = SEARCHES[search] | {"checkpoint": {"every_generations": 1, "keep": 9}}
    evolve(tmp_path / "whole", 5, **options)
    rewind(tmp_path / "whole", tmp_path / "parts", 3)
    run = evolve(tmp_path / "parts", 5, resume=True, **options)
    assert [row["generation"] for row in run.metrics] == [1, 2, 3, 4, 5]
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


# ---------------------------------------------------------------- starting at a genome


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Return the directory of a run of one generation."""
    path = tmp_path_factory.mktemp("runs") / "first"
    evolve(path, 1)
    return path


def assert_equal_arrays(one: Path, two: Path):
    with np.load(one) as a, np.load(two) as b:
        assert set(a.files) == set(b.files)
        for name in set(a.files) - {"meta"}:
            np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.slow
def test_a_search_starts_at_a_genome_with_its_parts_and_statistics(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    options = {"encoding": {"name": "dataset", "size": 3, "steps": 3}}
    evolve(first, 2, **options)
    keep = {"env": TINY["env"], **{k: TINY[k] for k in ("population", "policies")}}
    run = neuroevo.evolve(
        run_dir=second,
        start=first / "genome.npz",
        generations=1,
        episodes=2,
        center_every=1,
        final_policies=0,
        devices=1,
        seed=5,
        **keep,
    )
    assert run.config.parts["encoding"].size == 3  # as the file says
    assert run.config.names["normalization"] == "constant"
    # The center of the first generation, the best so far, is the genome itself.
    assert_equal_arrays(second / "start.npz", first / "genome.npz")
    assert_equal_arrays(second / "best.npz", first / "genome.npz")


def test_a_run_that_started_at_a_genome_resumes_without_it(tmp_path):
    evolve(tmp_path / "first", 1)
    start = tmp_path / "first" / "genome.npz"
    options = {"normalization": "running", "start": start}
    evolve(tmp_path / "whole", 4, **options)
    evolve(tmp_path / "parts", 2, **options)
    start.unlink()
    evolve(tmp_path / "parts", 4, normalization="running", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_a_run_resumes_without_the_file_that_it_was_normalized_by(
    tmp_path, monkeypatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    np.savez("stats.npz", obs_mean=np.full(2, 0.5), obs_var=np.full(2, 4.0))
    options = {"normalization": {"name": "constant", "file": "stats.npz"}}
    evolve("run", 1, **options)
    Path("stats.npz").unlink()
    moved = Path("run").rename(tmp_path / "moved").absolute()
    monkeypatch.chdir(tmp_path)
    env = {"env": TINY["env"]}
    run = neuroevo.evolve(run_dir=moved, generations=2, resume=True, **env)
    assert [row["generation"] for row in run.metrics] == [1, 2]
    with np.load(moved / "genome.npz", allow_pickle=False) as file:
        assert file["obs_mean"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"encoding": "dataset"}, "not a dataset genome: expected an array 'states'"),
        ({"policy": {"name": "mlp", "hidden": [5]}}, "hidden_0/kernel of shape (4, 5)"),
        ({"start": "zoo:cartpole-d3"}, "unknown zoo genome"),
        ({"start": "zoo:cartpole-d2", "env": "Acrobot-v1"}, "does not fit the env"),
        ({"start": "nowhere.npz"}, "no such file"),
    ],
)
def test_a_start_that_does_not_fit_leaves_nothing_behind(
    first, tmp_path, change, expected
):
    options = {"start": first} | change
    with pytest.raises(UserError) as error:
        evolve(tmp_path / "second", 1, **options)
    assert expected in str(error.value)
    assert not (tmp_path / "second").exists()


def test_a_search_has_the_labels_of_its_start(tmp_path):
    states = np.zeros((2, 4), np.float32)
    for labels in ([1, 0], [0, 0]):
        arrays = {"states": states, "labels": np.array(labels)}
        genome_file.save(tmp_path / "g.npz", arrays, {"env": "CartPole-v1"})
        file = genome_file.load(tmp_path / "g.npz")
        run = neuroevo.Run(resolve(start_layers(file)), None, file)  # compiles nothing
        assert run.parts.encoding.constants["labels"].tolist() == labels


# ------------------------------------------------------------------------ the beginning


def test_what_a_kill_before_the_beginning_left_does_not_stop_train(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    for name in (".lock", "start.npz", ".config.yaml.tmp"):
        (path / name).touch()
    evolve(path, 1)
    assert not (path / "start.npz").exists()
    assert not (path / ".config.yaml.tmp").exists()


def test_a_genome_of_the_user_is_not_taken_for_a_leftover(tmp_path):
    (tmp_path / "start.npz").touch()
    with pytest.raises(UserError, match="expected a new or an empty directory"):
        check_new(tmp_path)


def test_a_run_killed_while_it_compiles_is_resumed(tmp_path, monkeypatch):
    def killed(*args):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(neuroevo.Run, "initialize", killed)
        with pytest.raises(SystemExit):
            evolve(tmp_path, 2)
    run = evolve(tmp_path, 2, resume=True)
    assert [row["generation"] for row in run.metrics] == [1, 2]


def test_of_two_new_runs_the_slower_one_does_not_write(tmp_path):
    """It found a free directory, and enters it when the other one has finished."""
    evolve(tmp_path, 1)
    with pytest.raises(UserError, match="already contains a run"):
        RunDirectory(tmp_path, None, new=True)
