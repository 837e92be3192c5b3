"""Run directories: what a run leaves behind, and that nothing of it is lost."""

import json
from pathlib import Path

import numpy as np
import pytest
import toy
import yaml

import neuroevo
from neuroevo.errors import UserError
from neuroevo.store import genome_file
from neuroevo.store.directory import CONFIG, SUMMARY, RunDirectory
from neuroevo.store.metrics import METRICS, read_metrics

TINY = {
    "env": toy.walk(),
    "policy": {"name": "mlp", "hidden": [4], "kernel_init": "lecun"},
    "population": 6,
    "policies": 1,
    "episodes": 2,
    "center_every": 2,
    "center_policies": 2,
    "final_policies": 0,  # compiles no second program
    "devices": 1,
    "checkpoint": {"every_generations": 1, "keep": 2},
}
SEARCHES = {
    "dataset-SNES": {"encoding": {"name": "dataset", "steps": 3}, "strategy": "SNES"},
    "direct-DE": {"encoding": "direct", "strategy": "DifferentialEvolution"},
    "running": {"encoding": "direct", "normalization": "running"},
}


def evolve(path, generations, **options):
    return neuroevo.evolve(
        run_dir=path, generations=generations, **(TINY | SEARCHES["running"] | options)
    )


def assert_same_run(one: Path, two: Path):
    """Metrics agree except for times; genome files agree bit for bit."""

    def rows(path):
        return [row | {"seconds": None} for row in read_metrics(path)]

    assert rows(one) == rows(two)
    for name in ("genome.npz", "best.npz"):
        with np.load(one / name) as a, np.load(two / name) as b:
            assert a.files == b.files
            for array in a.files:
                np.testing.assert_array_equal(a[array], b[array])


@pytest.mark.parametrize("search", SEARCHES)
def test_resumed_equals_uninterrupted(search, tmp_path):
    options = SEARCHES[search]
    evolve(tmp_path / "whole", 6, **options)
    evolve(tmp_path / "parts", 3, **options)
    run = evolve(tmp_path / "parts", 6, resume=True, **options)
    assert [row["generation"] for row in run.metrics] == [1, 2, 3, 4, 5, 6]
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    evolve(path, 6, final_policies=2)
    return path


def test_latest_and_best_checkpoints_are_kept(whole):
    kept = sorted(int(p.name) for p in (whole / "checkpoints").iterdir())
    latest, returns = -np.inf, []
    for row in read_metrics(whole):
        if row["center_return"] is not None:
            latest = row["center_return"]
        returns.append(latest)
    best = 6 - int(np.argmax(returns[::-1]))  # among equals the latest
    assert kept == sorted({best, 5, 6})


def test_files_are_as_promised(whole):
    config = yaml.safe_load((whole / CONFIG).read_text())
    assert config["population"] == 6 and config["chunk"] != "auto"
    environment = json.loads((whole / "environment.json").read_text())
    assert {"versions", "devices", "git_revision", "command"} <= environment.keys()
    assert environment["versions"]["jax"]
    steps = 0
    for row in read_metrics(whole):
        for key in ("seconds", "fitness_mean", "fitness_std", "fitness_max"):
            assert np.isfinite(row[key])
        assert (row["center_return"] is not None) == (row["generation"] % 2 == 1)
        assert row["env_steps"] > steps
        steps = row["env_steps"]
    summary = json.loads((whole / SUMMARY).read_text())
    assert summary["env_steps"] == steps
    assert summary["stopped_by"] == "generations"
    for key in ("final_return_mean", "final_return_std", "best_return_mean"):
        assert np.isfinite(summary[key])
    for key in ("seconds", "compile_seconds", "peak_memory_bytes"):
        assert summary[key] > 0


def test_one_process_at_a_time(whole):
    with RunDirectory(whole, None):
        with pytest.raises(neuroevo.UserError, match="in use by another"):
            RunDirectory(whole, None)


def test_a_run_directory_is_not_overwritten(whole, tmp_path):
    before = (whole / METRICS).read_bytes()
    with pytest.raises(neuroevo.UserError, match="neuroevo resume"):
        evolve(whole, 3)
    assert (whole / METRICS).read_bytes() == before
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(neuroevo.UserError, match="new or an empty directory"):
        evolve(tmp_path, 3)


def test_limits_end_a_run(tmp_path):
    run = evolve(None, None, max_env_steps=300)
    assert run.summary["stopped_by"] == "environment steps"
    assert run.metrics[-2]["env_steps"] < 300 <= run.metrics[-1]["env_steps"]
    assert evolve(None, None, max_seconds=0.01).summary["stopped_by"] == "time"
    assert evolve(None, None, target=-1e3).summary["stopped_by"] == "target"


# ---------------------------------------------------------------- starting at a genome


def assert_equal_arrays(one: Path, two: Path):
    with np.load(one) as a, np.load(two) as b:
        assert set(a.files) == set(b.files)
        for name in set(a.files) - {"meta"}:
            np.testing.assert_array_equal(a[name], b[name])


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


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"encoding": "dataset"}, "lacks actions"),
        ({"policy": {"name": "mlp", "hidden": [5]}}, "hidden_0/kernel of shape (2, 5)"),
        ({"start": "zoo:cartpole-d3"}, "unknown zoo genome"),
        ({"start": "nowhere.npz"}, "no such file"),
    ],
)
def test_a_start_that_does_not_fit_leaves_nothing_behind(tmp_path, change, expected):
    evolve(tmp_path / "first", 1)
    options = {"start": tmp_path / "first"} | change
    with pytest.raises(UserError) as error:
        evolve(tmp_path / "second", 1, **options)
    assert expected in str(error.value)
    assert not (tmp_path / "second").exists()


def test_labels_that_an_encoding_fixes_must_be_those_of_the_start(tmp_path):
    path = tmp_path / "g.npz"
    states = np.zeros((2, 4), np.float32)
    genome_file.save(path, {"states": states, "labels": np.array([1, 0])}, {})
    with pytest.raises(UserError, match=r"its labels are not those .*\[0, 1\]"):
        neuroevo.evolve(env="CartPole-v1", start=path, generations=1)
