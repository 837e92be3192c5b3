"""Run directories: what a run leaves behind, and that nothing of it is lost."""

import json

import numpy as np
import pytest
import yaml
from stored import evolve

import neuroevo
from neuroevo.store.directory import CONFIG, SUMMARY, RunDirectory
from neuroevo.store.metrics import METRICS, read_metrics


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
