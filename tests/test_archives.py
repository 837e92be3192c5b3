"""The archive of a run: how it fills, its files, and its pictures."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_map_elites import described_walk
from toy import walk

import neuroevo
from neuroevo.cli.main import main
from neuroevo.core import diversity
from neuroevo.errors import UserError
from neuroevo.store import archive_file, directory, genome_file
from neuroevo.studies.archives import remeasure
from neuroevo.views import archives

# --- the engine -----------------------------------------------------------------------


def evolved(**options):
    """Return a short search for places where a walk ends."""
    given = {
        "env": described_walk(),
        "encoding": "direct",
        "policy": {"name": "mlp", "hidden": [4]},
        "strategy": {"name": "MAPElites", "cells": [4, 6]},
        "population": 16,
        "policies": 1,
        "generations": 6,
        "center_every": 2,
        "final_policies": 1,
        "final_episodes": 1,
        "devices": 1,
    }
    return neuroevo.evolve(**{**given, **options})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return evolved(run_dir=tmp_path_factory.mktemp("runs") / "walk")


def same(x, y):
    jax.tree.map(np.testing.assert_array_equal, x, y)


def test_the_archive_fills_and_its_metrics_are_those_of_its_cells(run):
    elites = run.state.strategy.elites
    filled = np.isfinite(elites.fitness)
    coverage = [row["coverage"] for row in run.metrics]
    assert coverage == sorted(coverage) and coverage[-1] > coverage[0] > 0
    assert run.metrics[-1]["coverage"] == pytest.approx(filled.mean(), abs=1e-6)
    score = elites.fitness[filled].sum()
    assert run.metrics[-1]["qd_score"] == pytest.approx(float(score), rel=1e-5)
    assert max(row["fitness_max"] for row in run.metrics) == elites.fitness.max()


def test_results_do_not_depend_on_devices(run):
    same(run.state.strategy, evolved(devices=2).state.strategy)


def test_a_resumed_search_goes_on_with_its_archive(run, tmp_path):
    evolved(generations=3, run_dir=tmp_path / "run")
    resumed = evolved(run_dir=tmp_path / "run", resume=True)
    same(run.state.strategy, resumed.state.strategy)
    columns = ("generation", "coverage", "qd_score", "fitness_mean")
    for before, after in zip(run.metrics, resumed.metrics, strict=True):
        assert [before[k] for k in columns] == [after[k] for k in columns]


def test_the_offset_is_taken_from_every_elite(run):
    strategy = run.parts.strategy
    lower = strategy._replace(archive=strategy.archive._replace(offset=-5.0))
    found = diversity.of(lower, run.state.strategy)
    count = np.isfinite(run.state.strategy.elites.fitness).sum()
    expected = run.metrics[-1]["qd_score"] + 5 * count
    assert float(found.qd_score) == pytest.approx(expected, rel=1e-5)


def test_failures_never_enter_the_archive():
    """Every episode that begins on the right fails, some at its very end."""

    def fail(state, observation):
        return jnp.where(state[0] > 0, jnp.nan, state)

    where = described_walk().descriptor._replace(of=fail)
    found = evolved(env=walk()._replace(descriptor=where), episodes=1)
    elites = found.state.strategy.elites
    assert (elites.descriptors[np.isfinite(elites.fitness), 0] <= 0).all()
    assert 0 < found.metrics[-1]["coverage"] <= 0.5


def test_a_strategy_without_an_archive_costs_nothing_more(run):
    plain = evolved(env=walk(), strategy="SNES", generations=1)
    assert "coverage" not in plain.metrics[0]
    shapes = jax.eval_shape(plain.engine.steps.begin, None, plain.state)[0]
    assert shapes.outcomes.descriptors is None
    assert shapes.slots.episodes.descriptors is None
    counts = [
        len(jax.tree.leaves(x.engine.steps.begin(None, x.state)[0]))
        for x in (plain, run)
    ]
    assert counts[1] == counts[0] + 2


def test_an_environment_without_a_descriptor_is_told():
    with pytest.raises(
        UserError, match="needs a descriptor.* or one with a descriptor"
    ):
        evolved(env=walk())
    with pytest.raises(UserError, match="--env.descriptor position velocity"):
        evolved(env="MountainCarContinuous-v0")
    with pytest.raises(UserError, match="env digits has none: expected an environment"):
        evolved(env="digits", episodes=1)


def test_an_archive_larger_than_memory_is_told():
    with pytest.raises(UserError, match="for the strategy.*: use fewer --strategy.cel"):
        evolved(strategy={"name": "MAPElites", "cells": [40_000]})


# --- files ----------------------------------------------------------------------------


def command(*words):
    """Run a command and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def same_archive(one, two):
    assert one.grid == two.grid and one.meta == two.meta
    for name in ("genomes", "fitness", "descriptors", "places", "shared"):
        same(getattr(one, name), getattr(two, name))


def test_the_archive_of_a_run_is_in_its_file(run):
    archive = run.archive
    assert archive.grid.names == ("x", "y") and archive.grid.cells == (4, 6)
    assert archive.coverage == pytest.approx(run.metrics[-1]["coverage"], abs=1e-6)
    assert archive.qd_score == pytest.approx(run.metrics[-1]["qd_score"], rel=1e-5)
    expected = np.asarray(run.state.strategy.elites.fitness).reshape(4, 6)
    expected = np.where(np.isfinite(expected), expected, np.nan)
    np.testing.assert_array_equal(archive.fitness_by_cell, expected)
    same_archive(directory.read_archive(run.path)._replace(path=archive.path), archive)


def test_an_elite_is_found_by_what_it_does(run):
    archive = run.archive
    apart = ((archive.descriptors - [1.0, -0.5]) / 6) ** 2
    index = int(np.argmin(apart.sum(axis=1)))
    elite = run.elite(1.0, -0.5)
    same(
        genome_file.to_arrays(elite.genome),
        {k: v[index] for k, v in archive.genomes.items()},
    )
    described = elite.meta()["elite"]["descriptor"]
    assert list(described.values()) == archive.descriptors[index].tolist()


def test_an_exported_elite_is_a_genome_like_any_other(run, tmp_path, capsys):
    out = tmp_path / "elite.npz"
    code = command("export", run.path, "--elite", 1, -0.5, "--out", out)
    printed = capsys.readouterr()
    assert code == 0 and printed.out == f"{out}\n"
    assert "neuroevo: fitness " in printed.err and " at x " in printed.err
    solution = neuroevo.load(out, env=described_walk())
    elite = run.elite(1.0, -0.5)
    same(solution.genome, elite.genome)
    assert genome_file.load(out).meta["elite"] == elite.meta()["elite"]
    for source in (run, run.path):
        found = neuroevo.load(source, elite=(1.0, -0.5), env=described_walk())
        same(found.genome, elite.genome)
    result, again = (x.evaluate(2, 3, seed=1) for x in (solution, elite))
    assert result == again and result["descriptor"].keys() == {"x", "y"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--elite", "1", "--out", "{out}"], "expected 2 numbers, x, y, got"),
        (["--elite", "1", "nan", "--out", "{out}"], "each a number, got '1 nan'"),
        (["--elite", "1", "2"], "--out is missing"),
        (["--out", "{out}"], "--elite is missing"),
        (
            ["--elite", "1", "2", "--out", "elite.txt"],
            "expected a name that ends in .npz",
        ),
    ],
)
def test_what_cannot_be_exported_is_told(run, words, message, tmp_path, capsys):
    words = [word.format(out=tmp_path / "elite.npz") for word in words]
    assert command("export", run.path, *words) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_run_without_an_archive_has_no_elites(run, tmp_path, capsys):
    path = tmp_path / "copy"
    shutil.copytree(run.path, path)
    (path / directory.ARCHIVE).unlink()
    words = ["--elite", "1", "2", "--out", str(tmp_path / "elite.npz")]
    assert command("export", path, *words) == 2
    assert "it has no archive of elites; expected a run with" in capsys.readouterr().err
    (path / directory.ARCHIVE).write_bytes((path / directory.BEST).read_bytes())
    assert command("export", path, *words) == 2
    assert "expected format 'neuroevo-archive'" in capsys.readouterr().err


def test_a_damaged_archive_is_told(run, tmp_path):
    archive = run.archive
    for change in (
        {"fitness": archive.fitness[1:]},
        {"places": archive.places + 5},
        {"grid": archive.grid._replace(names=("x",))},
        {"genomes": {"w": np.zeros((1, 1))}},
    ):
        archive_file.save(tmp_path / "a.npz", archive._replace(**change))
        with pytest.raises(UserError, match="its arrays do not fit"):
            archive_file.load(tmp_path / "a.npz")


def test_elites_are_measured_again_on_fresh_episodes(run):
    archive = run.archive
    np.testing.assert_array_equal(
        archive.grid.places(archive.descriptors), archive.places
    )
    again = remeasure(run.best, archive, policies=2, episodes=3, seed=1)
    assert 0 < len(again.fitness) <= len(archive.fitness)
    assert len(np.unique(again.places, axis=0)) == len(again.places)
    np.testing.assert_array_equal(again.grid.places(again.descriptors), again.places)
    (name, *_) = archive.genomes
    before = {array.tobytes(): i for i, array in enumerate(archive.genomes[name])}
    index = before[again.genomes[name][-1].tobytes()]
    alone = run.elite(*archive.descriptors[index]).evaluate(2, 3, seed=1)
    assert alone["return_mean"] == pytest.approx(again.fitness[-1], rel=1e-4)
    described = list(alone["descriptor"].values())
    np.testing.assert_allclose(described, again.descriptors[-1], rtol=1e-4)


# --- views ----------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_what_is_drawn_is_the_best_over_further_dimensions(dimensions, tmp_path):
    names = ("far-away", "y", "z")[:dimensions]
    cells = (2, 3, 4)[:dimensions]
    places = np.array([(1, 2, 0), (1, 2, 3), (0, 0, 1)])[:, :dimensions]
    places = np.unique(places, axis=0)
    archive = archive_file.ArchiveFile(
        path=tmp_path,
        genomes={},
        fitness=np.arange(len(places), dtype=float),
        descriptors=places / cells,
        places=places,
        grid=archive_file.Grid(names, (0.0,) * dimensions, (1.0,) * dimensions, cells),
        shared={},
        meta={},
    )
    shown = archives.map_of(archive)
    assert shown.names == names[:2] and len(shown.edges) == min(dimensions, 2)
    assert ("best over z" in shown.title) == (dimensions == 3)
    expected = np.full(cells[:2], np.nan)
    for place, fitness in zip(places, archive.fitness, strict=True):
        expected[tuple(place[:2])] = np.fmax(expected[tuple(place[:2])], fitness)
    np.testing.assert_array_equal(shown.fitness, expected)
    archives.draw(archive, tmp_path / "a.svg", (3, 2))
    assert "far away" in (tmp_path / "a.svg").read_text()
    (drawn,) = archives.plot(archive).data
    np.testing.assert_array_equal(drawn.z if dimensions > 1 else drawn.y, expected.T)


def test_plot_and_report_show_the_archive(run, tmp_path, capsys):
    picture, page = tmp_path / "a.svg", tmp_path / "page.html"
    assert command("plot", run.path, "--archive", "--out", picture) == 0
    assert f"{len(run.archive.fitness)} elites" in picture.read_text()
    assert command("report", run.path, "--out", page) == 0
    html = page.read_text()
    assert "The archive" in html and "QD score" in html
    capsys.readouterr()
    other = tmp_path / "other"
    shutil.copytree(run.path, other)
    out = tmp_path / "b.svg"
    assert command("plot", run.path, other, "--archive", "--out", out) == 2
    assert "--archive: expected one RUN, got 2" in capsys.readouterr().err
    (other / directory.ARCHIVE).unlink()
    assert command("plot", other, "--archive", "--out", out) == 2
    assert "it has no archive of elites" in capsys.readouterr().err
    assert command("report", other, "--out", tmp_path / "c.html") == 0
    assert "The archive" not in (tmp_path / "c.html").read_text()
