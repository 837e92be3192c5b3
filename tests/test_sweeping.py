"""Sweeps: what is run, what is left alone, and what comes of it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from neuroevo.cli import main as cli
from neuroevo.errors import UserError
from neuroevo.store.metrics import read_metrics
from neuroevo.store.record import read_record
from neuroevo.studies import sweep as sweeping
from neuroevo.studies import sweep_jobs
from neuroevo.terminal.console import make_console
from neuroevo.terminal.results import render_sweep
from neuroevo.views.comparison import make_comparison

SWEEP = """
generations: 4
population: 8
sweep:
  grid:
    encoding: [{name: dataset, steps: 1}, direct]
    policy.hidden: [[4], [4, 4]]
  seeds: 2
"""
# Stands for the process of runs: each line is a program with its arguments.
WORKER = """
import json, os, sys
replies = os.fdopen(int(sys.argv[1]), "w", buffering=1)
for line in sys.stdin:
    sys.argv = json.loads(line)
    exec(sys.argv[0])
    print(0, file=replies)
"""
# Stands for neuroevo train or resume: makes the run that its configuration describes.
STUB = """
import json, pathlib, shutil, sys
path, file = map(pathlib.Path, sys.argv[1:3])
path.mkdir(exist_ok=True)
shutil.copy(file, path / "config.yaml")
seed = int(path.name[-1])
summary = {"generations": 4, "env_steps": 40, "seconds": 2.0,
           "final_return_mean": 10.0 + seed, "best_return_mean": 12.0}
row = {"generation": 4, "env_steps": 40, "seconds": 2.0, "center_return": 10.0}
(path / "metrics.jsonl").write_text(json.dumps(row) + "\\n")
(path / "summary.json").write_text(json.dumps(summary))
with open("started", "a") as file:
    print(path.name, file=file)
"""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(SWEEP)


@pytest.fixture
def stub(monkeypatch):
    """Let other programs stand for runs, by the number of the run."""

    call = sweep_jobs.Worker.__call__

    def use(programs, default=STUB):
        started = []

        def command(worker, replies):
            return [sys.executable, "-c", WORKER, str(replies)]

        def stand_in(worker, words):
            path = Path(words[-1] if words[0] == "train" else words[1])
            started.append(path.name)
            program = programs.get(len(started), default)
            return call(worker, [program, str(path), f"{path}.yaml"])

        monkeypatch.setattr(sweep_jobs.Worker, "command", command)
        monkeypatch.setattr(sweep_jobs.Worker, "__call__", stand_in)
        return started

    return use


def sweep(line="s.yaml"):
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", *line.split()])
    return ended.value.code


def test_a_grid_with_seeds(tmp_path):
    found = sweeping.read(tmp_path / "s.yaml")
    names = [trial.path.name for trial in found.trials]
    assert len(names) == len(set(names)) == 8
    assert names[0] == "encoding=dataset,encoding.steps=1,policy.hidden=4,seed=0"
    assert names[-1] == "encoding=direct,policy.hidden=4x4,seed=1"
    assert {str(trial.path.parent) for trial in found.trials} == {"runs/s"}
    first, last = found.trials[0].config, found.trials[-1].config
    assert first["encoding"]["steps"] == 1 and first["policy"]["hidden"] == [4]
    assert last["encoding"]["name"] == "direct" and last["seed"] == 1
    assert not (tmp_path / "runs").exists()


def test_a_list_of_overrides(tmp_path):
    (tmp_path / "s.yaml").write_text(
        "preset: hades-cartpole\n"
        "sweep: {list: [{population: 8}, {strategy: {name: SNES, std: 0.5}}]}\n"
    )
    first, second = sweeping.read(tmp_path / "s.yaml", tmp_path / "out").trials
    assert first.path == tmp_path / "out" / "population=8,seed=0"
    assert second.variant == "strategy=SNES,strategy.std=0.5"
    assert second.config["strategy"]["std"] == 0.5
    assert first.config["policy"]["hidden"] == [512, 512]  # as the preset says


def test_lists_that_are_combined(tmp_path):
    (tmp_path / "s.yaml").write_text(
        "sweep: {list: [[{env: CartPole-v1, generations: 3}, {env: Pendulum-v1}],"
        " [{encoding: direct}, {encoding: direct, strategy: EGGROLL}]]}\n"
    )
    found = sweeping.read(tmp_path / "s.yaml").trials
    assert [
        (t.config["env"]["name"], t.config["strategy"]["name"], t.config["generations"])
        for t in found
    ] == [
        ("CartPole-v1", "SNES", 3),
        ("CartPole-v1", "EGGROLL", 3),
        ("Pendulum-v1", "SNES", 100),
        ("Pendulum-v1", "EGGROLL", 100),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("population: 8", "sweep: expected a mapping"),
        ("sweep: {gird: {}}", "unknown key of sweep .* 'gird': .* mean 'grid'"),
        ("sweep: {grid: {population: 8}}", "grid.population: expected a list, got 8"),
        ("sweep: {grid: {popluation: [8]}}", "popluation=8: .*'--population'"),
        ("sweep: {list: [8]}", "list: expected a list of mappings"),
        ("sweep: {list: [[{population: 8}], [8]]}", "or several of them to combine"),
        ("sweep: {seeds: none}", "seeds: expected a number or a list"),
        ("sweep: {seeds: [[1]]}", "seeds: expected a number or a list"),
        ("sweep: {seeds: [1, 1]}", "seed=1 occurs twice"),
        ("sweep: {seeds: [-1]}", "seed: expected an integer from 0"),
        ("popluation: 4\nsweep: {seeds: 1}", "did you mean '--population'"),
    ],
)
def test_mistakes(text, message, tmp_path, capsys):
    (tmp_path / "s.yaml").write_text(text)
    assert sweep() == 2
    (line,) = capsys.readouterr().err.splitlines()
    with pytest.raises(UserError, match=message):
        raise UserError(line)
    assert not (tmp_path / "runs").exists()


def test_every_run_once_and_a_table(stub, tmp_path, capsys):
    started = stub({})
    assert sweep("s.yaml --json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(started) == 8 and found["sweep"] == "runs/s"
    for row in found["variants"]:
        assert (row["runs"], row["done"]) == (2, 2)
        assert row["return_mean"] == 10.5 and row["return_std"] == 0.5
        assert row["return_interval"] == [10.0, 11.0]
    page = (tmp_path / found["report"]).read_text()
    assert "8 runs on CartPole-v1" in page and page.count("10.0 to 11.0") == 4
    assert sweep() == 0
    assert len(started) == 8  # all of them are done
    out = capsys.readouterr().out
    assert "10.5 ± 0.5" in out and "2/2" in out and found["report"] in out


def test_a_failed_run_is_left_behind_and_tried_again(stub, capsys):
    started = stub({2: "raise SystemExit(1)"})
    assert sweep("s.yaml --json") == 1
    captured = capsys.readouterr()
    assert "seed=1 failed with exit code 1" in captured.err
    assert json.loads(captured.out)["variants"][0]["states"] == {
        "0": "done",
        "1": "missing",
    }
    assert len(started) == 8
    assert sweep() == 0
    assert len(started) == 9 and started[-1] == started[1]


@pytest.mark.parametrize(("codes", "expected"), [((2,), 2), ((2, 1), 1), ((-9,), 1)])
def test_failed_runs_are_named_and_the_sweep_goes_on(stub, capsys, codes, expected):
    """A mistake in one run, a run that learned nothing, one that was killed."""
    started = stub({n: f"raise SystemExit({c})" for n, c in enumerate(codes, 2)})
    assert sweep() == expected
    assert len(started) == 8
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{len(codes)} of 8 runs failed: " in last
    assert last.count("seed=") == len(codes) and started[1] in last


BROKEN = {
    "null": '{"generations": 4, "env_steps": null, "seconds": null, '
    '"final_return_mean": null, "best_return_mean": null}',
    "NaN": '{"generations": 4, "final_return_mean": NaN, "seconds": NaN}',
    "empty": '{"generations": 4}',
    "a list": "[]",
    "cut": '{"generations": 4, "fin',
    "nothing": "",
}


@pytest.mark.parametrize("summary", BROKEN.values(), ids=BROKEN)
def test_a_broken_run_does_not_break_its_sweep(summary, stub, tmp_path, capsys):
    """Every later call shows it for what it is, and the other runs as they are."""
    (tmp_path / "s.yaml").write_text("generations: 4\nsweep: {seeds: 2}\n")
    started = stub({})
    found = sweeping.read(tmp_path / "s.yaml")
    assert sweep_jobs.run(found, print) == 0
    (found.trials[1].path / "summary.json").write_text(summary)
    (row,) = sweeping.table(found)
    assert row["return_mean"] == 10.0 or row["done"] == 2
    render_sweep("s", [row], make_console())
    done = [trial.path for trial in found.trials if sweeping.is_finished(trial)]
    page = make_comparison([*map(read_record, done)])
    assert "nan" not in capsys.readouterr().out.lower() and "runs on" in page
    assert sweep_jobs.run(found, print) == 0  # what can be mended is
    assert len(started) in (2, 3)


WAITS = f"""
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit({128 + signal.SIGTERM}))
os.kill(os.getppid(), signal.SIGTERM)
signal.pause()
"""


def test_a_signal_goes_to_the_run_and_ends_the_sweep(stub):
    before = signal.getsignal(signal.SIGTERM)
    started = stub({2: WAITS})
    assert sweep() == 128 + signal.SIGTERM
    assert len(started) == 2
    assert signal.getsignal(signal.SIGTERM) is before
    assert sweep() == 0
    assert len(started) == 9


@pytest.mark.slow
def test_a_run_goes_on_with_other_limits_and_nothing_else(tmp_path, stub, capsys):
    stub({})
    assert sweep() == 0
    (tmp_path / "s.yaml").write_text(SWEEP.replace("generations: 4", "generations: 6"))
    trial, *_ = sweeping.read(tmp_path / "s.yaml").trials
    assert sweeping.state(trial) == "at 4"
    words = sweep_jobs.words_of(trial)
    assert words == ["resume", str(trial.path), "--generations", "6"]
    (tmp_path / "s.yaml").write_text(SWEEP.replace("population: 8", "population: 6"))
    assert sweep() == 2
    assert "contains a run with population 8, not 6" in capsys.readouterr().err


def test_nothing_runs_in_a_dry_run(tmp_path, stub, capsys):
    assert sweep("s.yaml --dry-run") == 0
    assert "0/2" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists() and not stub({})


def test_submitit_is_not_there(monkeypatch, capsys):
    monkeypatch.setattr(sweep_jobs.importlib.util, "find_spec", lambda package: None)
    assert sweep("s.yaml --submit slurm") == 2
    assert "pip install 'neuroevo[slurm]'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("submit", ["", "--submit local"])
def test_real_runs(submit, tmp_path, environment):
    if submit:
        pytest.importorskip("submitit")
    settings = {
        "env": {"name": "CartPole-v1", "max_steps_in_episode": 10},
        "policy": {"hidden": [4]},
        "population": 4,
        "generations": 2,
        "episodes": 1,
        "final_policies": 1,
        "final_episodes": 1,
        "devices": 1,
        "sweep": {"grid": {"encoding": ["dataset", "direct"]}, "seeds": 2},
    }

    def sweep(values):
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(values))
        command = ["-m", "neuroevo", "sweep", "s.yaml", "--json", *submit.split()]
        return subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True
        )

    if submit:
        plan = settings["sweep"] | {"submit": {"timeout_mins": 5}}
        said = sweep(settings | {"sweep": plan})
        assert said.returncode == 2 and len(said.stderr.splitlines()) == 1
        assert "--submit local" in said.stderr and "timeout_mins" in said.stderr
    run = tmp_path / "runs/s/encoding=direct,seed=0"
    for generations in (2, 4):
        said = sweep(settings | {"generations": generations})
        assert said.returncode == 0, said.stderr
        variants = json.loads(said.stdout)["variants"]
        assert [row["done"] for row in variants] == [2, 2]
        assert len(read_metrics(run)) == generations
    assert os.listdir(tmp_path / "runs") == ["s"]
