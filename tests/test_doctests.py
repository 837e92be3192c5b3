"""The examples in docstrings are true.

Those of the public functions share one run: the one that `neuroevo.evolve` makes in its
example, in a folder of its own.
"""

import contextlib
import doctest
import importlib
import io
from pathlib import Path

import jax
import numpy as np
import pytest

import neuroevo
from neuroevo import api

FIRST = "evolve"  # its example leaves `run` behind for the others
ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("neuroevo", "genomes")
    for file in sorted((ROOT / package).rglob("*.py"))
    if ">>>" in file.read_text("utf-8")
]


def examples(thing, name, names):
    """Return the examples of a function or class and its methods, by name."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    return {test.name: test for test in finder.find(thing, name, globs=names)}


def check(test, capsys):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    with capsys.disabled():
        report: list[str] = []
        runner = doctest.DocTestRunner(optionflags=flags)
        runner.run(test, out=report.append, clear_globs=False)
    assert not runner.failures, "".join(report)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The names that examples know, with the run of the first one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("examples"))
        known = {"neuroevo": neuroevo, "jax": jax, "np": np, "jnp": jax.numpy}
        (test,) = examples(api.evolve, FIRST, known).values()
        test.globs = known
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        report: list[str] = []
        runner.run(test, out=report.append, clear_globs=False)
        assert not runner.failures, "".join(report)
        yield known


PUBLIC = [name for name in neuroevo.__all__ if name != FIRST]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names(name, names, capsys):
    for test in examples(getattr(neuroevo, name), name, names).values():
        check(test, capsys)


@pytest.mark.parametrize("name", [m for m in MODULES if m != "neuroevo.api"])
def test_other_examples(name, names, capsys):
    """They know what their module does."""
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module("brax.envs")  # prints when it is imported
    module = importlib.import_module(name)
    known = {**names, **vars(module)}
    public = {getattr(neuroevo, each) for each in neuroevo.__all__}
    finder = doctest.DocTestFinder(exclude_empty=True)
    for test in finder.find(module, name, globs=known):
        owner = test.name.removeprefix(f"{name}.").partition(".")[0]
        if vars(module).get(owner) not in public:
            check(test, capsys)


def test_each_public_name_has_an_example():
    for name in neuroevo.__all__:
        assert ">>>" in getattr(neuroevo, name).__doc__, name
