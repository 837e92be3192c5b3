"""What a run survives: kills, signals, damage, full disks, and its own length."""

import contextlib
import itertools
import json
import os
import random
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
from stored import TINY, assert_same_run, evolve

from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.core import pace
from neuroevo.errors import UserError
from neuroevo.run import compilation, signals
from neuroevo.run import launch as run_launch
from neuroevo.run.launch import launch as train
from neuroevo.store.directory import is_run
from neuroevo.store.metrics import METRICS, read_metrics

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
    process.kill()  # one without an end would keep the test waiting for it
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


@pytest.mark.slow
def test_three_kills_and_two_signals_lose_nothing(environment, tmp_path):
    kinds = ["saving", STARTING, "running"]
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
from neuroevo.cli import launch
from neuroevo.run import signals
forever = jax.jit(lambda x: jax.lax.while_loop(lambda x: x > 0, lambda x: x / 2 + 1, x))
with signals.interruptible(launch._leave):
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
    assert "interrupt again to stop immediately" in process.stderr.readline()
    time.sleep(1.5)
    assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert err == "neuroevo: interrupted\n"


def test_a_signal_ends_the_final_evaluation_and_a_resume_repeats_it(
    tmp_path, monkeypatch
):
    options = {"final_policies": 2, "final_episodes": 2}
    whole = evolve(tmp_path / "whole", 2, **options)

    @contextlib.contextmanager
    def interruptible(leave):
        yield lambda: signal.SIGTERM if logged(tmp_path / "parts") == 2 else None

    with monkeypatch.context() as patch:
        patch.setattr(run_launch, "interruptible", interruptible)
        patch.setattr(pace, "CALL_SECONDS", 0.0)  # a call plays nothing
        with pytest.raises(signals.Interrupted) as ended:
            evolve(tmp_path / "parts", 2, **options)
    assert ended.value.run.signal == signal.SIGTERM
    assert not (tmp_path / "parts" / "summary.json").exists()
    run = evolve(tmp_path / "parts", 2, resume=True, **options)
    for key in ("final_return_mean", "best_return_mean", "stopped_by"):
        assert run.summary[key] == whole.summary[key]
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


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


# ------------------------------------------------------------------------------ storage


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 6 generations that nothing happened to."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    evolve(path, 6)
    return path


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
@pytest.mark.parametrize(
    "left", [pytest.param(0, marks=pytest.mark.slow), 16384]
)  # for metrics, and the checkpoint's begin
def test_a_full_disk_ends_the_run_in_one_line(whole, tmp_path, left, capfd):
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
            f"checkpoint, of generation {found}, is safe; to continue from there: "
            f"neuroevo resume {disk}/run"
        )
        assert "Traceback" not in capfd.readouterr().err
        with pytest.raises(UserError, match="No space left on device"):
            evolve(disk / "run", 6, resume=True)
        (disk / "ballast").unlink()
        evolve(disk / "run", 6, resume=True)
        assert_same_run(whole, disk / "run")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_becomes_read_only_ends_the_run_in_one_line(whole, tmp_path):
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
    assert_same_run(whole, path)


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


@pytest.mark.slow
def test_metrics_need_not_be_kept_in_memory(tmp_path):
    layer = TINY | {"encoding": "direct", "generations": 2}
    del layer["env"]
    walk = SimpleNamespace(build=toy.walk, name="walk")
    resolved = resolve.resolve([Layer("", layer)], custom={"env": walk})
    run = train(resolved, tmp_path / "run", keep_metrics=False)
    assert run.metrics == [] and run.best_generation == 1
