"""Settings compared over environments: budgets, scores, intervals and profiles."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from neuroevo.config.layers import Layer
from neuroevo.config.resolve import resolve
from neuroevo.config.yaml import to_yaml
from neuroevo.errors import UserError
from neuroevo.store.record import RunRecord
from neuroevo.studies import compare
from neuroevo.terminal import results
from neuroevo.terminal.console import make_console
from neuroevo.views import aggregates

STEPS = 100  # of a generation
PARTS = {"a": {"encoding": "direct"}, "b": {"encoding": "lowrank"}}


def record(env, setting, seed, returns, *, seconds=1.0, compiled=2.0, stopped="time"):
    """Return a run with a held-out evaluation in every generation."""
    options = {"env": env, "seed": seed} | PARTS[setting]
    rows = [
        {
            "generation": i + 1,
            "env_steps": STEPS * (i + 1),
            "seconds": compiled + seconds * (i + 1),
            "cpu_seconds": 1.0 + 2 * (i + 1),
            "center_return": float(value),
        }
        for i, value in enumerate(returns)
    ]
    config = resolve([Layer("", options)]).to_dict()
    summary = {
        "stopped_by": stopped,
        "compile_seconds": compiled,
        "compile_cpu_seconds": 1.0,
    }
    return RunRecord(Path(f"{env}-{setting}-{seed}"), config, rows, summary, {})


def two_settings(**options):
    """Return runs in which the second setting is half as good as the first."""
    rising = np.arange(10.0)
    return [
        record(env, setting, seed, scale * factor * rising + seed, **options)
        for env, scale in (("CartPole-v1", 50), ("Acrobot-v1", 1))
        for setting, factor in (("a", 1), ("b", 0.5))
        for seed in range(4)
    ]


def test_scores_are_between_the_first_centers_and_the_best_setting():
    found = compare.compare(two_settings())
    assert [task.env for task in found.tasks] == ["CartPole-v1", "Acrobot-v1"]
    cartpole = found.tasks[0]
    assert (cartpole.budget, cartpole.low) == (1000, 1.5)
    assert cartpole.high == 50 * 8 + 1.5  # mean of the last three evaluations
    np.testing.assert_allclose(
        found.returns["direct"]["CartPole-v1"], 400 + np.arange(4)
    )
    best, worse = (found.scores[label] for label in ("direct", "lowrank"))
    assert compare.at_end(best)["CartPole-v1"].mean() == pytest.approx(1)
    assert compare.at_end(worse)["CartPole-v1"].mean() == pytest.approx(0.5)
    assert best["CartPole-v1"].shape == (4, len(compare.SHARES))
    assert np.all(np.diff(best["CartPole-v1"].mean(0)) >= 0)


def test_the_budget_is_that_of_the_shortest_run():
    runs = two_settings()
    runs.append(record("CartPole-v1", "b", 4, np.arange(5.0)))
    found = compare.compare(runs)
    assert found.tasks[0].budget == 500
    np.testing.assert_allclose(
        found.returns["direct"]["CartPole-v1"], 50 * 3 + np.arange(4)
    )


def test_a_run_that_ended_at_its_target_keeps_its_last_return():
    runs = two_settings()
    runs.append(record("CartPole-v1", "a", 4, [500.0] * 3, stopped="target"))
    found = compare.compare(runs)
    assert found.tasks[0].budget == 1000
    assert found.returns["direct"]["CartPole-v1"][-1] == 500


def test_time_is_counted_without_compilation():
    fast = [run for run in two_settings(seconds=0.5) if "-a-" in run.path.name]
    slow = [run for run in two_settings(compiled=9.0) if "-b-" in run.path.name]
    assert compare.compare(fast + slow, "cpu_seconds").tasks[0].budget == 20
    found = compare.compare(fast + slow, "seconds")
    assert found.tasks[0].budget == pytest.approx(5)
    np.testing.assert_allclose(
        found.returns["lowrank"]["CartPole-v1"], 25 * 3 + np.arange(4)
    )
    np.testing.assert_allclose(
        found.returns["direct"]["CartPole-v1"], 50 * 8 + np.arange(4)
    )


def test_an_environment_that_a_setting_lacks_is_left_out():
    runs = two_settings()
    runs.append(record("Pendulum-v1", "a", 0, [1.0, 2.0]))
    found = compare.compare(runs)
    assert found.left_out == ["Pendulum-v1"]
    with pytest.raises(UserError, match="at least two settings, got 1"):
        compare.compare([run for run in runs if "-a-" in run.path.name])
    apart = [run for run in runs if run.path.name in ("CartPole-v1-a-0",)]
    apart.append(record("Pendulum-v1", "b", 0, [1.0, 2.0]))
    with pytest.raises(UserError, match="CartPole-v1 has .*; Pendulum-v1 has "):
        compare.compare(apart)


def test_where_nobody_learns_nobody_scores(tmp_path):
    runs = [
        record("Pendulum-v1", setting, seed, seed + factor * np.arange(10))
        for setting, factor in (("a", 0), ("b", 0.1))
        for seed in range(4)
    ]
    with pytest.raises(UserError, match="Pendulum-v1 all returns are like those of"):
        compare.compare(runs)
    found = compare.compare([*two_settings(), *runs])
    assert [task.learned for task in found.tasks] == [True, True, False]
    assert "Pendulum-v1" not in found.scores["direct"]
    rows = compare.table(found)
    assert rows[0]["runs"] == 8 and "Pendulum-v1" in rows[0]["returns"]
    aggregates.draw(found, tmp_path / "scores.svg")
    console = make_console(file=io.StringIO())
    results.render_aggregates(found, rows, console)
    assert "scores without Pendulum-v1, where no setting" in console.file.getvalue()


def test_the_interquartile_mean_is_that_of_the_middle_half():
    drawn = np.random.default_rng(0).normal(size=40)
    assert compare.interquartile_mean(drawn) == pytest.approx(
        np.sort(drawn)[10:30].mean()
    )


def test_intervals_hold_the_truth_as_often_as_they_say():
    draw, inside = np.random.default_rng(1), 0
    for _ in range(60):
        scores = {"x": draw.normal(0, 1, 12), "y": draw.normal(0, 2, 12)}
        found = compare.estimate(scores)
        inside += found.low <= 0 <= found.high
        assert found.low <= found.value <= found.high
    assert 50 <= inside <= 60


def test_runs_are_resampled_within_their_environment():
    apart = {"x": np.zeros(5), "y": np.ones(5)}
    found = compare.estimate(apart, lambda scores: scores.mean(axis=0))
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_a_profile_is_the_share_of_runs_at_each_score():
    found = compare.profile({"x": np.array([0.0, 1.0]), "y": np.array([0.5])})
    assert found[0] == 1 and found[-1] == 0.25
    assert found[50] == 0.75 and found[51] == 0.25
    assert np.all(np.diff(found) <= 0)


def write(run, folder):
    path = folder / run.path.name
    path.mkdir()
    (path / "config.yaml").write_text(to_yaml(run.config))
    lines = [json.dumps(row) + "\n" for row in run.rows]
    (path / "metrics.jsonl").write_text("".join(lines))
    (path / "summary.json").write_text(json.dumps(run.summary))
    return path


def test_the_command(run_cli, tmp_path):
    paths = " ".join(str(write(run, tmp_path)) for run in two_settings())
    said = run_cli(f"compare {paths} --out {tmp_path}/scores.svg")
    assert (said.code, said.err) == (0, "")
    assert "direct" in said.out and "0.50" in said.out and "Acrobot-v1" in said.out
    assert (tmp_path / "scores.svg").read_text().startswith("<?xml")
    said = run_cli(f"compare {paths} --x seconds --json")
    best, worse = json.loads(said.out)["settings"]
    assert (best["setting"], worse["setting"]) == ("direct", "lowrank")
    assert worse["score"] == pytest.approx(0.5, abs=0.02)
    low, high = worse["returns"]["CartPole-v1"]["interval"]
    assert low <= worse["returns"]["CartPole-v1"]["mean"] <= high
    said = run_cli(f"compare {paths} --out {tmp_path}/scores.svg")
    assert said.code == 2 and "scores.svg" in said.err
    assert run_cli("compare").code == 2
    said = run_cli(f"compare {paths.split()[0]}")
    assert said.code == 2 and "at least two settings" in said.err
