"""The tables that commands print, in any terminal."""

import io
import math
import re
from collections.abc import Mapping

import numpy as np
import pytest
from rich.console import Console
from terminals import console, narrow, text, written

from neuroevo.terminal.ascii import to_ascii
from neuroevo.terminal.genomes import render_arrays, render_dataset
from neuroevo.terminal.listings import render_list
from neuroevo.terminal.results import (
    render_environments,
    render_evaluation,
    render_summary,
    render_sweep,
    render_transfer,
)

RNG = np.random.default_rng(0)
HOPPER = dict(states=RNG.normal(size=(4, 11)), actions=RNG.normal(size=(4, 3)))


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("terminal", [True, False])
def test_summary_and_evaluation(width, terminal):
    stream = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None
    )
    summary = dict(
        final_return_mean=-498.2,
        final_return_std=3.12,
        best_return_mean=-150.0,
        generations=300,
        env_steps=1.63e7,
        seconds=72.4,
        compile_seconds=5.0,
        run_dir="runs/my run",
    )
    render_summary(summary, stream)
    render_summary({}, stream)
    result = dict(return_mean=499.0, return_std=2.0, env="CartPole-v1")
    render_evaluation(result, stream)
    more = dict(return_per_policy=[500, 498.0, 499], policies=3, episodes=8)
    render_evaluation(result | more | {"episode_length_mean": 499.0}, stream)
    shown = text(stream)
    for part in ("-498.2 ± 3.12", "16.3M env steps", "1 min 12 s", "499.0 ± 2"):
        assert part in " ".join(shown.replace("│", " ").split())
    assert "neuroevo evaluate 'runs/my run'\n" in shown
    assert "neuroevo resume 'runs/my run' --generations 600\n" in shown
    if not terminal:
        assert "│" not in shown


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("terminal", [True, False])
def test_sweep_never_cuts_a_number(width, terminal):
    row = {"runs": 3, "done": 0, "states": {"0": "at 12", "1": "missing"}}
    done = {"done": 2, "env_steps": 53400, "seconds": 72.4}
    done |= {"return_mean": -150.5, "return_std": 34.4, "return_interval": [-160.0, -2]}
    variants = ["encoding=dataset,encoding.steps=32", "encoding=direct"]
    rows = [{"variant": variants[0]} | row, {"variant": variants[1]} | row | done]
    stream = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None
    )
    render_sweep("runs/s", rows, stream)
    shown = text(stream)
    assert not terminal or all(len(line) <= width for line in shown.splitlines())
    for part in ("encoding.steps=32", "0/3 (at 12)", "-150.5 ± 34.4", "-160.0 to -2"):
        assert part in shown
    assert "53.4k" in shown and "1 min 12 s" in shown


# Everything that is printed: what it is, and numbers that must be seen whole.

EVALUATION = {
    "env": "CartPole-v1",
    "which": "best",
    "policies": 3,
    "episodes": 8,
    "seed": 7,
    "return_mean": -1234.5,
    "return_std": 56.75,
    "return_std_policies": 8.5,
    "return_std_episodes": 9.5,
    "return_interval": [-1300.25, -1100.5],
    "return_per_policy": [-1300.0, -1200.0, -1250.0],
    "episode_length_mean": 499.0,
}
SUMMARY = {
    "final_return_mean": -1234.5,
    "final_return_std": 56.75,
    "best_return_mean": 1.25e7,
    "best_return_std": 3.5,
    "best_generation": 1200,
    "collapsed": True,
    "generations": 30_000,
    "env_steps": 1.63e7,
    "seconds": 72.4,
    "compile_seconds": 5.0,
    "peak_memory_bytes": 1.25e9,
    "run_dir": "runs/my run ü",
}
TRANSFER = {
    "env": "CartPole-v1",
    "policies": 1,
    "episodes": 4,
    "axes": {"width": [64, 1024], "activation": ["tanh", "relu"], "steps": [200]},
    "rows": [
        EVALUATION | {"width": width, "activation": activation, "steps": 200}
        for width in (64, 1024)
        for activation in ("tanh", "relu")
    ],
}
SWEEP = [
    EVALUATION
    | {"variant": "encoding.size=2,strategy=SNES", "runs": 3, "done": 2}
    | {"states": {"0": "done", "1": "at 12", "2": "done"}}
    | {"env_steps": 53_400, "seconds": 72.4}
]
ARRAYS = {"hidden_0/kernel": RNG.normal(size=(4, 64)), "bias": np.zeros(3)}
PRINTED = {
    "summary": (render_summary, SUMMARY, ["-1234 ± 56.8", "1.25e+07", "1.2 GB"]),
    "evaluation": (render_evaluation, EVALUATION, ["-1234 ± 56.8", "the best center"]),
    "environments": (
        render_environments,
        {"CartPole-v1": EVALUATION | {"own": EVALUATION}},
        ["-1234 ± 56.8", "-1300 to -1100"],
    ),
    "transfer": (render_transfer, TRANSFER, ["-1234 ± 56.8", "1024", "-1300"]),
    "sweep": (
        lambda rows, console: render_sweep("runs/s", rows, console),
        SWEEP,
        ["-1234 ± 56.8", "53.4k", "1 min 12 s", "2/3 (at 12)"],
    ),
    "arrays": (render_arrays, ARRAYS, ["4 × 64", "hidden_0/kernel"]),
    "dataset": (render_dataset, HOPPER, [f"{HOPPER['actions'][0, 0]:+.2f}"]),
}


def without(value, null):
    """Return results as those of a failed run are: None, NaN, or without the key."""
    if isinstance(value, Mapping):
        kept = {k: without(v, null) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v is not ...}
    if isinstance(value, list):
        return [x for x in (without(v, null) for v in value) if x is not ...]
    return null if isinstance(value, float) else value


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [40, 100])
@pytest.mark.parametrize("name", PRINTED)
def test_no_number_is_cut_in_any_terminal(name, width, terminal, encoding):
    render, value, numbers = PRINTED[name]
    stream = narrow(encoding, width=width, force_terminal=terminal)
    render(value, stream)
    shown = written(stream)
    words = " ".join(re.sub("[│|]", " ", shown).split())
    for number in numbers:
        assert (to_ascii(number) if encoding == "ascii" else number) in words
    commands = [line for line in shown.splitlines() if "neuroevo " in line]
    lines = [line for line in shown.splitlines() if line not in commands]
    assert not terminal or max(map(len, lines)) <= width


@pytest.mark.parametrize("null", [None, math.nan, ...])
@pytest.mark.parametrize("name", sorted(PRINTED.keys() - {"arrays", "dataset"}))
def test_results_of_a_failed_run_are_shown(name, null):
    render, value, _ = PRINTED[name]
    stream = console()
    render(without(value, null), stream)
    shown = text(stream)
    assert "None" not in shown and "nan" not in shown
    if null is None and name in ("summary", "evaluation", "environments", "transfer"):
        assert "not finite" in shown


def test_list_is_one_line_each_in_a_pipe():
    rows = [("SNES", "natural evolution " * 10), ("CMA_ES", "[adapts] covariance")]
    stream = console(40, terminal=False)
    render_list("strategies", rows, stream)
    assert len(text(stream).splitlines()) == 3
    assert "  CMA_ES  [adapts] covariance\n" in text(stream)
    stream = console(40)
    render_list("strategies", rows, stream)
    assert "[adapts]" in text(stream)


def dataset(arrays, width=80, **options):
    stream = console(width, terminal=False)
    render_dataset(arrays, stream, **options)
    lines = text(stream).splitlines()
    assert all(len(line) <= width for line in lines)
    return "\n".join(lines)


@pytest.mark.parametrize("width", [40, 50, 80, 120])
def test_dataset_of_continuous_actions_never_cuts_a_number(width):
    shown = dataset(HOPPER, width)
    for value in HOPPER["actions"].ravel():
        assert f"{value:+.2f}" in shown
    visible = sum(f" s{i} " in shown for i in range(11))
    assert visible == 11 or f"+{11 - visible}" in shown
    assert visible == 11 if width == 120 else visible >= 1
    assert shown.count("…") == (4 if visible < 11 else 0)


def test_dataset_of_labels_names_features_and_actions():
    arrays = dict(states=np.array([[0, -1.5, 2, 0.05]] * 2), labels=np.array([0, 1]))
    names = {"features": ("position", "velocity", "angle", "angular velocity")}
    shown = dataset(arrays, **names, actions=("left", "right"))
    for part in ("position", "angular velocity", "-1.50", "+0.05", "left", "right"):
        assert part in shown
    shown = dataset(arrays | {"labels": np.array([0, 7])})
    assert " s3 " in shown and " 7" in shown and "left" not in shown


def test_dataset_of_logits_shows_probabilities():
    logits = np.array([[0.0, 0.0], [1000.0, -1000.0]])
    shown = dataset(dict(states=np.zeros((2, 3)), action_logits=logits))
    assert "50%" in shown and "100%" in shown and "p1" in shown


@pytest.mark.parametrize("width", [40, 80])
def test_dataset_of_images_is_summarized(width):
    arrays = dict(states=RNG.random((3, 10, 10, 4)), labels=np.arange(3))
    shown = dataset(arrays, width)
    assert "10 × 10 × 4" in shown and "summarized" in shown and "mean" in shown
    assert len(shown.splitlines()) < 15


def test_dataset_limits_rows_and_columns():
    arrays = dict(states=np.zeros((40, 100)), labels=np.zeros(40, int))
    shown = dataset(arrays, 200, max_rows=5, max_columns=3)
    assert "40 state-action pairs" in shown and "… and 35 more pairs" in shown
    assert " s2 " in shown and " s3 " not in shown and "+97" in shown


def test_dataset_says_what_its_states_are():
    arrays = dict(states=np.ones((1, 2)), labels=np.array([0]))
    assert "policy sees" in dataset(arrays)
    assert "environment's units" in dataset(arrays, units=True)


def test_all_of_a_wide_dataset_is_shown_side_by_side():
    shown = dataset(HOPPER, 60, max_columns=None, order=[7, 5, 6, 4])
    values = [*HOPPER["states"].ravel(), *HOPPER["actions"].ravel()]
    for part in [*(f"{value:+.2f}" for value in values), " s10 ", " a2 ", " 7 "]:
        assert part in shown
