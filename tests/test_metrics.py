"""Metrics: lines that survive, and tables of several runs."""

import csv
import importlib.util
import json

import pytest

import neuroevo
from neuroevo.errors import UserError
from neuroevo.store.metrics import METRICS, append_metrics, read_metrics, trim_metrics

ROWS = [
    {"generation": 1, "fitness_mean": 0.1, "center_return": None},
    {"generation": 2, "fitness_mean": 1 / 3, "failures": 0},
]


@pytest.fixture
def runs(tmp_path):
    """Two run directories, as far as metrics are concerned."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
        text = "".join(json.dumps(row) + "\n" for row in ROWS)
        (tmp_path / name / "metrics.jsonl").write_text(text)
    return [tmp_path / "a", tmp_path / "b"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_metrics_of_several_runs_are_one_table(runs, tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    if suffix == ".csv":
        neuroevo.save_metrics(runs, path)
        with path.open(newline="") as file:
            read = list(csv.DictReader(file))
        numbers = [float(row["fitness_mean"]) for row in read]
        assert [row["failures"] for row in read] == ["", "0", "", "0"]
    else:
        if importlib.util.find_spec("pyarrow") is None:
            with pytest.raises(UserError, match=r"pip install 'neuroevo\[parquet\]'"):
                neuroevo.save_metrics(runs, path)
            pytest.skip("pyarrow is not installed: pip install 'neuroevo[parquet]'")
        from pyarrow import parquet

        neuroevo.save_metrics(runs, path)
        read = parquet.read_table(path).to_pylist()
        numbers = [row["fitness_mean"] for row in read]
        assert [row["failures"] for row in read] == [None, 0, None, 0]
    assert numbers == [0.1, 1 / 3] * 2  # to the last digit
    assert [row["run"] for row in read] == [str(run) for run in runs for _ in ROWS]
    with pytest.raises(UserError, match="already exists"):
        neuroevo.save_metrics(runs, path)


def test_metrics_of_what_is_no_run(tmp_path):
    with pytest.raises(UserError, match="not a run"):
        neuroevo.save_metrics([tmp_path], tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()


# ------------------------------------------------------------------------------- lines


def test_what_is_appended_is_read_and_strict(tmp_path):
    append_metrics(tmp_path, [{"generation": 1, "fitness_mean": float("nan")}])
    append_metrics(
        tmp_path,
        [
            {"generation": 2, "center_return": None},
            {"generation": 3, "center_return": 4.5},
        ],
    )
    lines = (tmp_path / METRICS).read_text("utf-8").splitlines()
    assert lines[0] == '{"generation": 1, "fitness_mean": null}'
    assert ["center_return" in line for line in lines] == [False, False, True]
    rows = read_metrics(tmp_path)
    assert [row["center_return"] for row in rows] == [None, None, 4.5]
    assert [row["generation"] for row in rows] == [1, 2, 3]


@pytest.mark.parametrize(
    "tail", [b'{"generation": 4}', b'{"gen', b"\0\0\0", b"[1]\n", b'{"generation":\n']
)
def test_a_torn_line_is_none(tmp_path, tail):
    append_metrics(tmp_path, [{"generation": g, "x": g} for g in (1, 2, 3)])
    whole = (tmp_path / METRICS).read_bytes()
    (tmp_path / METRICS).write_bytes(whole + tail)
    assert len(read_metrics(tmp_path)) == 3
    assert len(trim_metrics(tmp_path, 3)) == 3
    assert (tmp_path / METRICS).read_bytes() == whole
    assert [row["x"] for row in trim_metrics(tmp_path, 2)] == [1, 2]
    assert read_metrics(tmp_path) == trim_metrics(tmp_path, 2)
