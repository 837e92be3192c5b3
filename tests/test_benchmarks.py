"""The benchmarks' reference computes what neuroevo computes; tables can be written."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.core import keys
from neuroevo.core.state import Budget
from neuroevo.run.run import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import contenders
import plain
import table
import toy
from cases import CASES, Compare
from measure import configure


class Walk:
    name = "walk"

    def build(self):
        return toy.walk()


def make_run(options, custom=None):
    small = {"population": 4, "devices": 1, "policy.hidden": [8, 8]}
    layers = [Layer("test", small | options)]
    return Run(resolve.resolve(layers, custom=custom))


DIRECT = {"encoding": "direct", "normalization": "running", "episodes": 3}
# Orthogonal weights are drawn in two ways; these are drawn in one.
PAIRS = {
    "policy.kernel_init": "lecun",
    "encoding.steps": 3,
    "policies": 2,
    "episodes": 3,
}
AGREEING = {
    "cartpole, pairs": (PAIRS | {"env.max_steps_in_episode": 40}, None),
    "walk, pairs": (
        PAIRS
        | {
            "normalization": "episode",
            "encoding.max_grad_norm": 0.5,
            "encoding.init_scale": 1.0,
        },
        {"env": Walk()},
    ),
}


@pytest.mark.parametrize(
    "case", ["walk, pairs", pytest.param("cartpole, pairs", marks=pytest.mark.slow)]
)
def test_plain_formulation_agrees_on_the_same_genomes(case):
    run = make_run(*AGREEING[case])
    run.initialize()
    settings = run.config.settings
    key, ask_key = keys.evaluation(1), keys.evaluation(2)
    population, _ = jax.jit(run.parts.strategy.ask)(ask_key, run.state.strategy)
    ours = run.engine.evaluate(
        population,
        run.state.task,
        keys.policy_keys(key, settings.policies),
        episodes=settings.episodes,
    )

    init, _ = plain.make_generation(run)
    *_, moments = init(keys.search(1))
    evaluate = jax.jit(plain.make_evaluate(run))
    returns, lengths, *_ = evaluate(population, key, moments)

    np.testing.assert_array_equal(lengths, ours.lengths)
    np.testing.assert_allclose(returns, ours.returns, rtol=1e-3, atol=1e-3)
    assert np.std(returns) > 0


def test_first_generation_is_the_same_one():
    run = make_run(DIRECT, {"env": Walk()})
    key = keys.search(3)
    limits = Budget(np.int32(1), np.int32(2**31 - 1), np.float32(np.inf))
    _, _, report = run.engine.advance(run.engine.init(key), limits)

    init, generation = plain.make_generation(run)
    _, (fitness, _) = generation(init(key))

    assert fitness == pytest.approx(float(report.fitness_mean[0]), rel=1e-4)


def test_cases_have_names_of_their_own_and_options_that_exist():
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        for contender in case.contenders if isinstance(case, Compare) else ():
            assert hasattr(contenders, contender.kind)
            if contender.options or contender is case.contenders[0]:
                configure(case, contender, quick=True)


PLACE = {
    "machine": {"devices": "2 x cpu"},
    "jax": "0.10.2",
    "versions": "Python 3.11.7",
    "when": "2026-11-23, abc",
}


def test_a_table_is_added_to():
    first, second = (case.name for case in CASES[:2])
    whole = {name: {"rows": [{"contender": name}]} for name in (first, second)}
    parts = [table.document(CASES, {name: whole[name]}, PLACE) for name in whole]
    later = PLACE | {"when": "2026-11-24, def"}
    text = table.document(
        CASES, {second: whole[second]}, later, before=table.read(parts[0])
    )
    written = table.read(text)
    assert written.machine == PLACE["machine"]
    assert written.when == {
        first: {"0.10.2": PLACE["when"]},
        second: {"0.10.2": later["when"]},
    }
    assert text == table.document(CASES, whole, PLACE).replace(
        f"--cases {second}` (jax 0.10.2: {PLACE['when']})",
        f"--cases {second}` (jax 0.10.2: {later['when']})",
    )


def test_versions_of_jax_stand_side_by_side():
    name = CASES[0].name
    other = PLACE | {"jax": "0.11.2", "versions": "Python 3.12.1"}
    older, newer = ({name: {"rows": [{"contender": c}]}} for c in ("old", "new"))
    text = table.document(CASES, newer, other)
    text = table.document(CASES, older, PLACE, before=table.read(text))
    assert f"| {name} | 0.10.2 | old |" in text and f"| {name} | 0.11.2 | new |" in text
    assert text.index("| 0.10.2 |") < text.index("| 0.11.2 |")
    written = table.read(text)
    assert written.versions == {"0.10.2": "Python 3.11.7", "0.11.2": "Python 3.12.1"}
    assert set(written.when[name]) == {"0.10.2", "0.11.2"}
    assert text == table.document(CASES, {}, PLACE, before=written)
    noted = text + table.NOTES + "by hand\n"
    assert noted == table.document(CASES, {}, PLACE, before=table.read(noted))


def test_table_shows_what_was_measured_and_says_what_was_not():
    rows = [
        {
            "contender": "neuroevo",
            "bound": False,
            "seconds": [1.0, 2.0, 3.0],
            "fitness": [[1.0, 5.0]] * 3,
            "work": {"FLOP": 4e9},
            "ready": 7.0,
        },
        {
            "contender": "plain",
            "bound": False,
            "seconds": [2.0, 8.0, 9.0],
            "fitness": [[2.0, 6.0]] * 3,
            "work": {"FLOP": 4e9},
        },
        {"contender": "evosax", "bound": False, "error": "ValueError: no | such"},
        {
            "contender": "machine",
            "bound": True,
            "seconds": [1.0],
            "work": {"FLOP": 8e9},
        },
    ]
    results = {CASES[0].name: {"rows": rows}}
    text = table.document(CASES, results, PLACE)
    ours, plainly, failed, machine = (
        line for line in text.splitlines() if line.startswith(f"| {CASES[0].name} ")
    )
    assert "| 2 [1 to 3] | – | 2 GFLOP/s (25% of machine) | 3 ± 0 | 7.0 s | 3 |" in ours
    assert "| 8 [2 to 9] | 3 [2 to 4] |" in plainly
    assert "not measured: ValueError: no / such" in failed
    assert "8 GFLOP/s" in machine
    assert "- devices: 2 x cpu" in text
    for case in CASES[1:]:
        assert f"| {case.name} |  |  | not measured |" in text
        assert f"`python benchmarks/run.py --cases {case.name}`" in text


def test_problems_of_evosax_have_the_options_of_the_environment():
    import evosax_problem

    cases = {case.name: case for case in CASES}
    case = cases["direct-hopper"]
    run = Run(configure(case, case.contenders[0], quick=True))
    problem = evosax_problem.make_problem(run)
    assert problem.episode_length == run.config.parts["env"].episode_length
