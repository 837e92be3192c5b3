"""``neuroevo tune`` measures batch sizes and names the fastest."""

import dataclasses
import json
import signal
import types

import pytest
import toy

from neuroevo.config.custom import parts_in
from neuroevo.config.layers import Layer
from neuroevo.config.resolve import resolve
from neuroevo.errors import OutOfMemory
from neuroevo.run import tuning
from neuroevo.run.run import Run
from neuroevo.strategies.gradients import Gradients
from neuroevo.studies import tune

OPTIONS = {
    "env": toy.walk(limit=3),
    "encoding": toy.offset,
    "population": 6,
    "policies": 1,
    "episodes": 1,
    "devices": 1,
}


def config(**changes):
    custom, options = parts_in(OPTIONS | changes)
    return resolve([Layer("test", options)], custom=custom)


def test_the_fastest_of_the_measured_sizes_is_returned(monkeypatch):
    seconds = {(6, 2): 3.0, (3, 2): 2.0, (3, 1): 1.0}
    monkeypatch.setattr(
        tune,
        "_measure",
        lambda _, sizes, count: {
            "seconds": seconds.get(sizes, 9.0),
            "env_steps_per_second": count,
        },
    )
    monkeypatch.setattr(
        tune.tuning, "resolve_auto", lambda *_: config(chunk=6, decode_chunk=2)
    )
    shown = []
    found = tune.tune(config(), 5, shown.append)
    assert (found["chunk"], found["decode_chunk"]) == (3, 1)
    assert shown == found["measured"]
    # No chunk is larger than the population, and no decode chunk larger than the chunk.
    assert [(m["chunk"], m["decode_chunk"]) for m in shown] == [(6, 2), (3, 2), (3, 1)]


def test_what_does_not_fit_into_memory_is_left_out(monkeypatch):
    def measure(_, sizes, count):
        if sizes.chunk > 2:
            raise OutOfMemory("the run needs more memory")
        return {"seconds": 1.0 / sizes.chunk, "env_steps_per_second": count}

    def automatic(chunk):
        sizes = {"chunk": chunk, "decode_chunk": 1}
        monkeypatch.setattr(tune.tuning, "resolve_auto", lambda *_: config(**sizes))
        return tune.tune(config())

    monkeypatch.setattr(tune, "_measure", measure)
    found = automatic(2)
    assert [m["chunk"] for m in found["measured"]] == [2, 1, 2]
    assert found["chunk"] == 2
    with pytest.raises(OutOfMemory):
        automatic(4)


def test_a_size_that_is_given_stays(run_cli):
    line = "tune --population 4 --policies 1 --episodes 1 --encoding.steps 1 --timed 1"
    line += " --env.max-steps-in-episode 3 --chunk 4 --decode-chunk 4 --devices 1"
    said = run_cli(f"{line} --json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert (found["chunk"], found["decode_chunk"]) == (4, 4)
    (row,) = found["measured"]
    assert row["seconds"] > 0 and row["env_steps_per_second"] > 0
    assert "--chunk 4 --decode-chunk 4" in said.err


def test_a_signal_ends_the_measurement(monkeypatch):
    interrupted = types.SimpleNamespace(signal=signal.SIGTERM, metrics=[])
    monkeypatch.setattr(tune, "launch", lambda config: interrupted)
    with pytest.raises(KeyboardInterrupt) as error:
        tune.tune(config(), 1)
    assert error.value.args == (signal.SIGTERM,)


@pytest.mark.parametrize(
    ("population", "episodes", "chunk"),
    [(25, 1, 33), (56, 1, 32), (64, 1, 36), (64, 4, 8), (250, 1, 33)],
)
def test_physics_plays_in_chunks_of_equal_size(
    monkeypatch, population, episodes, chunk
):
    monkeypatch.setattr(tuning, "is_slow", lambda config: True)
    sizes = {"population": population, "episodes": episodes, "policies": 1}
    run = Run(config(**sizes, center_policies=8, devices=1))
    assert run.config.settings.chunk == chunk


@pytest.mark.parametrize(
    ("hidden", "much"), [((64, 64), False), ((8, 512), True), ((), False)]
)
def test_wide_networks_train_much(hidden, much):
    assert tuning.trains_much(config(policy={"name": "mlp", "hidden": hidden})) == much


def test_gradients_through_training_train_much():
    found = config()
    parts = dict(found.parts) | {"strategy": Gradients()}
    assert tuning.trains_much(dataclasses.replace(found, parts=parts))
