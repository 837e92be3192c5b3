"""Files: written in one step, as UTF-8 and strict JSON, on local disks alone."""

import ast
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from neuroevo.config.yaml import read_yaml
from neuroevo.errors import UserError, check_system, first_line
from neuroevo.store import npz
from neuroevo.store.directory import RunDirectory, check_new, is_run, read_genome
from neuroevo.store.files import (
    atomic_write,
    check_new_file,
    flatten,
    jsonable,
    read_json,
    to_json,
)
from neuroevo.terminal.streams import unbreakable

ROOT = Path(__file__).parents[1]


# ------------------------------------------------------------------------- in one step


def crash(file):
    file.write(b"half of it")
    raise OSError("no space left on device")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("ü ± 🧬\n", "ü ± 🧬\n".encode()),
        ("\udcfc", b"\xfc"),  # of a file name in another encoding
        (b"\0\xff", b"\0\xff"),
        (lambda file: file.write(b"abc"), b"abc"),
    ],
)
def test_a_file_is_written_whole_or_not_at_all(tmp_path, content, expected):
    path = tmp_path / "ü.txt"
    atomic_write(path, content)
    assert path.read_bytes() == expected
    with pytest.raises(OSError, match="no space left"):
        atomic_write(path, crash)
    assert path.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [path]


def text_without_an_encoding(call: ast.Call) -> bool:
    """Return whether a call reads or writes text as the locale happens to say."""
    name = getattr(call.func, "attr", getattr(call.func, "id", None))
    if any(keyword.arg == "encoding" for keyword in call.keywords):
        return False
    if name == "read_text":
        return not call.args
    if name == "write_text":
        return len(call.args) < 2
    owner = getattr(getattr(call.func, "value", None), "id", None)
    if name != "open" or owner in ("os", "archive"):
        return False
    modes = [a.value for a in call.args if isinstance(a, ast.Constant)]
    return not any("b" in mode for mode in modes if isinstance(mode, str))


@pytest.mark.parametrize("package", ["neuroevo", "genomes", "benchmarks", "examples"])
def test_every_text_file_has_an_encoding(package):
    for file in (ROOT / package).rglob("*.py"):
        assert not [
            f"{file}:{node.lineno}"
            for node in ast.walk(ast.parse(file.read_bytes()))
            if isinstance(node, ast.Call) and text_without_an_encoding(node)
        ]


# ------------------------------------------------------------------------- strict JSON

VALUES = [
    (
        {"a": math.nan, "b": [math.inf, -math.inf, 1.5]},
        {"a": None, "b": [None, None, 1.5]},
    ),
    (np.array([[1.0, np.nan]]), [[1.0, None]]),
    (jnp.float32(jnp.inf), None),
    ((np.int64(3), np.bool_(True), jnp.arange(2)), [3, True, [0, 1]]),
    ({1: Path("a/ü")}, {"1": "a/ü"}),
    ("nan", "nan"),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_json_is_strict(value, expected):
    def refuse(constant):
        raise AssertionError(constant)

    assert jsonable(value) == expected
    assert json.loads(to_json(value), parse_constant=refuse) == expected
    assert to_json(value).isascii()  # wherever it is printed


def test_what_is_no_data_is_no_json():
    with pytest.raises(TypeError):
        to_json({"x": object()})


@pytest.mark.parametrize("content", ["[1]", "{", "[" * 100_000, "1"])
def test_a_file_that_is_no_json_object_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=r"x\.json: "):
        read_json(tmp_path / "x.json")
    assert read_json(tmp_path / "none.json") == {}


def test_leaves_have_dotted_names():
    nested = {"a": 1, "b": {"c": {"d": [2]}, "e": {}}}
    assert dict(flatten(nested)) == {"a": 1, "b.c.d": [2]}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("\n  first\nsecond"), "first"),
        (ValueError(), "ValueError"),
        (ValueError("x" * 999), "x" * 200),
    ],
)
def test_the_first_line_of_an_error_says_something(error, expected):
    assert first_line(error) == expected


# ------------------------------------------------------------------- what is not local

TAKES_A_PATH = {
    "a new run": check_new,
    "an open run": lambda path: RunDirectory(path, None),
    "a run": is_run,
    "a genome": read_genome,
    "arrays": lambda path: npz.read(path, "an array"),
    "a configuration": read_yaml,
    "a new file": lambda path: check_new_file(path / "x.png", (".png",)),
}


@pytest.mark.parametrize(
    "address", ["gs://bucket/x", "s3://bucket/x", "https://x.org/y"]
)
@pytest.mark.parametrize("what", TAKES_A_PATH)
def test_what_is_not_on_a_local_disk_is_refused(what, address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="neuroevo reads and writes local files"):
        TAKES_A_PATH[what](Path(address))
    assert list(tmp_path.iterdir()) == []


def test_a_colon_is_no_scheme(tmp_path):
    assert not is_run(tmp_path / "gs:" / "x")
    check_new(tmp_path / "s3:1")


@pytest.mark.parametrize("system", ["win32", "cygwin", "emscripten"])
def test_other_systems_are_refused_in_one_line(system, monkeypatch):
    monkeypatch.setattr("sys.platform", system)
    with pytest.raises(UserError, match=f"Linux and macOS, not on {system}"):
        check_system()


# ---------------------------------------------------------------------------- streams


def test_a_stream_outlives_its_reader():
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as ours:
        stream = unbreakable(ours)
        print("read ±", file=stream)
        assert os.read(reader, 100) == "read ±\n".encode()
        os.close(reader)
        for _ in range(3):
            print("unread", file=stream, flush=True)


FULL = """
import sys
from neuroevo.cli import main
main.main(sys.argv[1:])
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("command", ["--version", "--help", "list presets"])
def test_a_full_output_is_one_line(command):
    with open("/dev/full", "w") as full:
        said = subprocess.run(
            [sys.executable, "-c", FULL, *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert said.returncode == 1
    assert said.stderr.startswith("neuroevo: the output cannot be written: ")
    assert said.stderr.count("\n") == 1
