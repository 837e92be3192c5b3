"""Checkpoints: whatever is damaged, the newest intact one is found."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
from stored import assert_same_run, evolve, rewind

from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.errors import UserError
from neuroevo.store.checkpoints import Checkpoints, from_host
from neuroevo.store.directory import BEST, CENTER, CONFIG, RunDirectory, read_config
from neuroevo.store.metrics import METRICS, read_metrics


def kept(path):
    """Return the generations of a run's checkpoints."""
    return {int(name) for name in os.listdir(path / "checkpoints") if name.isdecimal()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 5 generations with checkpoints 4 and 5, and one that went to 6."""
    path = tmp_path_factory.mktemp("runs")
    checkpoint = {"every_generations": 1, "keep": 3}
    run = evolve(path / "whole", 6, checkpoint=checkpoint)
    rewind(path / "whole", path / "run", 5)
    return run, path / "run", path / "whole"


@pytest.fixture
def damaged(finished, tmp_path):
    """Return a copy of the run that may be damaged."""
    run, path, _ = finished
    shutil.copytree(path, tmp_path / "run")
    return run, tmp_path / "run"


def restore(run, path, defaults=None, **changes):
    """Return the generation that is restored, and what is said of it."""
    with RunDirectory(path, run.config.settings.checkpoint) as directory:
        leaves, _, notes = directory.restore(
            lambda counters: run.state, run.config.to_dict() | changes, defaults or {}
        )
    return int(from_host(leaves, run.state).generation), notes


def largest(path):
    return max(path.rglob("*"), key=lambda file: file.is_file() and file.stat().st_size)


def truncate(step):
    os.truncate(largest(step / "state"), 100)


def flip(step):
    file = largest(step / "state")
    content = bytearray(file.read_bytes())
    for at in range(0, len(content), 64):  # some bytes mean nothing
        content[at] ^= 1
    file.write_bytes(content)


def swap(step):
    """Put the state of another generation in place of this one's."""
    shutil.rmtree(step / "state")
    shutil.copytree(step.with_name("4") / "state", step / "state")


def forge(step):
    (file,) = (step / "progress").glob("metadata")
    file.write_text("[" * 100_000)


DAMAGES = {
    "state-truncated": truncate,
    "state-flipped": flip,
    "state-of-another-generation": swap,
    "state-gone": lambda step: shutil.rmtree(step / "state"),
    "progress-gone": lambda step: shutil.rmtree(step / "progress"),
    "progress-forged": forge,
    "empty": lambda step: [shutil.rmtree(step), step.mkdir()],
}


QUICK = {"state-flipped", "progress-gone", "empty"}


@pytest.mark.parametrize(
    "damage",
    [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in DAMAGES],
)
def test_the_newest_intact_checkpoint_is_restored(damaged, damage):
    run, path = damaged
    assert restore(run, path) == (5, [])
    DAMAGES[damage](path / "checkpoints" / "5")
    content = sorted(file.name for file in (path / "checkpoints" / "5").rglob("*"))
    generation, (note,) = restore(run, path)
    assert generation == 4
    assert note.startswith("checkpoint 5 cannot be read (")
    assert "moved aside" in note and "\n" not in note and len(note) < 250
    aside = path / "checkpoints" / "5.damaged"
    assert sorted(file.name for file in aside.rglob("*")) == content
    assert restore(run, path) == (4, [])


def test_a_resumed_run_keeps_no_more_checkpoints_and_the_best_one(tmp_path):
    options = {"center_every": 1, "checkpoint": {"every_generations": 1, "keep": 1}}
    for generations in (3, 5):
        evolve(tmp_path, generations, resume=True, **options)
    rows = read_metrics(tmp_path)
    best = max(reversed(rows), key=lambda row: row["center_return"])["generation"]
    assert kept(tmp_path) == {best, 5}


def test_resume_walks_back_over_damage(finished, damaged):
    _, path = damaged
    truncate(path / "checkpoints" / "5")
    shutil.rmtree(path / "checkpoints" / "4" / "metrics")
    (path / "checkpoints" / "7.orbax-checkpoint-tmp").mkdir()
    with (path / METRICS).open("a") as file:
        file.write('{"generation": 6, "env_st')
    with pytest.warns(UserWarning, match="checkpoint 5 cannot be read"):
        evolve(path, 6, resume=True)
    assert_same_run(finished[2], path)


def test_a_checkpoint_that_cannot_be_opened_now_is_not_given_up(damaged, monkeypatch):
    def refused(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    run, path = damaged
    monkeypatch.setattr(Checkpoints, "_read", refused)
    with pytest.raises(UserError, match="its checkpoint 5 cannot be read: .*denied"):
        restore(run, path)
    assert kept(path) == {4, 5}


def test_what_others_put_there_is_left_alone(damaged):
    run, path = damaged
    foreign = ("notes.txt", "5.bak", "best", "-1", "٣")
    for name in foreign:
        (path / "checkpoints" / name).mkdir()
        (path / name).touch()
    assert restore(run, path) == (5, [])
    assert {*foreign} <= {*os.listdir(path / "checkpoints")} & {*os.listdir(path)}


def edit(path, **changes):
    """Change what a checkpoint says of itself, as only another version would."""
    file = path / "checkpoints" / "5" / "progress" / "metadata"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            lambda path: [truncate(path / "checkpoints" / s) for s in "45"],
            "none of its 2 checkpoints can be read",
        ),
        (lambda path: edit(path, version=3), "reads version 2: upgrade neuroevo"),
        (lambda path: edit(path, version=1), "from neuroevo 0.1, which used other"),
        (lambda path: shutil.rmtree(path / "checkpoints"), "checkpoints are gone"),
        (lambda path: (path / CONFIG).unlink(), "not a run; expected"),
        (lambda path: (path / CONFIG).write_text("a: [\n"), "not a readable YAML"),
        (lambda path: (path / CONFIG).write_text("sead: 1"), "did you mean"),
    ],
)
def test_what_cannot_be_resumed_is_refused_and_kept(damaged, damage, expected):
    run, path = damaged
    damage(path)
    before = contents(path)
    with pytest.raises(UserError) as error:
        written = {k: v for k, v in read_config(path).items() if k != "env"}
        resolve.resolve([Layer(str(path), written)])
        restore(run, path)
    assert expected in str(error.value) and "\n" not in str(error.value)
    assert contents(path) == before


def contents(path):
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file): file.read_bytes() for file in files}


def test_a_run_is_continued_as_what_it_was(damaged):
    run, path = damaged
    policy = run.config.to_dict()["policy"] | {"hidden": [5]}
    for changes, expected in (
        ({"population": 8}, "population is 8 but was 6 in its checkpoint; expected"),
        ({"policy": policy}, r"policy.hidden is \[5\] but was \[4\] in its checkpoint"),
    ):
        with pytest.raises(UserError, match=expected):
            restore(run, path, **changes)
    free = {"generations": 9, "devices": 2, "final_policies": 1, "target": 3.0}
    assert restore(run, path, **free) == (5, [])


def test_a_checkpoint_from_before_an_option_existed(damaged):
    run, path = damaged
    newer = {"policy": run.config.to_dict()["policy"] | {"newer": 1}}
    assert restore(run, path, defaults={"policy": {"newer": 1}}, **newer) == (5, [])
    with pytest.raises(UserError, match="policy.newer is 1 but was 2 in its checkp"):
        restore(run, path, defaults={"policy": {"newer": 2}}, **newer)
    assert run.config.defaults()["policy"]["activation"] == "tanh"


def test_other_switches_of_jax_are_no_damage(damaged):
    """As JAX_ENABLE_X64 would have it, had it not been fixed."""
    run, path = damaged
    wide = run.state._replace(best_return=np.float64(run.state.best_return))
    with RunDirectory(path, run.config.settings.checkpoint) as directory:
        with pytest.raises(UserError, match="best_return of its state is float64"):
            directory.restore(lambda counters: wide, run.config.to_dict(), {})
    assert kept(path) == {4, 5}


def test_a_run_without_a_checkpoint_starts_over(finished, damaged):
    _, path = damaged
    shutil.rmtree(path / "checkpoints")
    for name in (CENTER, BEST):  # written after the first checkpoint
        (path / name).unlink()
    evolve(path, 6, resume=True)
    assert_same_run(finished[2], path)


def test_metrics_are_mended(finished, damaged):
    run, path = damaged
    rows = (path / METRICS).read_bytes().splitlines(keepends=True)
    later = rows[-1].replace(b'"generation": 5', b'"generation": 6')
    for tail in (
        later,
        later[:-1],
        later[:9],
        b"\0\0\0",
        b"[1]\n",
        b'{"generation":\n',
    ):
        (path / METRICS).write_bytes(b"".join(rows) + tail)
        with RunDirectory(path, None) as directory:
            assert len(directory.trim_metrics(5)) == 5
        assert (path / METRICS).read_bytes() == b"".join(rows)
    (path / METRICS).write_bytes(b"".join(rows[3:]))
    with pytest.warns(UserWarning, match="metrics.jsonl lacks 3 generations"):
        evolve(path, 6, resume=True)
