"""Loggers: what they have written is read back by the tools' own readers."""

import importlib.util
import json
import struct

import pytest
import toy

import neuroevo
from neuroevo import registry
from neuroevo.cli import main as cli
from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.errors import UserError
from neuroevo.run import recorder
from neuroevo.store.metrics import read_metrics

NAMES = registry.loggers.names()
INSTALLED = [n for n in NAMES if n == "tensorboard" or importlib.util.find_spec(n)]
SETTINGS = {
    "env": toy.walk(limit=3),
    "encoding": toy.offset,
    "policy": {"name": "mlp", "hidden": []},
    "population": 8,
    "policies": 1,
    "episodes": 1,
    "center_every": 2,
    "center_policies": 1,
    "final_policies": 1,
    "final_episodes": 1,
    "devices": 1,
    "checkpoint": {"every_generations": 3},
}
GENERATIONS = list(range(1, 9))


class Killed(Exception):
    """Ends a run as a crash does: after generation 5, whose checkpoint is the third."""


@pytest.fixture(scope="module")
def given():
    """What a logger made in Python was given."""
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory, given):
    """A run of two sessions, the first one killed, with all loggers there are."""
    folder = tmp_path_factory.mktemp("loggers")

    def log(session):
        given.append(session)
        return neuroevo.Logger(given.extend, given.append, {"sessions": len(given)})

    options = SETTINGS | {
        "run_dir": folder / "run",
        "resume": True,
        "log": [*INSTALLED, log],
        "generations": 8,
    }
    if "wandb" in INSTALLED:
        options["wandb"] = {"mode": "offline"}
    if "mlflow" in INSTALLED:
        options["mlflow"] = {"uri": f"sqlite:///{folder}/mlflow.db"}

    def kill(row):
        if row["generation"] == 5:
            raise Killed

    with pytest.raises(Killed):
        neuroevo.evolve(**options, callback=kill)
    neuroevo.evolve(**options)
    return neuroevo.evolve(**options)  # has nothing left to do, and leaves all alone


def read_tensorboard(run):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    events = accumulator.EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert "config/text_summary" in events.Tags()["tensors"]
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def read_mlflow(run):
    from mlflow import MlflowClient

    client = MlflowClient(run.config.loggers["mlflow"].uri)
    experiment = client.get_experiment_by_name("neuroevo").experiment_id
    (found,) = client.search_runs([experiment])
    assert found.info.status == "FINISHED"
    assert found.data.params["population"] == "8"
    return {
        name: [
            (metric.step, metric.value)
            for metric in client.get_metric_history(found.info.run_id, name)
        ]
        for name in found.data.metrics
    }


def read_wandb(run):
    """Of the offline files, which belong to one run: what they would send."""
    from wandb.proto import wandb_internal_pb2

    metrics, ids = {}, set()
    for file in sorted((run.path / "wandb").glob("offline-run-*/*.wandb")):
        for data in wandb_records(file.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(data)
            if record.HasField("run"):
                ids.add(record.run.run_id)
            items = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            for name, value in items.items():
                if not name.startswith("_"):
                    metrics.setdefault(name, []).append((items["_step"], value))
            for item in record.summary.update:
                if item.key == "final_return_mean":
                    value = json.loads(item.value_json)
                    metrics.setdefault(item.key, []).append((0, value))
    assert len(ids) == 1
    return metrics


def wandb_records(data):
    """Yield the records of a log in LevelDB's format, after a header of seven bytes."""
    offset, record, block = 7, b"", 2**15
    while offset + 7 <= len(data):
        if block - offset % block < 7:  # no room for a header: the block was padded
            offset += block - offset % block
            continue
        _, size, kind = struct.unpack_from("<IHB", data, offset)
        record += data[offset + 7 : offset + 7 + size]
        offset += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


READERS = {"tensorboard": read_tensorboard, "wandb": read_wandb, "mlflow": read_mlflow}


@pytest.mark.parametrize("name", NAMES)
def test_every_generation_is_there_once(name, run):
    if name not in INSTALLED:
        pytest.skip(f"{name} is not installed: pip install 'neuroevo[{name}]'")
    metrics = READERS[name](run)
    rows = read_metrics(run.path)
    assert [row["generation"] for row in rows] == GENERATIONS
    for key in rows[0].keys() - {"generation", "seconds"}:
        expected = [
            (row["generation"], row[key]) for row in rows if row[key] is not None
        ]
        assert [step for step, _ in metrics[key]] == [step for step, _ in expected], key
        assert [value for _, value in metrics[key]] == pytest.approx(
            [value for _, value in expected], rel=1e-6
        )
    final = run.summary["final_return_mean"]
    assert metrics["final_return_mean"][-1][1] == pytest.approx(final)
    assert len(metrics["final_return_mean"]) == 1  # in the last session nothing is new


def test_a_logger_made_in_python_is_given_the_same(run, given):
    sessions = [event for event in given if isinstance(event, neuroevo.Session)]
    first, second = (session.generation for session in sessions)  # the third: nothing
    assert first == 0 and 5 <= second < 8
    assert sessions[1].memo == {"sessions": 1}
    assert sessions[0].config["population"] == 8
    rows = [event for event in given if isinstance(event, dict) and "seconds" in event]
    steps = [row["generation"] for row in rows if "generation" in row]
    assert steps == GENERATIONS
    ends = [row["generations"] for row in rows if "final_return_mean" in row]
    assert ends == [8]


def test_a_logger_that_fails_is_left_out_and_catches_up(tmp_path):
    steps, broken = [], [True]

    def log(session):
        def take(rows):
            if broken and rows[0]["generation"] > 1:
                raise OSError("the server is away")
            steps.extend(row["generation"] for row in rows)

        return neuroevo.Logger(take)

    options = SETTINGS | {"run_dir": tmp_path / "run", "log": log, "resume": True}
    with pytest.warns(UserWarning, match="log failed .* the server is away"):
        neuroevo.evolve(**options, generations=3)
    assert steps == [1]
    broken.clear()
    neuroevo.evolve(**options, generations=4)
    assert steps == [1, 2, 3, 4]


@pytest.mark.parametrize("name", [n for n in NAMES if n != "tensorboard"])
def test_a_missing_package_is_reported_with_the_remedy(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    logger = registry.loggers.get(name)()
    with pytest.raises(UserError, match=rf"{name} is not .* 'neuroevo\[{name}\]'"):
        recorder.check({name: logger}, None)


def test_tensorboard_wants_a_run_directory():
    with pytest.raises(UserError, match="tensorboard: expected a run_dir"):
        neuroevo.evolve(**SETTINGS, log="tensorboard")


def test_options_of_loggers():
    layer = Layer("f", {"log": ["mlflow"], "mlflow": {"uri": "here"}})
    found = resolve.resolve([layer])
    assert found.loggers["mlflow"].uri == "here"
    assert found.to_dict()["log"] == ["mlflow"]
    again = resolve.resolve([Layer("again", found.to_dict())])
    assert again == found
    # Options of a logger that is not chosen wait for one that is.
    assert resolve.resolve([layer], ["--log", "tensorboard"]).loggers.keys() == {
        "tensorboard"
    }
    evaluated = resolve.without_settings(layer)
    assert evaluated.values == {}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"log": ["tensorbord"]}, "unknown logger .* did you mean 'tensorboard'"),
        ({"log": {"mlflow": {}}}, "log: expected a list of names, got"),
        ({"mlflow": {"uri": "x"}, "log": ["mlflow"], "wandb.mode": "x"}, ""),
        ({"log": "mlflow", "mlflow": {"url": "x"}}, "mlflow.url.*'--mlflow.uri'"),
        ({"log": "wandb", "wandb": {"mode": "of"}}, "wandb.mode: expected .*offline"),
    ],
)
def test_mistakes(options, message):
    if not message:
        assert resolve.resolve([Layer("f", options)]).loggers
        return
    with pytest.raises(UserError, match=message):
        resolve.resolve([Layer("f", options)])


def test_the_command_line_lists_them(capsys):
    with pytest.raises(SystemExit):
        cli.main(["list", "loggers"])
    out = capsys.readouterr().out
    assert all(name in out for name in NAMES)
