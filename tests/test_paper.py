"""The table of the paper's results and ours is made from the files of runs."""

import sys
from pathlib import Path

import pytest

from neuroevo.store.record import RunRecord

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import paper


def run(*, strategy="SNES", seed=0, returns=(1800.0, 1700.0), rows=None, **changes):
    config = {
        "encoding": {"name": "dataset", "size": 4, "init": "random"},
        "strategy": {"name": strategy},
        "rows": rows,
        "seed": seed,
        "final_policies": 2,
        "final_episodes": 4,
    }
    mean = sum(returns) / len(returns)
    summary = {
        "env": "hopper",
        "best_return_mean": mean,
        "best_return_interval": [min(returns), max(returns)],
        "best_return_per_policy": list(returns),
        "env_steps": 1000,
        "seconds": 60.0,
    }
    environment = {
        "command": ["neuroevo", "train", "--out", "/somewhere/x.npz"],
        "devices": "2 x cpu",
        "versions": {"jax": "0.10.2"},
        "git_revision": "0123456789abcdef",
        "started": "2026-11-27T00:00:00+0000",
    }
    progress = [
        {"generation": i, "env_steps": 500 * i, "seconds": i, "center_return": 900.0}
        for i in (1, 2)
    ]
    return RunRecord(Path("run"), config, progress, summary | changes, environment)


def row(text):
    return next(line for line in text.splitlines() if line.startswith("| hopper | 4 "))


def test_a_cell_tells_searches_with_and_without_a_teacher_apart():
    kept = [
        paper.record([run()], None),
        paper.record([run(seed=1, returns=(1700.0, 1600.0))], None),
        paper.record([run(strategy="gradients")], "PPO, 1826, 10 M"),
    ]
    text = paper.document(kept)
    alone, taught = row(text).split(" | ")[4:]
    assert alone == "1700 (2 searches: 1650 to 1750)"
    assert taught.startswith("**1750 (one search)**")
    assert "- from scratch: 0 of the 18 cells of HaDES-R" in text
    assert "- with a teacher: 1 of the 18 cells of HaDES-R" in text
    assert "teacher: PPO, 1826, 10 M" in text
    assert "| hopper | 16 | 1782 | 1838 | not measured | not measured |" in text


def test_a_cell_shows_the_setting_with_most_seeds_and_then_the_best():
    def searched(options, seed, mean):
        one = run(seed=seed, returns=(mean, mean))
        options = f"{options} --seed {seed} --run-dir r{seed}"
        one.environment["command"] = ["neuroevo", "train", *options.split()]
        return paper.record([one], None)

    lucky = searched("--strategy PGPE", 0, 1900.0)
    worse = [searched("--strategy SNES", seed, 1600.0 + seed) for seed in (0, 1)]
    better = [searched("--strategy ARS", seed, 1700.0 + seed) for seed in (0, 1)]
    kept = [lucky, *worse, *better]
    text = paper.document(kept)
    assert row(text).split(" | ")[4] == "1700 (2 searches: 1700 to 1701)"
    assert "| 0 | **1700** (1700 to 1700) |" in text
    assert "| 0 | 1900 (1900 to 1900) |" in text


@pytest.mark.parametrize("name", ["first-0", "zoo:hopper-d4"])
def test_a_setting_knows_no_seed_and_no_budget(name):
    def record(run_dir, seconds, std):
        started = f"neuroevo train --start {name} --policy.hidden 8 8"
        started += f" --strategy.std {std} --max-seconds {seconds} --run-dir {run_dir}"
        return {"commands": [started, f"neuroevo resume {run_dir} --max-seconds 9"]}

    settings = [
        paper.setting(record(*each))
        for each in (("a-0", 5, 0.1), ("a-1", 7, 0.1), ("a-0", 5, 0.2))
    ]
    assert settings[0] == settings[1] != settings[2]
    assert any("--policy.hidden 8 8" in options for options in settings[0])


def test_what_a_search_started_from_counts():
    both = paper.record([run(strategy="gradients"), run(strategy="CMA_ES")], "PPO")
    assert both["how"] == paper.TAUGHT
    assert (both["env_steps"], both["seconds"]) == (2000, 120.0)
    assert both["curve"] == [[500.0, 900], [1000, 900], [1500, 900], [2000, 900]]
    assert both["worst"] == 1700
    assert both["commands"] == ["neuroevo train --out x.npz"] * 2


def test_a_resumed_search_is_the_same_and_tells_how_it_began():
    begun, whole = run(), run()
    resumed = ["neuroevo", "resume", "x", "--generations", "9"]
    whole.environment.update(command=resumed, earlier=[begun.environment])
    begun, whole = (paper.record([each], None) for each in (begun, whole))
    began = "neuroevo train --out x.npz"
    assert whole["commands"] == [began, "neuroevo resume x --generations 9"]
    assert paper.same(begun, whole)


def test_a_longer_chain_is_the_same_search():
    first, second = run(strategy="gradients"), run(strategy="CMA_ES")
    second.environment["command"] = ["neuroevo", "train", "--start", "x.npz"]
    begun, whole = (paper.record(runs, "PPO") for runs in ([first], [first, second]))
    assert paper.same(begun, whole) and paper.same(whole, begun)
    assert not paper.same(begun, whole | {"seed": 1})
    assert not paper.same(paper.record([second], None), whole)


@pytest.mark.parametrize("learned", [{"strategy": "gradients"}, {"rows": "rows.npz"}])
def test_a_teacher_has_to_be_named(learned):
    with pytest.raises(SystemExit, match="expected --teacher"):
        paper.record([run(**learned)], None)


def test_a_run_without_results_is_refused():
    unfinished = run()._replace(summary={"env": "hopper"})
    with pytest.raises(SystemExit, match="expected a run that has been evaluated"):
        paper.record([unfinished], None)


def test_curves_are_drawn(tmp_path):
    file = tmp_path / "curves.svg"
    paper.draw([paper.record([run()], None)], file)
    assert file.stat().st_size > 1000
