"""Metrics: lines that survive, and tables of several runs."""

import csv
import importlib.util
import json

import pytest

import neuroevo
from neuroevo.errors import UserError

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
    with pytest.raises(UserError, match="exists already"):
        neuroevo.save_metrics(runs, path)


def test_metrics_of_what_is_no_run(tmp_path):
    with pytest.raises(UserError, match="not a run"):
        neuroevo.save_metrics([tmp_path], tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()
