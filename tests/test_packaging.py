"""What users of a package index get: an sdist that tests itself, a wheel that works."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = (".git", ".venv*", "*.egg-info", "build", "dist", "runs", "site", ".*_cache")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist and the wheel, built from a copy of the checkout (needs a network)."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*LEFT_OUT))
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_sdist_has_what_its_tests_need(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"Makefile", "README.md", "CHANGELOG.md", "CITATION.cff", "mkdocs.yml"}
    needed |= {"tests/conftest.py", "tests/toy.py", "docs/figures/cartpole-d2.gif"}
    needed |= {"examples/hopper.py", "benchmarks/run.py"}
    assert needed <= names


@pytest.mark.slow
def test_the_wheel_has_the_data_of_the_package(built):
    with zipfile.ZipFile(built[1]) as archive:
        names = set(archive.namelist())
    data = [
        file.relative_to(ROOT).as_posix()
        for pattern in ("*.yaml", "*.html", "*.npz", "*.pyi", "py.typed")
        for package in ("neuroevo", "genomes")
        for file in (ROOT / package).rglob(pattern)
    ]
    assert data and names >= set(data)


@pytest.mark.slow
def test_the_wheel_works_without_the_checkout(built, tmp_path):
    """Installed, not editable, it trains, lists its zoo and reports."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--no-deps", "--quiet", built[1]]
    subprocess.run(install, check=True, capture_output=True)
    # The dependencies of the environment that runs this test, and nothing of its
    # editable installations.
    paths = [sysconfig.get_path("purelib"), *filter(None, sys.path)]
    paths = [path for path in paths if Path(path).resolve() != ROOT]
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text("\n".join(dict.fromkeys(paths)))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def run(*arguments):
        command = [python.with_name("neuroevo"), *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import neuroevo, genomes; print(neuroevo.__file__, genomes.__file__)"
    told = subprocess.run(
        [python, "-c", where], cwd=tmp_path, env=environment, capture_output=True
    )
    assert str(ROOT) not in told.stdout.decode()
    assert "hopper-d4" in run("list", "zoo")
    train = "train --generations 2 --population 4 --final-policies 1 --devices 1"
    run(*train.split(), "--run-dir", "cartpole")
    run("report", "cartpole", "--no-episode")
    assert (tmp_path / "cartpole" / "report.html").exists()


@pytest.mark.slow
def test_an_encoding_in_a_package_of_its_own_works_with_everything(tmp_path):
    """Installed (which needs a network), the example is one of the encodings."""
    package = tmp_path / "source"
    shutil.copytree(ROOT / "examples" / "tiled_encoding", package)
    install = "install --no-deps --quiet --target site".split()
    command = [sys.executable, "-m", "pip", *install, str(package)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    paths = [str(tmp_path / "site"), str(ROOT)]

    def run(arguments):
        done = subprocess.run(
            [sys.executable, "-m", "neuroevo", *arguments.split()],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "tiled" in run("list encodings")
    small = "--population 8 --episodes 1 --devices 1 --final-policies 1 --seed 1"
    run(f"train --encoding tiled --encoding.side 2 --generations 2 {small} --run-dir a")
    run(f"train --encoding tiled --encoding.side 2 --generations 1 {small} --run-dir b")
    run("resume b --generations 2")
    same = [(tmp_path / name / "metrics.jsonl").read_text() for name in "ab"]
    returns = [
        [json.loads(line)["fitness_mean"] for line in text.splitlines()]
        for text in same
    ]
    assert returns[0] == returns[1]
    evaluate = "evaluate a --policies 2 --episodes 2 --seed 3 --json"
    found = json.loads(run(evaluate))
    shutil.copy(tmp_path / "a" / "best.npz", tmp_path / "tiled.npz")
    again = json.loads(run(evaluate.replace("evaluate a", "evaluate tiled.npz")))
    assert found["return_mean"] == again["return_mean"] > 0
    run("report a --no-episode")
