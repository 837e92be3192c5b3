"""Runs of several processes: the results of one, and one end for all of them."""

import json
import shlex
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import NamedTuple

import jax
import pytest
from stored import assert_same_run
from test_cli import SETTINGS
from test_survival import wait_for_generation

from neuroevo import devices
from neuroevo import multihost as processes
from neuroevo.cli import main as cli
from neuroevo.errors import UserError
from neuroevo.store.directory import SUMMARY
from neuroevo.store.metrics import read_metrics

NEUROEVO = [sys.executable, "-m", "neuroevo"]
CARTPOLE = ["--env.max-steps-in-episode", "30"]
SLOW = ["--env", "slow-toy"]  # a generation takes several calls
HOST = ["--env", "gym:CartPole-v1", "--env.max-steps", "30", "--env.workers", "1"]
TRAIN = [
    *("train", "--devices", "1", "--policy.hidden", "4"),
    *("--encoding.steps", "3", "--population", "6", "--center-every", "2"),
    *("--final-policies", "0", "--checkpoint.every-generations", "20"),
]
NO_END = "1000000000"  # generations


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def start(environment, tmp_path):
    """Start processes that run a command together; none of them outlives the test."""
    started = []

    def start(arguments, count, command=NEUROEVO, **variables):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        together = f"--distributed.coordinator {address} --distributed.processes"
        for process in range(count):
            options = f"{together} {count} --distributed.process {process}"
            started.append(
                subprocess.Popen(
                    [*command, *map(str, arguments), *(options.split() * (count > 1))],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=environment | variables,
                    cwd=tmp_path,
                )
            )
        return started[-count:]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def finish(processes) -> list[Said]:
    """Wait for processes, and return what they said."""
    said = [process.communicate(timeout=240) for process in processes]
    return [
        Said(process.returncode, *texts)
        for process, texts in zip(processes, said, strict=True)
    ]


def returns(path):
    summary = json.loads((path / SUMMARY).read_text())
    return {key: value for key, value in summary.items() if "return" in key}


def check_same_as_one(
    start, path, processes, devices, *options, env=CARTPOLE, generations=25
):
    options = [*env, *options, "--generations", generations, "--run-dir"]
    one = [*TRAIN, "--devices", processes * devices, *options, path / "one"]
    several = [*TRAIN, "--devices", devices, *options, path / "several"]
    (alone,) = finish(start(one, 1))
    assert alone.code == 0, alone.err
    first, *others = finish(start(several, processes))
    assert first.code == 0, first.err
    count = f"generation {generations}/{generations}"
    assert count in first.err and first.out == ""
    assert others == [Said(0, "", "")] * (processes - 1)
    assert_same_run(path / "one", path / "several")
    assert returns(path / "one") == returns(path / "several")
    files = [
        {file.name for file in (path / run).iterdir()} for run in ("one", "several")
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "env",
    [pytest.param(CARTPOLE, marks=pytest.mark.slow), SLOW],
    ids=["in one call", "in several calls"],
)
def test_two_processes_do_what_one_does(start, tmp_path, env):
    check_same_as_one(start, tmp_path, 2, 1, env=env)


@pytest.mark.slow
def test_processes_share_the_episodes_outside_of_jax(start, tmp_path):
    """Each process steps its share in one process of environments of its own."""
    options = ["--population", 5, "--policies", 1, "--chunk", 2, "--final-policies", 3]
    check_same_as_one(start, tmp_path, 2, 1, *options, env=HOST, generations=4)


@pytest.mark.slow
def test_processes_fill_one_archive(start, tmp_path):
    grid = ["--env.descriptor", "0:-2:2", "2:-0.2:0.2", "--strategy.cells", 8]
    options = ["--strategy", "MAPElites", *grid]
    check_same_as_one(start, tmp_path, 2, 1, *options)
    one, several = (tmp_path / run / "archive.npz" for run in ("one", "several"))
    assert one.read_bytes() == several.read_bytes()


@pytest.mark.slow
def test_four_processes_of_two_devices_do_what_one_does(start, tmp_path):
    check_same_as_one(start, tmp_path, 4, 2, "--final-policies", 2)


def interrupt(processes, path, generation, number, target):
    """Send a signal to one process once all are past a generation."""
    wait_for_generation(processes[0], path, generation)
    processes[target].send_signal(number)
    said = finish(processes)
    assert {each.code for each in said} == {128 + number}, said
    assert f"neuroevo resume {path}" in said[0].err
    assert [each.out + each.err for each in said[1:]] == [""] * (len(processes) - 1)
    return read_metrics(path)[-1]["generation"]


def check_interrupted_and_resumed(start, path, signals, counts, env=CARTPOLE):
    """A run of changing processes, each time interrupted by a signal to one of them."""
    train, generation = [*TRAIN, *env, "--final-policies", 2, "--run-dir"], 0
    command = [*train, path / "parts"]
    for (number, target), count in zip(signals, counts, strict=False):
        processes = start([*command, "--generations", NO_END], count)
        generation = interrupt(
            processes, path / "parts", generation + 30, number, target
        )
        command = ["resume", path / "parts"]
    limit = ["--generations", generation + 7]
    said = finish(start([*command, *limit], counts[-1]))
    assert {each.code for each in said} == {0}, said
    (alone,) = finish(
        start([*train, path / "whole", *limit, "--devices", counts[0]], 1)
    )
    assert alone.code == 0, alone.err
    assert_same_run(path / "whole", path / "parts")
    assert returns(path / "whole") == returns(path / "parts")


@pytest.mark.slow
@pytest.mark.parametrize("env", [CARTPOLE, SLOW], ids=["quick", "slow"])
def test_a_signal_to_one_process_ends_all_and_they_go_on(start, tmp_path, env):
    signals = [(signal.SIGTERM, 1)]
    check_interrupted_and_resumed(start, tmp_path, signals, [2, 2], env)


@pytest.mark.slow
def test_a_run_goes_on_with_other_processes(start, tmp_path):
    signals = [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGINT, 3)]
    check_interrupted_and_resumed(start, tmp_path, signals, [2, 1, 4, 1])


# --------------------------------------------------------------------------- failures


def test_a_failure_of_process_0_ends_all(start, tmp_path):
    """Here the run directory is taken; nothing in it changes."""
    (tmp_path / "thesis.tex").touch()
    first, second = finish(start([*TRAIN, "--run-dir", tmp_path], 2))
    expected = f"--run-dir {tmp_path}: expected a new or an empty directory\n"
    assert first == Said(2, "", f"neuroevo: {expected}")
    assert second == Said(2, "", f"neuroevo: process 0: {expected}")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_a_process_that_is_killed_ends_all(start, tmp_path):
    path = tmp_path / "run"
    processes = start(
        [*TRAIN, *CARTPOLE, "--run-dir", path, "--generations", NO_END], 3
    )
    wait_for_generation(processes[0], path, 30)
    processes[1].kill()
    first, _, third = finish(processes)
    for said in (first, third):
        # JAX aborts a process that waits for a message of the one that is lost.
        assert said.code in (1, -signal.SIGABRT), said
        if said.code == 1:
            assert "lost another" in said.err.splitlines()[-1]
        assert "Traceback" not in said.err


def given(coordinator, processes, process):
    return (
        f"--distributed.coordinator {coordinator} --distributed.processes {processes} "
        f"--distributed.process {process}"
    )


ALL = "expected all of --distributed.coordinator HOST:PORT --distributed.processes N"
MISTAKES = {
    "--distributed.coordinator localhost:1234": [ALL],
    "--distributed.process 0": [ALL],
    "--distributed --distributed.processes 2": [ALL],
    given("localhost:1", 2, 2): [
        "--distributed.process: expected an integer from 0 to 1, got 2"
    ],
    given("localhost:1", 0, 0): [
        "distributed.processes: expected an integer from 1 to 2^31 - 1, got 0"
    ],
    given("localhost", 2, 0): ["expected HOST:PORT, got 'localhost'"],
    given("localhost:http", 2, 0): ["expected HOST:PORT, got 'localhost:http'"],
    given("no.such.invalid:1", 2, 0): ["no.such.invalid:1: ", "a host that can be"],
    "--distributed.proces 1": ["unknown option", "'--distributed.process'?"],
    "--distributed.process one": ["--distributed.process: expected an integer"],
    "--distributed maybe": ["unexpected argument 'maybe'"],
}


@pytest.mark.parametrize("command", ["train", "resume ."])
@pytest.mark.parametrize("options", MISTAKES)
def test_mistakes_are_told_in_one_line(command, options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(shlex.split(f"{command} {options}"))
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1), err
    for text in MISTAKES[options]:
        assert text in err
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_told(tmp_path, capsys):
    with socket.create_server(("", 0)) as taken, pytest.raises(SystemExit) as ended:
        address = f"localhost:{taken.getsockname()[1]}"
        options = given(address, 2, 0)
        cli.main(shlex.split(f"train --run-dir {tmp_path / 'run'} {options}"))
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1), err
    assert f"{address}: Address already in use; expected" in err


@pytest.mark.parametrize("process", [0, 1])
def test_nobody_waits_forever_for_others(process, environment, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        options = given(f"127.0.0.1:{free.getsockname()[1]}", 2, process)
    program = "from neuroevo import multihost; multihost._MEETING_SECONDS = 2; "
    program += "from neuroevo.cli import main as cli; "
    said = subprocess.run(
        [sys.executable, "-c", f"{program}cli.main()", "train", *options.split()],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=120,
    )
    assert (said.returncode, said.stdout, said.stderr.count("\n")) == (2, "", 1), said
    assert "the processes did not meet at 127.0.0.1:" in said.stderr
    assert not list(tmp_path.iterdir())


def test_without_a_cluster_there_is_nothing_to_join(start, tmp_path):
    (said,) = finish(start([*TRAIN, "--distributed"], 1))
    assert said.code == 2 and said.out == "", said
    assert said.err.startswith("neuroevo: --distributed: no cluster found (Slurm")
    assert said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_cluster_is_detected(start, tmp_path):
    """A Slurm job of one task."""
    variables = {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        variables["JAX_COORDINATOR_PORT"] = str(free.getsockname()[1])
    command = [*TRAIN, *CARTPOLE, "--run-dir", tmp_path / "run", "--generations", 2]
    (said,) = finish(start([*command, "--distributed"], 1, **variables))
    assert said.code == 0, said.err
    assert len(read_metrics(tmp_path / "run")) == 2


def fake_devices(monkeypatch, *processes):
    devices = [
        SimpleNamespace(process_index=process, id=i, platform="gpu", device_kind="H100")
        for i, process in enumerate(processes)
    ]
    monkeypatch.setattr(jax, "devices", lambda: devices)
    return devices


def test_devices_are_counted_in_each_process(monkeypatch):
    a, b, c, d = fake_devices(monkeypatch, 0, 1, 0, 1)
    assert devices.select(None) == (a, c, b, d)
    assert devices.select(1) == (a, b)
    assert devices.label((a, c, b, d)) == "4 x H100 in 2 processes"
    with pytest.raises(UserError, match="--devices 3: expected at most 2, .* of every"):
        devices.select(3)
    fake_devices(monkeypatch, 0, 0, 1)
    assert len(devices.select(1)) == 2
    with pytest.raises(
        UserError, match=r"auto: .* have \[2, 1\] .* --devices 1 or less"
    ):
        devices.select(None)


def test_memory_is_that_of_this_process(monkeypatch):
    mine, _ = fake_devices(monkeypatch, 0, 1)
    mine.memory_stats = lambda: {"bytes_limit": 10, "bytes_in_use": 4}
    assert devices.memory(jax.devices()) == (1, 6)


PROGRAM = """
import json, sys, jax, neuroevo
address, process, path, settings = *sys.argv[1:4], json.loads(sys.argv[4])
jax.distributed.initialize(address, 2, int(process))
seen = []
for generations in (2, 4):
    settings |= {"generations": generations, "resume": True}
    run = neuroevo.evolve(run_dir=path, callback=seen.append, **settings)
print(len(run.metrics), len(seen), run.evaluate(2, 2)["return_mean"])
"""


@pytest.mark.slow
def test_python_joins_processes_as_jax_does(start, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    said = []
    for process in range(2):
        path = tmp_path / "run" if process == 0 else "/nowhere"
        arguments = [address, process, path, json.dumps(SETTINGS)]
        said += start(arguments, 1, command=[sys.executable, "-c", PROGRAM])
    first, second = finish(said)
    assert (first.code, second.code) == (0, 0), (first.err, second.err)
    first, second = first.out.split(), second.out.split()
    assert (first[:2], second[:2]) == (["4", "4"], ["4", "0"])
    assert first[2] == second[2]


def test_one_process_agrees_with_itself():
    assert processes.is_main() and not processes.is_distributed()
    assert processes.agree(sum, 3) == 3
    with pytest.raises(KeyError), processes.together():
        raise KeyError
