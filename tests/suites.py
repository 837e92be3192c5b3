"""What the tests of environments share."""

import dataclasses
import subprocess
import sys
import textwrap

import jax

from neuroevo.environments import (
    craftax,
    jumanji,
    pgx,
    playground,
    wrappers,
    xminigrid,
)

SUITES = {
    suite.extra: suite
    for suite in (
        *(playground.SUITE, pgx.SUITE, xminigrid.SUITE),
        *(craftax.SUITE, jumanji.SUITE),
    )
}
LIMIT = 9
KEYS = jax.random.split(jax.random.key(1), 16)


def defaults_of(options: type) -> dict[str, object]:
    """Return the defaults of what an environment itself has as options."""
    added = {*wrappers.OPTIONS, "randomize"}
    fields = dataclasses.fields(options)
    return {field.name: field.default for field in fields if field.name not in added}


def run(code, cwd=None):
    """Run `code` in a fresh interpreter, which must say nothing."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys\n" + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
