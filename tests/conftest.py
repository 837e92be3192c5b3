"""Four CPU devices for the whole suite, whatever a test's run would ask for."""

import gc
import itertools
import os
import shlex
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import platformdirs
import pytest

# Nearly all of the suite's time goes into compiling programs that run for milliseconds.
_FLAGS = os.environ.get("XLA_FLAGS", "")
OPTIMIZATION = (
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
)
if metadata.version("jax").startswith("0.10."):  # later ones know no such flag
    OPTIMIZATION += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{_FLAGS} {OPTIMIZATION}".strip()

# What one process of the suite has compiled another need not, nor the next run of it. A
# program is found by what is in it, whichever checkout it comes from.
_CACHE = platformdirs.user_cache_path("neuroevo") / "tests"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_CACHE)
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**30)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"

# Nor need each of the processes that tests start compile neuroevo's own modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import jax  # noqa: E402

from neuroevo import devices  # noqa: E402
from neuroevo.cli import main as cli  # noqa: E402
from neuroevo.run import compilation  # noqa: E402

devices.configure(4)
assert len(jax.devices()) == 4  # starts the backend
os.environ["XLA_FLAGS"] = _FLAGS


# Tracing makes many objects that live on: looking for garbage as often as by default
# takes a twentieth of the time.
gc.set_threshold(200_000, 20, 100)

_count = itertools.count()


@pytest.fixture(autouse=True)
def _forget_programs():
    """Tests compile more programs than one process can hold."""
    yield
    if next(_count) % 8 == 0:
        compilation.make_room(0.6)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Processes that share what they compile, and know of the toys."""
    plugin = tmp_path_factory.mktemp("plugin")
    (plugin / "toy-0.dist-info").mkdir()
    (plugin / "toy-0.dist-info" / "METADATA").write_text("Name: toy\nVersion: 0\n")
    (plugin / "toy-0.dist-info" / "entry_points.txt").write_text(
        "[neuroevo.envs]\ntoy = toy:Walk\nslow-toy = toy:SlowWalk\n"
    )
    paths = [str(plugin), str(Path(__file__).parent), os.environ.get("PYTHONPATH")]
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{_FLAGS} {OPTIMIZATION}".strip(),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run_cli(tmp_path, monkeypatch, capsys):
    """Run a command line in an empty working directory, and return what it said."""
    monkeypatch.chdir(tmp_path)

    def run(line, **files):
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        with pytest.raises(SystemExit) as ended:
            cli.main(shlex.split(line))
        return Said(ended.value.code, *capsys.readouterr())

    return run
