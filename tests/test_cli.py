"""The command line: its contracts, and what it says to those who make mistakes."""

import json
import os
import re
import shlex
import subprocess
import sys
import typing

import numpy as np
import pytest
from conftest import Said
from toy import CARTPOLE as SETTINGS

import neuroevo
from neuroevo import loading, solution
from neuroevo.cli import diagnosis
from neuroevo.cli.commands import COMMANDS, load
from neuroevo.config import resolve
from neuroevo.config.command import read
from neuroevo.config.forms import Form
from neuroevo.config.layers import Layer, read_layers
from neuroevo.config.yaml import read_yaml
from neuroevo.store import genome_file


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A finished run."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    neuroevo.evolve(run_dir=path, **SETTINGS)
    return path


# ------------------------------------------------------------------------ the contract


def test_evaluate_prints_one_json_object(tiny, run_cli):
    said = run_cli(f"evaluate {tiny} --policies 3 --episodes 2 --devices 1 --json")
    assert (said.code, said.err, said.out.count("\n")) == (0, "", 1)
    result = json.loads(said.out)
    assert result["env"] == "CartPole-v1"
    assert (result["policies"], result["episodes"]) == (3, 2)
    assert len(result["return_per_policy"]) == 3
    assert np.mean(result["return_per_policy"]) == pytest.approx(result["return_mean"])
    assert 1 <= result["episode_length_mean"] <= 10
    assert result["return_std"] >= 0


@pytest.mark.parametrize("limit", ["--generations 1", ""])
def test_a_run_that_has_reached_its_limit_is_one_line(
    limit, tiny, run_cli, monkeypatch
):
    """What `test_run.py` finds untouched in Python. Nothing is built for it."""
    monkeypatch.delattr("neuroevo.run.build.build_parts")
    before = {file: file.read_bytes() for file in tiny.glob("*.*")}
    said = run_cli(f"resume {limit} {tiny}")
    assert (said.code, said.out, said.err.count("\n")) == (0, "", 1)
    assert "nothing to do: the run has reached its limit (generations)" in said.err
    assert {file: file.read_bytes() for file in tiny.glob("*.*")} == before


def test_resume_takes_new_limits_and_another_final_evaluation(
    tiny, run_cli, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        "neuroevo.cli.resume.train", lambda config, *_, **__: seen.append(config) or 0
    )
    options = "--generations 9 --target 7 --final-policies 3 --final-episodes 2"
    assert run_cli(f"resume {tiny} {options} --devices 1").code == 0
    new = {"generations": 9, "target": 7, "final_policies": 3, "final_episodes": 2}
    (config,) = seen
    assert {name: getattr(config.settings, name) for name in new} == new
    assert run_cli(f"resume {tiny} --population 9").code == 2


def test_a_file_without_description_needs_its_settings_named(
    tiny, run_cli, tmp_path, monkeypatch
):
    """By options or by YAML, a run's own config.yaml included."""
    file = genome_file.load(tiny / "best.npz")
    np.savez(tmp_path / "bare.npz", **file.arrays)
    seen = []

    def evaluate(self, policies, episodes, seed):
        seen.append(self)
        return {"return_mean": 1.0, "policies": policies, "episodes": episodes}

    monkeypatch.setattr(solution.Solution, "evaluate", evaluate)
    options = (
        "--env.max-steps-in-episode 10 --encoding.steps 1 --encoding.optimizer sgd "
        "--policy.hidden --devices 1"
    )
    for line in (
        f"evaluate {tiny}",
        f"evaluate {tiny / 'genome.npz'}",
        f"evaluate bare.npz {options}",
        f"evaluate bare.npz --config {tiny / 'config.yaml'}",
        f"evaluate {tiny} --encoding dataset --policy.hidden",
    ):
        assert json.loads(run_cli(f"{line} --json").out)["policies"] == 8
    first, *others = seen
    for other in others:
        assert other.config.parts == first.config.parts
        assert {**other.config.names, "strategy": None} == {
            **first.config.names,
            "strategy": None,
        }


def test_a_runs_configuration_repeats_it(tiny):
    written = read_yaml(tiny / "config.yaml")
    resolved = resolve.resolve(read_layers(None, tiny / "config.yaml"))
    assert resolved.to_dict() == {
        key: value for key, value in written.items() if key != "neuroevo"
    }
    expected = resolve.resolve([Layer("test", SETTINGS)])
    assert resolved.parts == expected.parts
    assert resolved.settings.chunk != "auto", "what depends on the machine is recorded"
    assert resolved.settings.population == 4


def test_the_genome_file_of_a_run_needs_nothing_else(tiny):
    resolved, file = loading.read_solution(tiny, [])
    assert resolved.parts["encoding"].steps == 1
    assert resolved.parts["env"].max_steps_in_episode == 10
    assert set(file.arrays) == {"states", "labels"}


def test_help_lists_the_options_of_the_chosen_parts(run_cli):
    dataset = run_cli("train --encoding dataset --help")
    direct = run_cli("train --encoding direct --env hopper --help")
    assert (dataset.code, dataset.err) == (direct.code, direct.err) == (0, "")
    assert "--encoding.size" in dataset.out and "--env.gravity" in dataset.out
    assert "--encoding.size" not in direct.out
    assert "--env.backend {positional,spring,generalized,mjx}" in direct.out


def test_help_shows_the_defaults_that_hold(run_cli):
    said = run_cli("train --preset hades-brax --help")
    text = " ".join(said.out.replace("│", " ").split())
    assert re.search(r"--encoding.size [^(]*\(default: 64\)", text, re.DOTALL)
    assert re.search(r"--population INT [^(]*\(default: 2048\)", text)


def test_help_shows_the_defaults_of_its_own_command(run_cli):
    said = " ".join(run_cli("distill --help").out.replace("│", " ").split())
    assert "Number of candidates in a generation. (default: 4)" in said
    assert "Evolution strategy (neuroevo list strategies). (default: gradients)" in said
    assert "--strategy.relabel-every" in said


@pytest.mark.parametrize("line", ["", "--help", "-h", "list", "list --help"])
def test_usage(line, run_cli):
    said = run_cli(line)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("usage: neuroevo ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, run_cli):
    """It lists every option with a text, and the arguments without a flag."""
    said = run_cli(f"{name} --help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"usage: neuroevo {name}")
    text = " ".join(said.out.replace("│", " ").split())
    form = Form((command := load(name).COMMAND).schema, command.choices)
    assert command.summary in text
    for option, hint in form.options.items():
        flag = f"--{option.replace('_', '-')}"
        switch = f", {flag.replace('--', '--no-')}" if hint is bool else ""
        found = re.search(rf"{flag}{switch} (\S+ ){{0,4}}[A-Z][\w ,.'-]+", text)
        assert found, f"{flag} is not explained"
        if type(None) in typing.get_args(hint):
            assert re.search(rf"{flag} [^()]*?\|none ", text), f"{flag} may be none"
    for argument in form.positionals:
        assert "positional arguments" in said.out, argument


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_suggests_what_was_meant(name, run_cli):
    form = Form(load(name).COMMAND.schema)
    for option in [*form.options][:1]:
        flag = f"--{option.replace('_', '-')}"
        for line in (f"{name} {flag}x y", f"{name} A {flag}x=y"):
            said = run_cli(line)
            assert said.code == 2 and said.err.count("\n") == 1
            assert f"unknown option {flag}x: expected " in said.err
            assert f"did you mean '{flag}'?" in said.err
    said = run_cli(f"{name} -x")
    assert said.code == 2 and "unexpected argument '-x'" in said.err


# Lines that say the same, as far as the command's own options are concerned.
SAME = {
    "train": [
        "--population 4 --log tensorboard --encoding.steps 3 --quiet",
        "--population=4 --no-quiet --encoding.steps=3 --quiet --log tensorboard",
    ],
    "distill": [
        "T --env hopper --generations 5 --quiet",
        "--generations 5 --env=hopper T --quiet",
    ],
    "collect": ["RUN --episodes 3 --out r.npz", "--out r.npz --episodes=3 RUN"],
    "resume": ["RUN --generations 5 --quiet", "--generations 5 RUN --quiet"],
    "evaluate": [
        "RUN --policies 2 --json --which center --policy.hidden 8 8",
        "--policies 2 --json RUN --which=center --policy.hidden 8 8",
        "--policies=2 --no-json --json --which center --policy.hidden 8 8 RUN",
        "--json --which center --encoding.steps 4 --policies 2 -- RUN",
        "--policy mlp --policy.hidden 8 8 --policies 2 --which center --json RUN",
    ],
    "transfer": ["RUN --widths 8 16", "--widths 8 16 RUN", "--widths 8 16 -- RUN"],
    "render": [
        "RUN --frames 3",
        "--frames 3 RUN",
        "--env.x_threshold 3 --frames=3 RUN",
    ],
    "inspect": ["RUN --picture p.png", "--picture p.png RUN"],
    "train-policy": ["RUN --out p.npz", "--out p.npz RUN", "--out=p.npz RUN"],
    "export": [
        "RUN --elite 0.5 -2 --out e.npz",
        "--elite 0.5 -2 --out e.npz RUN",
        "RUN --out=e.npz --elite 0.5 -2",
    ],
    "merge": [
        "A B --out m",
        "--out m A B",
        "A --out m B",
        "--encoding.steps 3 A B --out m",
    ],
    "plot": ["A B --size 3 2", "--size 3 2 A B", "A --size 3 2 B"],
    "compare": ["A B --out c.svg", "--out c.svg A B", "A --out c.svg B"],
    "report": ["A B --no-episode", "--no-episode A B", "A --no-episode B"],
    "metrics": ["A B --out m.csv", "--out m.csv A B", "A --out m.csv B"],
    "sweep": [
        "S --dry-run --json",
        "--dry-run --json S",
        "--no-json --dry_run S --json",
    ],
    "tune": ["--timed 2 --env hopper", "--env=hopper --timed=2"],
    "list": ["envs"],
    "doctor": ["--json", "--no-json --json"],
    "completion": ["bash"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_options_and_arguments_in_any_order_and_form(name):
    first, *others = [read(load(name).COMMAND, line.split()) for line in SAME[name]]
    for other in others:
        assert other.options == first.options


LIGHT = """
import contextlib, sys
from neuroevo.cli import main
for line in sys.argv[1:]:
    *slow, line = line.split(":")
    with contextlib.suppress(SystemExit):
        main.main(line.split())
    found = [name for name in slow if name in sys.modules]
    assert not found, (line, found)
"""


def test_the_commands_that_need_no_jax_do_without(tmp_path):
    """Help comes at once: each of these takes as long as all the rest to import."""
    slow = "jax:numpy:importlib.metadata:typeguard:rich:yaml"
    lines = [
        f"{slow}:tyro:--help",
        f"{slow}:list",
        f"{slow}:evaluate --help",
        f"{slow}:resume --help",
        f"{slow}:report --help",
        "jax:list presets",
        "flax:optax:evosax:gymnax:train --help",
    ]
    done = in_process("-c", LIGHT, *lines, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_version(run_cli):
    assert run_cli("--version") == Said(0, f"neuroevo {neuroevo.__version__}\n", "")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("encodings", ["dataset", "direct"]),
        ("envs", ["CartPole-v1", "hopper", "Breakout-MinAtar"]),
        ("strategies", ["SNES", "CMA_ES", "Open_ES"]),
        ("policies", ["mlp", "cnn"]),
        ("normalizations", ["none", "constant", "running", "episode"]),
        ("presets", ["hades-brax", "hades-minatar"]),
    ],
)
def test_list(kind, names, run_cli):
    said = run_cli(f"list {kind}")
    assert (said.code, said.err) == (0, "")
    assert set(names) <= set(said.out.split())


def test_encodings_are_listed_with_the_size_of_their_genomes(run_cli):
    said = run_cli("list encodings --env Pendulum-v1 --policy.hidden 8 8")
    assert (said.code, said.err) == (0, "")
    title, *rows = said.out.splitlines()
    assert title == "encodings of 114 weights: mlp for Pendulum-v1"
    numbers = {row.split()[0]: row.split()[1] for row in rows}
    assert numbers | {"direct": "114", "dataset": "8", "subspace": "64"} == numbers
    # An encoding that does not fit says why.
    said = run_cli("list encodings --policy.hidden 1")
    (row,) = [line for line in said.out.splitlines() if "lowrank" in line]
    assert "encoding.rank 2: expected at most 1" in row
    said = run_cli("list envs --env Pendulum-v1")
    assert said.code == 2
    assert said.err.startswith("neuroevo: unknown option --env: list envs takes none")


def test_our_own_faults_are_not_the_users(run_cli, monkeypatch):
    """A bug keeps its traceback; Python exits with 1 for it."""

    def broken(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(resolve, "resolve", broken)
    with pytest.raises(ZeroDivisionError):
        run_cli("train")


def test_an_interrupt_before_the_run_begins(run_cli, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(resolve, "resolve", interrupted)
    assert run_cli("train") == Said(130, "", "neuroevo: interrupted\n")


# ------------------------------------------------------------------ in a real process


def in_process(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_python_m_neuroevo_and_no_stray_output(tmp_path):
    done = in_process("-m", "neuroevo", "list", "envs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"hopper", "CartPole-v1"} <= set(done.stdout.split())
    assert "warp" not in done.stdout
    assert os.listdir(tmp_path) == []


def test_building_hopper_is_silent_and_one_device_too_many_is_told(tmp_path):
    """The physics are built on the way to the mistake: not a word of theirs."""
    line = "train --env hopper --devices 2 --policy.hidden 8 --encoding.loss mes"
    done = in_process("-m", "neuroevo", *line.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "neuroevo: unknown encoding.loss 'mes': expected one of auto, clipped_mse, "
        "mse, nll; did you mean 'mse'?\n"
    )
    assert os.listdir(tmp_path) == [], "no MUJOCO_LOG.TXT either"


def test_a_pipe_that_closes_early(tmp_path):
    line = f"{shlex.quote(sys.executable)} -m neuroevo list envs | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# ----------------------------------------------------------- the shell and the machine


def test_doctor(run_cli):
    said = run_cli("doctor --json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["neuroevo"] == neuroevo.__version__
    assert found["versions"]["jax"] and found["devices"].endswith("x cpu")
    assert 0 < found["self_test"]["compile_seconds"] < found["self_test"]["seconds"]


def test_doctor_tells_of_a_failure(run_cli, monkeypatch):
    def fail():
        raise RuntimeError("no returns")

    monkeypatch.setattr(diagnosis, "self_test", fail)
    said = run_cli("doctor")
    assert said.code == 1
    assert "RuntimeError: no returns" in said.err and "FAILED" in said.out


@pytest.mark.parametrize("no_color", ["", "1"])
def test_help_has_colors_unless_they_are_unwanted(no_color, run_cli, monkeypatch):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert ("\x1b[" in run_cli("sweep --help").out) == (not no_color)


def test_completion_knows_every_command(run_cli):
    said = run_cli("completion bash")
    assert said.code == 0
    words = set(re.findall(r"[\w.-]+", said.out))
    some = {"--encoding.size", "--strategy.std", "CMA_ES", "hopper", "--wandb.mode"}
    assert not {*COMMANDS, *some} - words
    assert run_cli("completion").out.startswith("usage")
    assert "expected one of bash" in run_cli("completion powershell").err
