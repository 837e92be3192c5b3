"""A genome may be given as a file, a run, a solution or a name of the zoo, alike.

And a run with parts made in Python: what can be done with it, and what is said.
"""

import json

import jax
import numpy as np
import pytest
import toy

import neuroevo
from genomes.dataset import Dataset
from neuroevo import loading
from neuroevo.cli import main as cli
from neuroevo.config import resolve
from neuroevo.config.custom import parts_in
from neuroevo.errors import UserError
from neuroevo.policies.networks import MLP

OPTIONS = {k: v for k, v in toy.CARTPOLE.items() if k != "env"} | {
    "env": toy.walk(),
    "population": np.int64(4),
    "policy": {"name": "mlp", "hidden": np.array([3])},
    "encoding": {"name": "dataset", "size": 2, "steps": np.int32(1)},
    "display": False,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with an environment made in Python, and options of numpy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("sources"))
        yield neuroevo.evolve(**OPTIONS, run_dir="run")


@pytest.fixture
def sources(run):
    """All that the run's genome may be given as; files need the environment."""
    run.best.save("genome.npz")
    return {
        "run": (run, {}),
        "solution": (run.best, {}),
        "directory": ("run", {"env": toy.walk()}),
        "path": (run.path.absolute(), {"env": toy.walk()}),
        "file": ("genome.npz", {"env": toy.walk()}),
    }


SOURCES = ("run", "solution", "directory", "path", "file")


def test_numpy_options_are_plain_in_the_configuration(run):
    described = run.config.to_dict()
    assert described["policy"]["hidden"] == [3]
    assert (described["population"], described["encoding"]["steps"]) == (4, 1)


def test_options_of_a_registered_class_go_by_its_name():
    """So that the command line can decode what they made."""
    custom, _ = parts_in({"encoding": Dataset(size=3), "policy": MLP(hidden=(2,))})
    resolved = resolve.resolve([], custom=custom)
    assert resolved.to_dict()["encoding"]["name"] == "dataset"
    described = resolved.to_dict()["policy"]
    assert (described["name"], described["hidden"]) == ("mlp", [2])


@pytest.mark.parametrize("source", SOURCES)
def test_a_genome_is_loaded_from_anything(source, sources, run):
    source, options = sources[source]
    solution = neuroevo.load(source, **options)
    jax.tree.map(np.testing.assert_array_equal, solution.genome, run.best.genome)
    changed = neuroevo.load(source, encoding={"steps": 2}, **options)
    assert changed.config.parts["encoding"].steps == 2
    assert changed.parts.environment.spec == run.parts.environment.spec


@pytest.mark.parametrize("source", SOURCES)
def test_a_search_starts_from_anything(source, sources, run, monkeypatch):
    source, options = sources[source]
    found = {}
    monkeypatch.setattr(
        "neuroevo.api.launch",
        lambda config, path, **given: found.update(given, config=config) or run,
    )
    neuroevo.evolve(start=source, **options)
    assert found["config"].parts["encoding"].size == 2
    np.testing.assert_array_equal(
        found["start"].arrays["states"], run.best.genome["states"]
    )


@pytest.mark.parametrize("source", SOURCES)
def test_a_policy_is_trained_from_anything(source, sources, tmp_path):
    source, options = sources[source]
    if options:  # a file does not hold the environment
        source = neuroevo.load(source, **options)
    about = neuroevo.save_policy(source, str(tmp_path / "policy.npz"), seed=np.int64(2))
    assert about["trained_from"]["seed"] == 2
    with np.load(tmp_path / "policy.npz") as file:
        json.loads(str(file["meta"]))


def test_which_genome_of_a_run(run):
    for which in ("best", "center"):
        expected = getattr(run, which)
        for source, options in ((run, {}), ("run", {"env": toy.walk()})):
            solution = neuroevo.load(source, which=which, **options)
            assert solution.which == which
            jax.tree.map(
                np.testing.assert_array_equal, solution.genome, expected.genome
            )
    assert neuroevo.load("zoo:cartpole-d2").which is None


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda run: neuroevo.load(3), "zoo:NAME.*, got 3"),
        (lambda run: neuroevo.load(neuroevo.Run), "got <class"),
        (lambda run: neuroevo.load(run, which="centre"), "did you mean 'center'"),
        (lambda run: run.evaluate(0, 1), "policies: expected an integer from 1"),
        (lambda run: run.evaluate(policies=2.5), "policies: .* integer, got 2.5"),
        (lambda run: run.evaluate(policies=True), "policies: .*, got True"),
        (lambda run: run.evaluate(1, -1), "episodes: expected an integer from 1"),
        (lambda run: run.evaluate(seed=-1), "seed: expected an integer from 0"),
        (lambda run: run.best.evaluate(seeds=3), "'seeds': expected 'policies'"),
        (lambda run: run.evaluate(seeds=3), "'seeds': expected 'policies'"),
        (lambda run: run.best.record(policies=0), "policies: expected"),
        (lambda run: neuroevo.transfer(run, policies=0), "policies: expected"),
        (lambda run: neuroevo.transfer(run, widths=[]), "widths: expected"),
        (lambda run: neuroevo.merge(run), "at least two genomes to merge, got 1"),
    ],
)
def test_arguments_that_are_none(call, expected, run):
    with pytest.raises(UserError, match=expected):
        call(run)


@pytest.mark.parametrize(
    "call",
    [
        neuroevo.load,
        neuroevo.transfer,
        lambda path: neuroevo.evolve(start=path, display=False),
        lambda path: neuroevo.merge(path, path),
        lambda path: neuroevo.save_policy(path, "unwritten.npz"),
    ],
)
def test_a_part_made_in_python_is_asked_for(call, run):
    """And not called an unknown environment, as if it had been misspelled."""
    with pytest.raises(loading.UnregisteredPart) as error:
        call("run")
    assert "env 'Environment' is not registered" in str(error.value)
    assert "neuroevo.load('run/best.npz', env=...)" in str(error.value)


@pytest.mark.parametrize(
    ("line", "code", "out", "err"),
    [
        (
            "inspect run",
            0,
            "2 state-action pairs",
            "env 'Environment' is not registered",
        ),
        ("report run --out page.html", 0, "page.html", "neuroevo.load('run/best.npz'"),
        ("metrics run", 0, "center_return", ""),
        ("plot run --out curves.png", 0, "curves.png", ""),
        ("evaluate run", 2, "", "neuroevo.load('run/best.npz', env=...)"),
        ("render run", 2, "", "neuroevo.load('run/best.npz', env=...)"),
    ],
)
def test_commands_show_what_needs_no_part_made_in_python(
    line, code, out, err, run, capsys
):
    with pytest.raises(SystemExit) as ended:
        cli.main(line.split())
    printed = capsys.readouterr()
    assert (ended.value.code or 0) == code, printed.err
    assert out in printed.out
    assert err in printed.err
    assert printed.err.count("\n") == bool(err)


@pytest.mark.parametrize(
    "measure",
    [
        lambda solution: solution.record(),
        lambda solution: neuroevo.save_policy(solution, "unwritten.npz"),
    ],
)
def test_a_policy_that_is_not_finite_is_no_policy(measure, run):
    solution = neuroevo.load(
        run, encoding={"steps": 300, "optimizer": "sgd", "learning_rate": 1e30}
    )
    with pytest.raises(UserError, match="seed 0 has parameters that are not finite"):
        measure(solution)
    assert not (run.path.parent / "unwritten.npz").exists()
