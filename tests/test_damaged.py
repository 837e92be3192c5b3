"""Files that are damaged, or do not say one thing: one line for each."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from stored import evolve
from test_mistakes import assert_one_line

from neuroevo.errors import UserError
from neuroevo.store import archive_file
from neuroevo.store.files import atomic_write
from neuroevo.studies.lessons import as_labeled


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / "run"
    evolve(path, 2)
    return path


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a run of two generations, to be damaged."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def test_resume_repairs_a_summary(run, run_cli):
    (run / "summary.json").write_text("{")
    assert run_cli("resume run --generations 3 --quiet").code == 0
    assert json.loads((run / "summary.json").read_text())["generations"] == 3


@pytest.mark.parametrize(
    "command", ["plot run --out a.png", "compare run", "resume run --generations 3"]
)
@pytest.mark.parametrize("name", ["metrics.jsonl", "summary.json"])
def test_a_directory_in_the_place_of_a_file(run, run_cli, command, name):
    (run / name).unlink()
    (run / name).mkdir()
    said = run_cli(command)
    assert "Traceback" not in said.err
    if name == "metrics.jsonl" or "compare" in command:
        assert_one_line(said, name, "directory")


@pytest.mark.parametrize("command", ["plot run --out a.png", "resume run"])
def test_keys_of_a_configuration_are_words(run, run_cli, command):
    with (run / "config.yaml").open("a") as file:
        file.write("1: 2\n")
    assert_one_line(
        run_cli(command), "config.yaml: expected option names as keys, got 1"
    )


def read_archive(path, grid, arrays):
    """Return an archive of one elite, written with another grid or arrays."""
    grid = {
        "names": ["x"],
        "low": [0.0],
        "high": [1.0],
        "cells": [2],
        "offset": 0.0,
    } | grid
    meta = {"format": archive_file.FORMAT, "version": 1, "grid": grid}
    content = {
        "fitness": np.zeros(1),
        "descriptors": np.zeros((1, 1)),
        "places": np.zeros((1, 1), int),
        "genomes/a": np.zeros((1, 2)),
    }
    np.savez(path, meta=np.array(json.dumps(meta)), **(content | arrays))
    return archive_file.load(path)


def test_an_archive_is_read(tmp_path):
    assert read_archive(tmp_path / "archive.npz", {}, {}).grid.cells == (2,)


@pytest.mark.parametrize(
    "grid, arrays",
    [
        ({"cells": [2**46]}, {}),
        ({"cells": ["2"]}, {}),
        ({"cells": [0]}, {}),
        ({"names": [1]}, {}),
        ({"low": [1.0], "high": [0.0]}, {}),
        ({}, {"fitness": np.array(["x"])}),
        ({}, {"places": np.zeros((1, 1))}),
        ({}, {"descriptors": np.array([[True]])}),
    ],
)
def test_an_archive_of_other_things(tmp_path, grid, arrays):
    with pytest.raises(UserError, match="its arrays do not fit"):
        read_archive(tmp_path / "archive.npz", grid, arrays)


def test_a_file_may_have_a_long_name(tmp_path):
    path = tmp_path / ("x" * 252)
    atomic_write(path, "text")
    assert path.read_text() == "text"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


# ----------------------------------------------------------- rows without --env


def write_rows(**arrays):
    rows = {"observations": np.arange(8.0).reshape(4, 2), "actions": np.arange(4) % 2}
    np.savez("rows.npz", **(rows | arrays))


@pytest.mark.parametrize(
    "arrays, expected",
    [
        ({"action_logits": np.zeros(4)}, "got action_logits of shape () each"),
        (
            {"action_logits": np.zeros((4, 2, 2))},
            "got action_logits of shape (2, 2) each",
        ),
        ({"actions": np.zeros((4, 2), int)}, "got actions of shape (2,) each"),
        ({"weights": np.arange(4.0)}, "expected rows of equal weights"),
        ({"observations": np.full((4, 2), 1e300)}, "4 rows with NaN or infinity"),
        ({"actions": np.arange(4) - 1}, "the lowest -1"),
    ],
)
def test_rows_that_are_no_labeled_data(run_cli, arrays, expected):
    write_rows(**arrays)
    said = run_cli("distill rows.npz --generations 1 --population 1")
    assert_one_line(said, "rows.npz", expected)
    assert "/neuroevo-" not in said.err  # the folder of temporary files


def test_choices_may_be_written_as_booleans(run_cli, tmp_path):
    write_rows(actions=np.arange(4) % 2 == 1)
    as_labeled(tmp_path / "rows.npz", tmp_path / "data.npz")
    with np.load(tmp_path / "data.npz") as data:
        assert data["labels"].tolist() == [0, 1, 0, 1]
        assert data["labels"].dtype.kind == "i"


# ------------------------------------------------------------------ commands


@pytest.mark.parametrize(
    "line, expected",
    [
        ("train --config a.yaml", "encoding.size: expected one value, got two"),
        ("train --config b.yaml", "env.name: expected one value, got two"),
        ("merge x.npz y.npz --out m.pdf", ".npz"),
        ("collect zoo:cartpole-d2 --out m.pdf", ".npz"),
        ("distill zoo:cartpole-d2 --out m.pdf", ".npz"),
        ("distill zoo:cartpole-d2 --log wandbb", "wandb"),
        ("sweep s.yaml --out s", "expected seed or seeds, got both"),
        ("train --env gym:cartpole-v1", "did you mean 'gym:CartPole-v1'?"),
        ("train --teacher zoo:cartpole-d2", "learns from returns alone"),
        ("train --env gym:CartPole-v1 --env.timeout inf", "env.timeout: expected"),
        ("train --env UmbrellaChain-bsuite --env.n-distractor -3", "at least 0"),
    ],
)
def test_what_does_not_say_one_thing(run_cli, line, expected):
    said = run_cli(
        line,
        **{
            "a.yaml": "encoding.size: 2\nencoding: {name: dataset, size: 3}\n",
            "b.yaml": "env.name: CartPole-v1\nenv: Acrobot-v1\n",
            "s.yaml": "env: CartPole-v1\nsweep: {grid: {seed: [3]}, seeds: 2}\n",
        },
    )
    assert_one_line(said, expected)


def test_a_slow_film(run_cli):
    line = "render zoo:cartpole-d2 --out a.gif --fps 0.001 --env.max-steps-in-episode 3"
    assert run_cli(line).code == 0


@pytest.mark.parametrize("arguments", ["list envs", "--help"])
def test_nobody_listens(arguments):
    words = f"{sys.executable} -m neuroevo {arguments} >&-"
    ended = subprocess.run(["sh", "-c", words], capture_output=True, text=True)
    assert ended.returncode == 0 and "Traceback" not in ended.stderr


def test_doctor_without_the_accelerator(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    words = [sys.executable, "-m", "neuroevo", "doctor"]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert "Traceback" not in ended.stderr and ended.returncode == 2
