"""What is said to those who make mistakes: one line, before anything is compiled."""

import fcntl
import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import yaml
from toy import CARTPOLE as SETTINGS

from neuroevo import solution
from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.run import loop
from neuroevo.run.run import Run
from neuroevo.store import genome_file
from neuroevo.store.directory import CONFIG

# What a run compiles, besides single operations on a constant: the spread programs
# (`_fun`, as pmap calls them) and those that start, answer and train a policy.
PROGRAMS = {f"jit({name})" for name in ("_fun", "init", "center", "decode", "run")}


@pytest.fixture
def nothing_compiles(monkeypatch):
    """Fail a test that gets as far as computing anything, or compiles on its way."""
    compiled = []

    def listen(event, duration, **kwargs):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(kwargs["fun_name"])

    def reached(*args, **kwargs):
        pytest.fail("the mistake was not noticed before compiling")

    monkeypatch.setattr(Run, "initialize", reached)
    monkeypatch.setattr(loop, "train", reached)
    monkeypatch.setattr(solution.Solution, "evaluate", reached)
    jax.monitoring.register_event_duration_secs_listener(listen)
    yield
    jax.monitoring.unregister_event_duration_listener(listen)
    assert not PROGRAMS.intersection(compiled)


# command line -> what the one line on stderr contains
COMMANDS = {
    "trian": ["unknown command 'trian'", "expected one of ", "evaluate, ", "'train'?"],
    "-x": ["unknown command '-x'", "expected one of ", "evaluate, "],
    "list envz": ["unknown list 'envz'", "presets, strategies", "'envs'?"],
    "list envs CartPole-v1": ["unexpected argument 'CartPole-v1'"],
    "resume": ["RUN is missing: expected neuroevo resume RUN"],
    "resume nowhere": ["nowhere: not a run", "a directory that neuroevo train made"],
    "resume . --generation 4": ["--generation", "did you mean '--generations'?"],
    "resume . --population 4": ["unknown option --population"],
    "evaluate": ["GENOME is missing: expected neuroevo evaluate RUN|GENOME.npz"],
    "evaluate --policies 3": ["GENOME is missing"],
    "evaluate nowhere": ["nowhere: no such file"],
    "evaluate .": [".: not a run; expected a run directory or a genome"],
    "evaluate 'ein Ort/ü'": ["ein Ort/ü: no such file; expected a genome (.npz)"],
    f"resume {'x' * 300}": ["x: File name too long; expected a run directory"],
}
COMMANDS |= {
    # Options of 0.1, wherever they are given.
    "train --seeds 3": ["unknown option --seeds: expected --policies"],
    "train --center-seeds 3": ["--center-seeds: expected --center-policies"],
    "train --final_seeds=3": ["--final-seeds: expected --final-policies"],
    "evaluate --seeds 3 g.npz": ["unknown option --seeds: expected --policies"],
    "evaluate g.npz --seeds 3": ["unknown option --seeds: expected --policies"],
    # Arguments and options of commands in an order of their own.
    "resume --generation 4 .": ["--generation", "did you mean '--generations'?"],
    "evaluate --polices 3 g.npz": ["--polices", "did you mean '--policies'?"],
    "evaluate --encoding.stepps 3 g.npz": ["did you mean '--encoding.steps'?"],
    "evaluate --encoding datset g.npz": ["g.npz: no such file"],
    "evaluate --policies 2 a.npz b.npz": ["unexpected argument 'b.npz'", "neuroevo ev"],
    "evaluate a.npz --strategy SNES": [
        "unknown option --strategy: expected options of env, encoding, policy and"
    ],
    "evaluate -- a.npz --json": ["unexpected argument '--json'"],
    "evaluate -- --json": ["--json: no such file; expected a genome"],
    "plot a": ["a: not a run"],
    "plot a --size 0 3": ["size: expected values that are each a number greater"],
    "resume a --generations 0": ["generations: expected an integer from 1"],
    "resume a --devices few": ["--devices: expected an integer, auto or none"],
    "plot": ["RUN is missing: expected neuroevo plot RUN [RUN ...] --out"],
    "plot --metric fitnes a": ["--metric: expected center_return", "got 'fitnes'"],
    "report --epsode a": ["unknown option --epsode", "did you mean '--episode'?"],
    "metrics": ["RUN is missing: expected neuroevo metrics RUN"],
    "merge a b": ["--out is missing: expected neuroevo merge"],
    "merge --out m.npz --env.gravity 3 a b": ["unknown option --env.gravity"],
    "inspect --encoding.rank 3 zoo:cartpole-d2": [
        "unknown option --encoding.rank: expected --encoding.size"
    ],
    "transfer --encoding.rank 3 zoo:cartpole-d2": [
        "unknown option --encoding.rank: expected --encoding.size"
    ],
    "sweep": ["SWEEP.yaml is missing: expected neuroevo sweep SWEEP.yaml"],
    "sweep --dry-run nowhere.yaml": ["nowhere.yaml: no such file"],
    "doctor now": ["unexpected argument 'now': expected neuroevo doctor"],
    "completion bash zsh": ["unexpected argument 'zsh': expected neuroevo completion"],
    "train-policy g.npz": ["g.npz: no such file"],
    "render --fps 0 g.npz": ["g.npz: no such file"],
    "transfer --widths 8 x g.npz": ["--widths: expected values that are each an int"],
}
NAMES = {
    "--encoding datset": ["unknown encoding", "dataset, direct", "'dataset'?"],
    "--encoding=": ["unknown encoding ''"],
    "--env CartPol-v1": ["unknown environment 'CartPol-v1'", "'CartPole-v1'?"],
    "--env gymnx:CartPole-v1": ["unknown environment family 'gymnx'", "'gymnax'?"],
    "--env brax:CartPole-v1": ["unknown environment 'brax:CartPole-v1'"],
    "--env swimmer": ["unknown environment 'swimmer'"],
    "--strategy snes": ["unknown strategy 'snes'", "did you mean 'SNES'?"],
    "--policy lsmt": ["unknown policy 'lsmt': expected one of cnn,", "mean 'lstm'?"],
    "--normalization runing": ["unknown normalization", "did you mean 'running'?"],
    "--preset hades-brex": ["unknown preset", "did you mean 'hades-brax'?"],
    "--config nofile.yaml": ["nofile.yaml: no such file; expected a YAML"],
    "--config .": [".: a directory; expected a YAML configuration"],
    "--enocding dataset": ["unknown option --enocding", "did you mean '--encoding'?"],
    "--encoding.sise 3": ["unknown option --encoding.sise", "'--encoding.size'?"],
    "--encoding direct --encoding.size 3": ["--encoding.size: expected --encoding."],
    "--env.gravty 3": ["unknown option --env.gravty", "did you mean '--env.gravity'?"],
    "--strategy.stdd 1": ["did you mean '--strategy.std'?"],
    "--pop 4": ["unknown option --pop", "did you mean '--population'?"],
    "--json": ["unknown option --json"],
    "stray": ["unexpected argument 'stray': expected options like --env NAME"],
    "--population 4 5": ["unexpected argument '5' after --population 4"],
    "-e 3": ["unexpected argument '-e'"],
    "--config file.yaml/x": ["file.yaml/x: no such file; expected a YAML"],
    "--config /dev/null": ["/dev/null: a pipe or a device; expected a YAML"],
    "--start nowhere.npz": ["nowhere.npz: no such file; expected a genome (.npz)"],
    "--start zoo:cartpole": ["unknown zoo genome 'cartpole'", "'cartpole-d2'?"],
    "--start file": ["file: not a genome (.npz): expected an archive of arrays"],
    "'--env' 'Cart\x1b[31mPole'": ["'Cart\\x1b[31mPole'", "'CartPole-v1'?"],
    "--env Кар": ["unknown environment 'Кар'"],
    # Parts are installed, or made in Python; no name leads to a file or a module.
    "--env env.py:Maze": ["unknown environment family 'env.py': expected one of brax,"],
    "--env /tmp/env.py": ["unknown environment '/tmp/env.py'"],
    "--encoding os:system": ["unknown encoding family 'os': expected one of cosine,"],
    "--strategy ./SNES": ["unknown strategy './SNES'", "did you mean 'SNES'?"],
    "--config 'mein Übel.yaml'": ["mein Übel.yaml: no such file; expected a YAML"],
    "--start 'kein Genom 🧬.npz'": ["kein Genom 🧬.npz: no such file; expected a g"],
    f"--config {'x' * 300}.yaml": [".yaml: File name too long; expected a YAML"],
    f"--run-dir {'x' * 300}": ["x: File name too long; expected a new or an empty di"],
}
VALUES = {
    "--population ten": ["--population: expected an integer, got 'ten'"],
    "--population 3.5": ["--population: expected an integer, got '3.5'"],
    "--population": ["--population: expected an integer, got nothing"],
    "--population=": ["--population: expected an integer, got nothing"],
    "--target abc": ["--target: expected a number or none, got 'abc'"],
    "--target nan": ["--target: expected a number or none, got 'nan'"],
    "--max-env-steps 1.5": ["--max-env-steps: expected an integer or none"],
    "--chunk many": ["--chunk: expected an integer or auto, got 'many'"],
    "--devices two": ["--devices: expected an integer or auto, got 'two'"],
    "--quiet maybe": ["'maybe'"],
    "--run-dir": ["--run-dir: expected a path or none, got nothing"],
    "--env.gravity abc": ["--env.gravity: expected a number, got 'abc'"],
    "--env.gravity nan": ["--env.gravity: expected a number, got 'nan'"],
    "--env hopper --env.backend mjxx": ["positional, spring, gen", "'mjx'?"],
    "--env hopper --env.healthy-z-range 1": ["expected 2 values that are each a numb"],
    "--policy.hidden 64,64": ["--policy.hidden: expected values", "got '64,64'"],
    "--policy.activation tahn": ["tanh, relu, gelu", "got 'tahn'; did you mean 'tanh'"],
    "--encoding.optimizer adamw": ["adam, momentum, sgd", "did you mean 'adam'?"],
}
RANGES = {
    "--population 0": ["population: expected an integer from 1 to 2^31 - 1", "got 0"],
    "--population -3": ["population: expected", "got -3"],
    "--generations 0": ["generations: expected an integer from 1 to 2^63 - 1, got 0"],
    "--policies 0": ["policies: expected an integer from 1"],
    "--episodes 0": ["episodes: expected an integer from 1"],
    "--center-every 0": ["center_every: expected an integer from 1"],
    "--center-policies 0": ["center_policies: expected an integer from 1"],
    "--final-policies -1": ["final_policies: expected an integer from 0"],
    "--final-episodes 0": ["final_episodes: expected an integer from 1"],
    "--chunk 0": ["chunk: expected an integer from 1"],
    "--devices 0": ["devices: expected an integer from 1"],
    "--devices -1": ["devices: expected an integer from 1"],
    "--devices 99": ["--devices 99: expected at most ", "cpu devices"],
    "--seed -1": ["seed: expected an integer from 0 to 2^32 - 1, got -1"],
    "--seed 1e30": ["seed: expected an integer from 0 to 2^32 - 1"],
    "--max-env-steps 0": ["max_env_steps: expected an integer from 1"],
    "--max-seconds 0": ["max_seconds: expected a number greater than 0, got 0.0"],
    "--checkpoint.keep 0": ["checkpoint.keep: expected an integer from 1"],
    "--checkpoint.every-seconds 0": ["expected a number greater than 0"],
    "--checkpoint.every-generations 0": ["expected an integer from 1"],
    "--encoding.size 1e8": ["encoding.size: expected an integer from 1 to 2^24"],
    "--encoding.steps 1e30": ["encoding.steps: expected an integer from 0 to 2^31 - 1"],
    "--encoding.noise inf": ["encoding.noise: expected a number from 0 to 2^24"],
    "--encoding.learning-rate inf": [
        "expected a finite number greater than 0, got inf"
    ],
    "--encoding.momentum 1": ["a number of at least 0 and less than 1, got 1.0"],
    "--policy.hidden 1e11": ["policy.hidden: expected values that are each an int"],
    "--population 1e9": ["SNES: expected a population of at most 16777216"],
    "--strategy.std inf": ["strategy.std: expected a number greater than 0"],
    "--encoding.size 0": ["encoding.size: expected an integer from 1 to 2^24, got 0"],
    "--encoding.steps -1": [
        "encoding.steps: expected an integer of at least 0, got -1"
    ],
    "--encoding.init-seed 1e30": ["encoding.init_seed"],
    "--encoding.learning-rate -1": ["encoding.learning_rate: expected a finite number"],
    "--strategy.std -1": ["strategy.std: expected a number greater than 0"],
    "--policy.hidden 8 0": [
        "policy.hidden: expected values that are each an integer of"
    ],
    "--normalization running --normalization.clip 0": ["normalization.clip: expected"],
    "--env.max-steps-in-episode 0": [
        "env.max_steps_in_episode: expected an integer of"
    ],
    "--env hopper --env.episode-length 0": [
        "env.episode_length: expected an integer of"
    ],
}
COMBINATIONS = {
    "--strategy Open_ES --population 33": ["even population, got 33", "are 32 and 34"],
    "--strategy SNES --population 1": ["expected a population of at least 2, got 1"],
    "--strategy CMA_ES --encoding direct --policy.hidden 512 512": ["GB", "SNES"],
    "--policy cnn": ["image observations", "have shape (4,)", "use --policy mlp"],
    "--encoding.size 1": ["the 2 actions", "--encoding.size 2", "labels learned"],
    "--encoding.loss mse": ["unknown encoding.loss 'mse'", "auto, cross_entropy"],
    "--normalization constant --normalization.file no.npz": [
        "no.npz: no such file; expected an .npz"
    ],
    "--run-dir file": ["--run-dir file: expected a new or an empty directory"],
    "--run-dir file/run": ["--run-dir file/run: ", "not a directory"],
    "--run-dir .": ["--run-dir .: expected a new or an empty directory"],
}
TRAINING = NAMES | VALUES | RANGES | COMBINATIONS
MISTAKES = COMMANDS | {f"train {line}": said for line, said in TRAINING.items()}


def assert_one_line(said, *expected):
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("neuroevo: ")
    assert said.err.endswith("\n") and said.err.count("\n") == 1
    for text in expected:
        assert text in said.err


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_in_one_line(line, run_cli, nothing_compiles, tmp_path):
    said = run_cli(line, file="not a directory")
    assert_one_line(said, *MISTAKES[line])
    assert os.listdir(tmp_path) == ["file"], "a mistake leaves nothing behind"


YAML = {  # the rest is in test_yaml.py
    "seeds: 3": ["unknown option --seeds: expected --policies, its name since"],
    "center_seeds: 3": ["unknown option --center-seeds: expected --center-policies"],
    "populaton: 3": ["--populaton", "did you mean '--population'?"],
    "encoding: {sze: 3}": ["--encoding.sze", "did you mean '--encoding.size'?"],
    "encoding.sze: 3": ["--encoding.sze", "did you mean '--encoding.size'?"],
    "encoding: {name: datset}": ["unknown encoding 'datset'", "'dataset'?"],
    "population: many": ["--population: expected an integer, got 'many'"],
    "[1, 2]": ["expected a mapping of options, got [1, 2]"],
    "a: [1,": ["not a readable YAML file"],
    "env: {name: './maze.py:Maze'}": ["unknown environment family './maze.py'"],
}


@pytest.mark.parametrize(
    ("command", "text"),
    [
        *(("train", text) for text in YAML),
        # A setting of training means nothing here.
        *(("evaluate g.npz", text) for text in YAML if not text.startswith("popul")),
    ],
)
def test_a_mistake_in_a_file_names_it(
    command, text, run_cli, nothing_compiles, tmp_path
):
    write_genome(tmp_path / "g.npz")
    said = run_cli(f"{command} --config my.yaml", **{"my.yaml": text})
    assert_one_line(said, *YAML[text])
    if "unknown" not in YAML[text][0]:  # of a name, wherever it was given
        assert said.err.startswith("neuroevo: my.yaml: ")
    assert sorted(os.listdir(tmp_path)) == ["g.npz", "my.yaml"]


def write_run(path, **changes):
    """Write what makes a directory a run, as far as a mistake needs it."""
    path.mkdir()
    resolved = resolve.resolve([Layer("test", SETTINGS | changes)])
    (path / CONFIG).write_text(yaml.safe_dump(resolved.to_dict()))


def test_a_run_is_never_overwritten(run_cli, nothing_compiles, tmp_path):
    write_run(tmp_path / "mine")
    before = (tmp_path / "mine" / CONFIG).read_bytes()
    said = run_cli("train --run-dir mine")
    assert_one_line(said, "mine: already contains a run", "neuroevo resume mine")
    assert os.listdir(tmp_path / "mine") == [CONFIG]
    assert (tmp_path / "mine" / CONFIG).read_bytes() == before


def test_what_to_type_is_quoted(run_cli, nothing_compiles, tmp_path):
    write_run(tmp_path / "mein Lauf ü")
    said = run_cli("train --run-dir 'mein Lauf ü'")
    assert_one_line(said, "(to continue that run: neuroevo resume 'mein Lauf ü')")


def test_a_run_in_use_is_left_alone(run_cli, nothing_compiles, tmp_path):
    write_run(tmp_path / "mine")
    before = (tmp_path / "mine" / CONFIG).read_bytes()
    with (tmp_path / "mine" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = run_cli("resume mine --generations 7")
    assert_one_line(said, "mine: in use by another neuroevo process")
    assert (tmp_path / "mine" / CONFIG).read_bytes() == before


def test_mistakes_in_resuming(run_cli, nothing_compiles, tmp_path):
    write_run(tmp_path / "mine")
    assert_one_line(run_cli("resume mine --generations 0"), "generations: expected")
    assert_one_line(run_cli("resume mine --devices 0"), "devices: expected")
    assert_one_line(run_cli("resume mine --devices few"), "--devices: expected")
    (tmp_path / "mine" / CONFIG).write_text("population: [")
    assert_one_line(run_cli("resume mine"), "mine/config.yaml: not a readable YAML")
    assert os.listdir(tmp_path / "mine") == [CONFIG]


# ------------------------------------------------------------- genomes that do not fit


def write_genome(path, *, meta=True, **arrays):
    """Write a genome for CartPole, with other `arrays` if given."""
    arrays = {"states": np.zeros((2, 4)), "labels": np.arange(2)} | arrays
    arrays = {name: array for name, array in arrays.items() if array is not None}
    if not meta:
        np.savez(path, **arrays)
        return
    resolved = resolve.resolve([Layer("test", SETTINGS)]).to_dict()
    parts = ("env", "encoding", "policy", "normalization")
    genome_file.save(path, arrays, {part: resolved[part] for part in parts})


ASTERIX = {"states": np.zeros((5, 10, 10, 4)), "labels": np.arange(5)}
MISFITS = {
    "of another environment": (
        "--env Pendulum-v1",
        {},
        ["g.npz: does not fit", "shape (4,) each", "labels of discrete actions"],
    ),
    "with other keys": ("", {"extra": np.ones(1)}, ["has no use for extra"]),
    "without states": ("", {"states": None}, ["expected an array 'states'", "labels"]),
    "with actions": ("", {"actions": np.ones((2, 1))}, ["has 2 discrete ones"]),
    "with too few labels": ("", {"labels": np.arange(1)}, ["labels of shape (2,)"]),
    "with labels of more actions": ("", {"labels": np.array([0, 5])}, ["from 0 to 1"]),
    "of a game with more actions": (
        "--env Breakout-MinAtar",
        ASTERIX,
        ["expected labels from 0 to 2", "not 0 to 4"],
    ),
    "for another encoding": ("--encoding direct", {}, ["lacks output/bias (2,)"]),
    "for another policy": ("--policy cnn", {}, ["image observations", "(4,)"]),
    "with one statistic": ("", {"obs_mean": np.zeros(4)}, ["obs_var"]),
    "with statistics of another size": (
        "",
        {"obs_mean": np.zeros(3), "obs_var": np.ones(3)},
        ["obs_mean has shape (3,)"],
    ),
    "with too many seeds": ("--policies 0", {}, ["policies: expected"]),
    "with a negative seed": ("--seed -1", {}, ["seed: expected an integer from 0"]),
    "with too few devices": ("--devices 0", {}, ["devices: expected"]),
    "with wrong devices": ("--devices two", {}, ["--devices: expected an integer"]),
    "with a wrong chunk": ("--chunk 0", {}, ["chunk: expected"]),
    "with an option of training": ("--population 4", {}, ["unknown option --popul"]),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_genome_that_does_not_fit(case, run_cli, nothing_compiles, tmp_path):
    options, arrays, expected = MISFITS[case]
    write_genome(tmp_path / "g.npz", **arrays)
    assert_one_line(run_cli(f"evaluate g.npz {options}"), *expected)
    assert os.listdir(tmp_path) == ["g.npz"]


def test_files_that_are_no_genomes(run_cli, nothing_compiles, tmp_path):
    np.savez(tmp_path / "objects.npz", states=np.array([{}], object))
    np.save(tmp_path / "array.npz.npy", np.ones(3))
    np.savez(
        tmp_path / "newer.npz",
        meta=json.dumps({"format": genome_file.FORMAT, "version": 99}),
    )
    (tmp_path / "empty.npz").touch()
    (tmp_path / "text.npz").write_text("hello")
    before = sorted(os.listdir(tmp_path))
    for name, expected in {
        "objects.npz": "states.npy holds object",
        "array.npz.npy": "not a genome (.npz)",
        "newer.npz": "written in version 99 of the genome format",
        "empty.npz": "not a genome (.npz)",
        "text.npz": "not a genome (.npz)",
    }.items():
        assert_one_line(run_cli(f"evaluate {name}"), f"{name}: ", expected)
    assert sorted(os.listdir(tmp_path)) == before


# ------------------------------------------------------------------------- permissions

NEW = "expected a new or an empty directory as --run-dir"
GENOME = "expected a run directory or a genome"
DENIED = {
    "train --run-dir locked": "--run-dir locked: no permission to read it",
    "train --run-dir locked/run": f"locked/run: Permission denied; {NEW}",
    "train --run-dir sealed/run": "--run-dir sealed/run: no permission to write in",
    "train --config secret": "secret: no permission to read it; expected a YAML",
    "train --config locked/c": "locked/c: Permission denied; expected a YAML",
    "train --start secret": "secret: no permission to read it; expected a genome",
    "train --start locked/g": f"locked/g: Permission denied; {GENOME}",
    "resume locked": "locked/config.yaml: Permission denied; expected a run",
    "evaluate secret": "secret: no permission to read it; expected a genome",
    "evaluate locked": "locked/config.yaml: Permission denied; expected a run",
    "evaluate locked/g": f"locked/g: Permission denied; {GENOME}",
    "transfer locked/g": f"locked/g: Permission denied; {GENOME}",
    "merge locked/g secret --out m.npz": f"locked/g: Permission denied; {GENOME}",
    "merge a.npz b.npz --out sealed/m.npz": "sealed/m.npz: no permission to write in",
    "merge a.npz b.npz --out locked/m.npz": "locked/m.npz: Permission denied; expected",
}
EACH_LINE = """
import shlex, sys
from neuroevo.cli import main as cli
for line in sys.argv[1:]:
    try:
        cli.main(shlex.split(line))
    except SystemExit as ended:
        print(ended.code)
"""


def held_to_permissions():
    """Return what a command begins with to be refused what others are, even of root."""
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root may read and write anything")
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", f"--inh-caps={rights}", f"--bounding-set={rights}"]


def test_what_may_not_be_read_or_written(environment, tmp_path):
    (tmp_path / "secret").touch(mode=0)
    (tmp_path / "locked").mkdir(mode=0)
    (tmp_path / "sealed").mkdir(mode=0o555)
    done = subprocess.run(
        [*held_to_permissions(), sys.executable, "-c", EACH_LINE, *DENIED],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    said = done.stderr.splitlines()
    assert done.stdout.split() == ["2"] * len(DENIED), done.stderr
    for line, expected in zip(said, DENIED.values(), strict=True):
        assert line.startswith("neuroevo: ") and expected in line
    assert sorted(os.listdir(tmp_path)) == ["locked", "sealed", "secret"]
    (tmp_path / "locked").chmod(0o700)
    assert not os.listdir(tmp_path / "locked") + os.listdir(tmp_path / "sealed")
