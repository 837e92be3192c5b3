"""What a run survives: kills, signals, damage, full disks, and its own length."""

import contextlib
import errno
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import jax
import psutil
import pytest
import toy
from test_runs import SEARCHES, TINY, assert_same_run, evolve

from neuroevo.config import resolve as config
from neuroevo.errors import UserError
from neuroevo.run import compilation, signals
from neuroevo.run.launch import launch as train
from neuroevo.run.run import Run
from neuroevo.store.checkpoints import Checkpoints, from_host
from neuroevo.store.directory import (
    BEST,
    CENTER,
    CONFIG,
    RunDirectory,
    check_new,
    is_run,
    read_config,
)
from neuroevo.store.metrics import METRICS, read_metrics

TESTS = Path(__file__).parent


def test_every_promise_of_the_documentation_names_a_test():
    text = (TESTS.parent / "docs" / "reliability.md").read_text()
    named = set(re.findall(r"`((?:[a-z0-9]+_){2,}[a-z0-9]+)`", text))
    tests = "".join(file.read_text() for file in TESTS.glob("test_*.py"))
    assert len(named) > 20
    assert named <= set(re.findall(r"def test_(\w+)\(", tests))


# ---------------------------------------------------------------------- exact resume


def test_exact_resume_is_tested_for_every_encoding():
    named = [search["encoding"] for search in SEARCHES.values()]
    named = {each if isinstance(each, str) else each["name"] for each in named}
    assert named == set(config.PARTS["encoding"].names())


# -------------------------------------------------------------------- kills and signals

NEUROEVO = [sys.executable, "-m", "neuroevo"]
TRAIN = [
    *("train", "--env", "toy", "--encoding", "direct", "--policy.hidden", "4"),
    *("--normalization", "running", "--population", "6", "--episodes", "1"),
    *("--center-every", "2", "--center-policies", "1", "--final-policies", "0"),
    *("--devices", "1", "--checkpoint.every-generations", "20"),
]
NO_END = 1_000_000  # generations
STARTING = "starting"  # a moment to kill a process at; or "running", or "saving"


def launch(environment, path, generations):
    """Start the run at `path`, or go on with it."""
    command = ["resume", path] if is_run(path) else [*TRAIN, "--run-dir", path]
    return subprocess.Popen(
        [*NEUROEVO, *map(str, [*command, "--generations", generations])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(environment, path, generations):
    process = launch(environment, path, generations)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (0, ""), err


def wait_until(reached, process):
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if reached():
            return
    raise AssertionError(process.communicate())


def wait_for_generation(process, path, generation):
    def reached():
        time.sleep(0.01)
        rows = read_metrics(path)
        return rows and rows[-1]["generation"] >= generation

    wait_until(reached, process)


def logged(path):
    rows = read_metrics(path)
    return rows[-1]["generation"] if rows else 0


def checkpoints(path):
    """Return the generations of finished checkpoints, and whether one is unfinished."""
    folder = path / "checkpoints"
    names = os.listdir(folder) if folder.exists() else []
    finished = {int(name) for name in names if name.isdecimal()}
    return finished, any("tmp" in name for name in names)


def lines(path, generation):
    """Return what the file of metrics says up to a generation."""
    return (path / METRICS).read_bytes().splitlines()[:generation]


@pytest.mark.slow
def test_a_run_resumes_on_another_number_of_devices(environment, tmp_path):
    """As many processes do, see `test_distributed`."""
    options = "--env.max-steps-in-episode 20 --encoding direct --policy.hidden 4"
    for name, *sessions in (("whole", (9, 1)), ("parts", (3, 1), (6, 2), (9, 1))):
        path = tmp_path / name
        for command, (generations, devices) in zip(
            [["train", *options.split(), "--run-dir"], *[["resume"]] * 2],
            sessions,
            strict=False,
        ):
            limits = ["--generations", generations, "--devices", devices]
            command = [*NEUROEVO, *command, path, *limits]
            subprocess.run([*map(str, command)], env=environment, check=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def kill(environment, path, kind, chance):
    """Kill a session of the run at `path` at a moment of some kind."""
    process = launch(environment, path, NO_END)
    if kind == STARTING:
        time.sleep(chance.uniform(0, 4))
    else:
        wait_for_generation(process, path, logged(path) + chance.randrange(1, 60))
        time.sleep(chance.uniform(0, 0.2))
    if kind == "saving":
        wait_until(lambda: checkpoints(path)[1], process)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def check_survives(environment, path, kinds, signals=()):
    """A run that is killed, interrupted and resumed equals one that was not."""
    run, chance, happened = path / "parts", random.Random(0), Counter()
    newest, before = 0, []
    for kind in kinds:
        kill(environment, run, kind, chance)
        found, unfinished = checkpoints(run)
        assert max(found, default=0) >= newest, "a checkpoint was lost"
        newest = max(found, default=0)
        generations = [row["generation"] for row in read_metrics(run)]
        assert generations == list(range(1, len(generations) + 1))
        assert len(generations) >= newest
        if newest:
            assert lines(run, newest)[: len(before)] == before, "computed once more"
            before = lines(run, newest)
        # A session removes what the one before has left, once it has started.
        happened.update(
            [kind, *["in a checkpoint"] * (unfinished and kind != STARTING)]
        )
        happened["computed once more"] += len(generations) - newest
    for number in signals:
        process = launch(environment, run, NO_END)
        wait_for_generation(process, run, logged(run) + 5)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 128 + number, err
        assert f"neuroevo resume {run}" in err and "Traceback" not in err
        assert max(checkpoints(run)[0]) == logged(run)
    generations = logged(run) + 7
    finish(environment, run, generations)
    finish(environment, path / "whole", generations)
    assert_same_run(path / "whole", run)
    return dict(happened) | {"generations": generations}


def test_five_kills_and_two_signals_lose_nothing(environment, tmp_path):
    kinds = [STARTING, "saving", "running", STARTING, "saving"]
    signals = [signal.SIGINT, signal.SIGTERM]
    happened = check_survives(environment, tmp_path, kinds, signals)
    assert happened["in a checkpoint"]


@pytest.mark.slow
def test_fifty_kills_lose_nothing(environment, tmp_path):
    kinds = random.Random(1).choices([STARTING, "running", "saving"], [1, 2, 3], k=50)
    happened = check_survives(environment, tmp_path, kinds)
    print(happened)
    assert happened["in a checkpoint"] >= 10


BUSY = """
import jax
from neuroevo.cli import main as cli
from neuroevo.run import signals
forever = jax.jit(lambda x: jax.lax.while_loop(lambda x: x > 0, lambda x: x / 2 + 1, x))
with signals.interruptible(cli._leave):
    print("ready", flush=True)
    forever(1.0).block_until_ready()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_even_a_compiled_program_at_once(environment, number):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", BUSY], env=environment, **pipes)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    time.sleep(0.1)
    process.send_signal(number)  # some send it twice: that is one
    assert "once more to stop at once" in process.stderr.readline()
    time.sleep(1.5)
    assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert err == "neuroevo: interrupted\n"


def test_a_second_signal_interrupts_python(tmp_path):
    def send(row):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.1 * signals.ONE_SIGNAL)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as error:

        def twice(row):
            send(row)
            send(row)
            time.sleep(5)

        evolve(None, None, callback=twice)
    assert error.value.args == (signal.SIGTERM,)
    assert signal.getsignal(signal.SIGTERM) is handler


# ------------------------------------------------------------------------ the beginning


def test_what_a_kill_before_the_beginning_left_does_not_stop_train(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    for name in (".lock", "start.npz", ".config.yaml.tmp"):
        (path / name).touch()
    evolve(path, 1)
    assert not (path / "start.npz").exists()
    assert not (path / ".config.yaml.tmp").exists()


def test_a_genome_of_the_user_is_not_taken_for_a_leftover(tmp_path):
    (tmp_path / "start.npz").touch()
    with pytest.raises(UserError, match="expected a new or an empty directory"):
        check_new(tmp_path)


def test_a_run_killed_while_it_compiles_is_resumed(tmp_path, monkeypatch):
    def killed(*args):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Run, "initialize", killed)
        with pytest.raises(SystemExit):
            evolve(tmp_path, 2)
    run = evolve(tmp_path, 2, resume=True)
    assert [row["generation"] for row in run.metrics] == [1, 2]


def test_of_two_new_runs_the_slower_one_does_not_write(tmp_path):
    """It found a free directory, and enters it when the other one has finished."""
    evolve(tmp_path, 1)
    with pytest.raises(UserError, match="holds a run already"):
        RunDirectory(tmp_path, None, new=True)


# ------------------------------------------------------------------------------- damage


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 5 generations with checkpoints 4 and 5, and one that went to 6."""
    path = tmp_path_factory.mktemp("runs")
    run = evolve(path / "run", 5)
    evolve(path / "whole", 6)
    return run, path / "run", path / "whole"


@pytest.fixture
def damaged(finished, tmp_path):
    """Return a copy of the run that may be damaged."""
    run, path, _ = finished
    shutil.copytree(path, tmp_path / "run")
    return run, tmp_path / "run"


def restore(run, path, **changes):
    """Return the generation that is restored, and what is said of it."""
    with RunDirectory(path, run.config.settings.checkpoint) as directory:
        leaves, _, notes = directory.restore(run.state, run.config.to_dict() | changes)
    return int(from_host(leaves, run.state).generation), notes


def largest(path):
    return max(path.rglob("*"), key=lambda file: file.is_file() and file.stat().st_size)


def truncate(step):
    os.truncate(largest(step / "state"), 100)


def flip(step):
    file = largest(step / "state")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
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


@pytest.mark.parametrize("damage", DAMAGES)
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
    for generations in (3, 5, 7):
        evolve(tmp_path, generations, resume=True, **options)
    rows = read_metrics(tmp_path)
    best = max(reversed(rows), key=lambda row: row["center_return"])["generation"]
    assert checkpoints(tmp_path) == ({best, 7}, False)


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
    assert checkpoints(path) == ({4, 5}, False)


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
        (lambda path: edit(path, version=3), "reads version 2: upgrade it"),
        (lambda path: edit(path, version=1), "of neuroevo 0.1, which drew other"),
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
        config.resolve([config.Layer(str(path), written)])
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
        ({"population": 8}, "population is 8 and was 6 in its checkpoint; expected"),
        ({"policy": policy}, r"policy.hidden is \[5\] and was \[4\] in its checkpoint"),
    ):
        with pytest.raises(UserError, match=expected):
            restore(run, path, **changes)
    free = {"generations": 9, "devices": 2, "final_policies": 1, "target": 3.0}
    assert restore(run, path, **free) == (5, [])


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


# ------------------------------------------------------------------------------ storage


def mount(*arguments):
    """Mount a file system, or skip the test."""
    try:
        command = ["mount", *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"cannot mount file systems here: {error}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"cannot mount file systems here: {error.stderr.strip()}")


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", path)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill(disk, left):
    """Fill a disk, but for some bytes."""
    free = shutil.disk_usage(disk).free - left
    with contextlib.suppress(OSError):  # a checkpoint is written meanwhile
        (disk / "ballast").write_bytes(bytes(free))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("left", [0, 16384])  # for metrics, and the checkpoint's begin
def test_a_full_disk_ends_the_run_in_one_line(finished, tmp_path, left, capfd):
    with small_disk(tmp_path / "disk", "4m") as disk:

        def callback(row):
            if row["generation"] == 4:
                fill(disk, left)

        with pytest.raises(UserError) as error:
            evolve(disk / "run", 6, callback=callback)
        found = max(checkpoints(disk / "run")[0])
        assert found in (3, 4)  # that of 4 may still have been on its way
        assert str(error.value) == (
            f"{disk}/run: cannot be written: No space left on device; its newest "
            f"checkpoint, of generation {found}, is safe; to go on from there: "
            f"neuroevo resume {disk}/run"
        )
        assert "Traceback" not in capfd.readouterr().err
        with pytest.raises(UserError, match="No space left on device"):
            evolve(disk / "run", 6, resume=True)
        (disk / "ballast").unlink()
        evolve(disk / "run", 6, resume=True)
        assert_same_run(finished[2], disk / "run")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_becomes_read_only_ends_the_run_in_one_line(finished, tmp_path):
    path, read_only = tmp_path / "run", tmp_path / "read-only"
    read_only.mkdir()

    def callback(row):
        if row["generation"] == 4:
            mount("--bind", path, read_only)
            mount("-o", "remount,ro,bind", read_only)
            mount("--bind", read_only, path)

    try:
        with pytest.raises(UserError, match="Read-only file system; its newest check"):
            evolve(path, 6, callback=callback)
        with pytest.raises(UserError, match="Read-only file system"):
            evolve(path, 6, resume=True)
    finally:
        for mounted in (path, read_only):
            subprocess.run(["umount", "-l", mounted], check=False)
    evolve(path, 6, resume=True)
    assert_same_run(finished[2], path)


def test_a_directory_that_disappears_ends_the_run_in_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be written: No such file or directory"):
        evolve(tmp_path / "run", 6, callback=lambda _: shutil.rmtree(tmp_path / "run"))


@pytest.mark.slow
def test_a_process_that_may_not_write_more_says_so(environment, tmp_path):
    """Limits on the size of files, as clusters have them."""
    limited = ["prlimit", "--fsize=20000", *NEUROEVO, *TRAIN, "--run-dir", tmp_path]
    if shutil.which("prlimit") is None:
        pytest.skip("there is no prlimit here")
    ended = subprocess.run(
        [*limited, "--generations", str(NO_END), "--compilation-cache", "None"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"neuroevo: {tmp_path}: cannot be written: File too large; ")
    assert "Traceback" not in ended.stderr
    finish(environment, tmp_path, max(checkpoints(tmp_path)[0]) + 5)


# ---------------------------------------------------------------------------- long runs


def measure(process, path):
    """Return what a running process takes, or None once it has ended."""
    with contextlib.suppress(psutil.Error, FileNotFoundError):
        return {
            "seconds": time.monotonic(),
            "generation": logged_last(path),
            "memory": process.memory_info().rss,
            "mappings": len(process.memory_maps(grouped=False)),
            "files": process.num_fds(),
            "threads": process.num_threads(),
            "checkpoints": len(os.listdir(path / "checkpoints")),
        }


def logged_last(path):
    """Return the last generation of a long file of metrics."""
    with (path / METRICS).open("rb") as file:
        file.seek(-min(os.path.getsize(file.name), 1000), os.SEEK_END)
        *_, last = [0, *(json.loads(line) for line in file.readlines()[1:-1])]
    return last and last["generation"]


@pytest.mark.slow
def test_twenty_thousand_generations_take_no_more_than_two_thousand(
    environment, tmp_path
):
    generations, path = 20_000, tmp_path / "run"
    command = [
        *(*NEUROEVO, "train", "--policy.hidden", "8", "--encoding.steps", "8"),
        *("--population", "8", "--episodes", "1", "--center-policies", "2"),
        *("--final-policies", "0", "--checkpoint.every-generations", "100"),
        *("--generations", str(generations), "--run-dir", str(path)),
    ]
    with (tmp_path / "stderr").open("w") as stderr:
        process = psutil.Popen(command, env=environment, stderr=stderr)
        samples = []
        while process.poll() is None:
            samples.append(measure(process, path))
            time.sleep(0.5)
    assert process.returncode == 0
    samples = [each for each in samples if each and each["generation"] > 2000]
    assert samples[-1]["generation"] > 0.9 * generations
    first, last = samples[0], samples[-1]
    grown = {key: last[key] - first[key] for key in first}
    silent = max(b["seconds"] - a["seconds"] for a, b in changes(samples))
    size = os.path.getsize(path / METRICS)
    print(first, last, f"{grown=}", f"{silent=:.1f} s", f"{size=} bytes", sep="\n")
    assert grown["memory"] < 8 * 2**20
    assert grown["mappings"] < 100 and grown["files"] < 20 and grown["threads"] < 10
    assert max(each["checkpoints"] for each in samples) <= 3 + 1 + 2
    assert silent < 5  # seconds without a new generation to be seen
    assert size < 200 * generations


def changes(samples):
    """Return pairs of samples at which a new generation was seen."""
    new = [next(same) for _, same in itertools.groupby(samples, _generation)]
    return itertools.pairwise(new)


def _generation(sample):
    return sample["generation"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux only")
def test_programs_are_dropped_before_they_exhaust_the_mappings(monkeypatch):
    cleared = []
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    compilation.make_room(1.0)
    assert not cleared
    compilation.make_room(0.0)
    assert cleared


@pytest.mark.slow
def test_a_hundred_runs_in_one_process(environment):
    program = (
        "import toy, neuroevo\n"
        f"options = { ({k: v for k, v in TINY.items() if k != 'env'})!r}\n"
        "for seed in range(100):\n"
        "    run = neuroevo.evolve(env=toy.walk(), encoding='direct', generations=1,\n"
        "                          seed=seed, **options)\n"
        "print(run.generation)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (0, "1\n"), ended.stderr


def test_metrics_need_not_be_kept_in_memory(tmp_path):
    layer = TINY | {"encoding": "direct", "generations": 2}
    del layer["env"]
    walk = SimpleNamespace(build=toy.walk, name="walk")
    resolved = config.resolve([config.Layer("", layer)], custom={"env": walk})
    run = train(resolved, tmp_path / "run", keep_metrics=False)
    assert run.metrics == [] and run.best_generation == 1
