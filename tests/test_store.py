"""Run directories: what a run leaves behind, and that nothing of it is lost."""

import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from stored import evolve

import neuroevo
from neuroevo.config.layers import read_layers
from neuroevo.config.resolve import resolve
from neuroevo.errors import UserError
from neuroevo.store import directory, genome_file, provenance
from neuroevo.store.directory import (
    CONFIG,
    SUMMARY,
    RunDirectory,
    read_config,
    read_genome,
    resume_config,
)
from neuroevo.store.metrics import METRICS, append_metrics, read_metrics
from neuroevo.store.record import read_record


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
    expected = {"versions", "devices", "git_revision", "command", "xla_flags"}
    assert expected <= environment.keys()
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


def test_a_run_directory_is_not_overwritten(whole, tmp_path):
    before = (whole / METRICS).read_bytes()
    with pytest.raises(neuroevo.UserError, match="neuroevo resume"):
        evolve(whole, 3)
    assert (whole / METRICS).read_bytes() == before
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(neuroevo.UserError, match="new or an empty directory"):
        evolve(tmp_path, 3)


def test_limits_end_a_run(tmp_path):
    run = evolve(None, None, max_env_steps=500)
    assert run.summary["stopped_by"] == "environment steps"
    assert run.metrics[-2]["env_steps"] < 500 <= run.metrics[-1]["env_steps"]
    assert evolve(None, None, max_seconds=0.01).summary["stopped_by"] == "time"
    assert evolve(None, None, target=-1e3).summary["stopped_by"] == "target"


@pytest.mark.parametrize("every", [1, 2])
def test_patience_counts_evaluations_without_a_new_best(every):
    run = evolve(None, None, patience=2, center_every=every)
    assert run.summary["stopped_by"] == "patience"
    measured = [row["center_return"] for row in run.metrics]
    best = np.maximum.accumulate([x for x in measured if x is not None])
    waited = best[2:] == best[:-2]
    assert waited[-1] and not waited[:-1].any()  # and not a moment longer


# ---------------------------------------------------------------------- locks and names

HOLD = """
import sys
from pathlib import Path
from neuroevo.store.directory import RunDirectory
with RunDirectory(Path(sys.argv[1]), None):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time(tmp_path):
    with RunDirectory(tmp_path, None):
        with pytest.raises(UserError, match="in use by another"):
            RunDirectory(tmp_path, None)
    RunDirectory(tmp_path, None).__exit__(None)


def test_the_lock_ends_with_its_process(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path / "run"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(UserError, match="in use by another neuroevo process"):
            RunDirectory(tmp_path / "run", None)
        process.kill()
        process.wait()
        with RunDirectory(tmp_path / "run", None):
            pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, number):
    def refused(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.raises(UserError, match=r"expected a file system with locks \(flock\)"):
        RunDirectory(tmp_path, None)


def test_of_several_default_runs_at_once_each_gets_its_own(tmp_path, monkeypatch):
    """Whatever each of them sees before another makes its directory."""
    at_once = threading.Barrier(3)
    seen = threading.local()
    check = directory.check_new

    def check_at_once(path):
        check(path)
        if not hasattr(seen, "waited"):
            seen.waited = at_once.wait(60)

    monkeypatch.setattr(directory, "check_new", check_at_once)
    with ThreadPoolExecutor(3) as pool, contextlib.ExitStack() as stack:
        claims = [
            pool.submit(RunDirectory.claim, tmp_path / "r-s0", None) for _ in range(3)
        ]
        runs = [stack.enter_context(claim.result(60)) for claim in claims]
        names = sorted(run.path.name for run in runs)
    assert names == ["r-s0", "r-s0-2", "r-s0-3"]


def test_a_default_run_goes_where_nothing_is(tmp_path):
    for k, occupied in (("", "config.yaml"), ("-2", "thesis.tex")):
        (tmp_path / f"r-s0{k}").mkdir()
        (tmp_path / f"r-s0{k}" / occupied).touch()
    (tmp_path / "r-s0-3").touch()
    with RunDirectory.claim(tmp_path / "r-s0", None) as run:
        assert run.path == tmp_path / "r-s0-4"


# ---------------------------------------------------------------- what a run depends on


def test_a_run_has_its_own_copy_of_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"normalization": {"name": "constant", "file": "stats.npz"}, "seed": 1}
    names = []
    for name, content in (("one", b"1"), ("two", b"2"), ("three", b"1")):
        Path("stats.npz").write_bytes(content)
        with RunDirectory(Path(name), None) as run:
            run.write_config(config)
            run.write_config(resume_config(run.path))  # as a second session does
        names.append(read_config(Path(name))["normalization"]["file"])
        assert Path(name, names[-1]).read_bytes() == content
        assert len(os.listdir(name)) == 3  # with config.yaml and .lock
    assert names[0] == names[2] != names[1]  # what differs is told apart
    Path("stats.npz").unlink()
    moved = Path("one").rename("elsewhere").absolute()
    monkeypatch.chdir(moved)
    found = str(moved / names[0])
    assert resume_config(moved)["normalization"]["file"] == found
    (layer,) = read_layers(None, moved / CONFIG)
    assert layer.values["normalization"]["file"] == found


def test_a_resumed_run_still_tells_how_it_began(tmp_path):
    for number in range(3):
        with RunDirectory(tmp_path / "run", None, new=number == 0) as run:
            run.write_environment({"number": number})
    found = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert found["number"] == 2
    assert [session["number"] for session in found["earlier"]] == [0, 1]
    assert all("earlier" not in session for session in found["earlier"])


def test_an_environment_without_git_is_recorded(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.environment()["git_revision"] is None


# -------------------------------------------------------------- what version 0.1 wrote

OLD_CONFIG = """
neuroevo: 0.1.0
env: {name: CartPole-v1}
policy: {name: mlp, hidden: []}
seeds: 2
center_seeds: 3
final_seeds: 4
"""


@pytest.fixture
def old(tmp_path):
    """A run that version 0.1 finished."""
    run = tmp_path / "old"
    run.mkdir()
    (run / CONFIG).write_text(OLD_CONFIG)
    append_metrics(run, [{"generation": 1, "env_steps": 9, "seconds": 0.5}])
    summary = {
        "final_return_per_seed": [1.0, 2.0],
        "final_return_std_seeds": 0.5,
        "final_return_mean": 1.5,
    }
    (run / SUMMARY).write_text(json.dumps(summary))
    genome_file.save(
        run / "best.npz",
        {"output/kernel": np.zeros((4, 2)), "output/bias": np.arange(2.0)},
        {
            "env": {"name": "CartPole-v1", "max_steps_in_episode": 9},
            "encoding": {"name": "direct"},
            "policy": {"name": "mlp", "hidden": [], "kernel_init": "lecun"},
        },
    )
    return run


def test_a_run_of_version_0_1_is_read(old):
    record = read_record(old)
    assert record.config["policies"] == 2 and "seeds" not in record.config
    assert record.config["center_policies"] == 3
    assert record.config["final_policies"] == 4
    assert record.summary == {
        "final_return_per_policy": [1.0, 2.0],
        "final_return_std_policies": 0.5,
        "final_return_mean": 1.5,
    }
    assert read_genome(old).arrays["output/bias"].tolist() == [0, 1]
    layers = read_layers(None, old / CONFIG)
    assert resolve(layers).settings.policies == 2
    assert neuroevo.load(old).config.parts["env"].max_steps_in_episode == 9


def test_old_names_are_those_of_old_files_alone(tmp_path):
    (tmp_path / "my.yaml").write_text(OLD_CONFIG.replace("0.1.0", "0.2.0"))
    with pytest.raises(UserError, match="seeds"):
        resolve(read_layers(None, tmp_path / "my.yaml"))


def test_the_best_genome_is_the_one_unless_the_center_is_asked_for(old):
    with pytest.raises(UserError, match="no genome yet"):
        read_genome(old, "center")
    genome_file.save(old / "genome.npz", {"x": np.ones(1)}, {})
    assert list(read_genome(old, "center").arrays) == ["x"]
    assert "x" not in read_genome(old).arrays


# ------------------------------------------------------------------------------- hosts

ANYWHERE = """
import sys
from pathlib import Path
from neuroevo.store.directory import RunDirectory, read_config
from neuroevo.store.metrics import read_metrics, write_table
from neuroevo.store.record import read_record
path = Path(sys.argv[1])
with RunDirectory(path, None, new=True) as run:
    run.write_config({"title": "Größe ± 🧬"})
    run.write_environment({"title": "±"})
    run.write_summary({"title": "±", "return": float("nan")})
    run.append_metrics([{"generation": 1, "env_steps": 1, "seconds": 1, "x": "±"}])
assert read_config(path)["title"] == "Größe ± 🧬"
record = read_record(path)
assert record.summary == {"title": "±", "return": None}, record.summary
assert record.environment["title"] == "±"
write_table([{"run": str(path), "x": "±"}], Path(sys.argv[2]))
"""


def test_files_are_utf_8_wherever_a_run_takes_place(tmp_path):
    """In the C locale, with an ASCII terminal, and without a home."""
    kept = {"PATH", "PYTHONPATH"} & os.environ.keys()
    bare = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
        "JAX_PLATFORMS": "cpu",
    }
    script = tmp_path / "anywhere.py"
    script.write_text(ANYWHERE, "utf-8")
    ended = subprocess.run(
        [sys.executable, script, tmp_path / "ü", tmp_path / "ö.csv"],
        env={name: os.environ[name] for name in kept} | bare,
        capture_output=True,
    )
    script.unlink()
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert {path.name for path in tmp_path.iterdir()} == {"ü", "ö.csv"}
    text = (tmp_path / "ü" / CONFIG).read_text("utf-8")
    assert "title: Größe ± 🧬" in text
    table = (tmp_path / "ö.csv").read_text("utf-8")
    assert table == f"run,x\n{tmp_path / 'ü'},±\n"
