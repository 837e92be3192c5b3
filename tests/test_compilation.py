"""Compiled programs are found again on disk, where the user wants them."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from neuroevo.run import compilation

OPTIONS = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture(autouse=True)
def _as_before():
    before = {name: getattr(jax.config, name) for name in OPTIONS}
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_a_program_is_compiled_once_for_all_processes(tmp_path):
    events = []
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
    compilation.use_cache(tmp_path / "new" / "folder")

    def compile_as_a_new_process_would():
        jax.clear_caches()
        compilation_cache.reset_cache()
        events.clear()
        jax.jit(lambda x: jnp.sin(x) * 3.25)(1.0)
        return events.count("/jax/compilation_cache/cache_hits")

    assert compile_as_a_new_process_would() == 0
    assert compile_as_a_new_process_would() == 1
    assert list((tmp_path / "new" / "folder").glob("jit_*-cache"))


def test_it_lies_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    compilation.use_cache("auto")
    folder = compilation.cache_in_use()
    assert folder.startswith(str(tmp_path)) and "neuroevo" in folder


def test_jax_may_be_set_to_another_one(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    compilation.use_cache("auto")
    assert compilation.cache_in_use() == str(tmp_path)
    compilation.use_cache(None)
    assert compilation.cache_in_use() is None


def test_programs_that_compile_within_a_second_are_kept_too(tmp_path):
    """A start has several of them."""
    for asked, expected in ((1.0, 0.1), (0.0, 0.0)):
        jax.config.update(OPTIONS[-1], asked)
        compilation.use_cache(tmp_path)
        assert getattr(jax.config, OPTIONS[-1]) == expected


@pytest.mark.parametrize("damage", ["truncated", "emptied", "overwritten"])
def test_a_damaged_program_is_replaced(damage, tmp_path, recwarn):
    compilation.use_cache(tmp_path)

    def compile_as_a_new_process_would():
        jax.clear_caches()
        compilation_cache.reset_cache()
        return float(jax.jit(lambda x: jnp.cos(x) * 2.5)(1.0))

    expected = compile_as_a_new_process_would()
    whole = {file: file.read_bytes() for file in tmp_path.glob("jit_*-cache")}
    assert whole
    for file, content in whole.items():
        half = len(content) // 2
        left = {"truncated": content[:half], "emptied": b"", "overwritten": b"x" * half}
        file.write_bytes(left[damage])
    assert compile_as_a_new_process_would() == expected
    for file, content in whole.items():
        assert len(file.read_bytes()) > len(content) // 2
    assert compile_as_a_new_process_would() == expected
    assert not [w for w in recwarn if "compilation cache" in str(w.message)]


def test_a_program_without_its_time_of_use_spoils_no_other(tmp_path):
    """As a process leaves it that is killed between the two files."""
    compilation.use_cache(tmp_path)
    compilation_cache.reset_cache()
    (tmp_path / "jit_f-123-cache").write_bytes(b"")
    compilation.use_cache(tmp_path)
    jax.jit(lambda x: jnp.cos(x) * 4.5)(1.0)
    assert (
        len(list(tmp_path.glob("*-atime"))) == len(list(tmp_path.glob("*-cache"))) > 1
    )


HOMELESS = """
import os, pathlib, warnings
warnings.simplefilter("error")
import jax, jax.numpy as jnp
from neuroevo.run import compilation
if os.getuid() == 0:
    os.setuid(54321)  # nobody's
for folder in ("auto", pathlib.Path("cache")):
    compilation.use_cache(folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.jit(lambda x: jnp.cos(x) * 5.5)(1.0)
    print(compilation.cache_in_use())
"""


@pytest.fixture
def open_folder():
    """A folder that every user can reach, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_a_user_without_home_and_name_needs_neither(open_folder):
    unset = ("HOME", "LOGNAME", "USER", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR")
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS],
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=open_folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["None", str(open_folder / "cache")]
    assert list((open_folder / "cache").glob("*-cache"))
    assert [file.name for file in open_folder.iterdir()] == ["cache"], "no folder ~"


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    compilation.use_cache(tmp_path / "file" / "folder")
    assert compilation.cache_in_use() is None
