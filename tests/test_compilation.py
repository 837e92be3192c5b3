"""Compiled programs are found again on disk, where the user wants them."""

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


def test_jax_may_have_been_told_of_another_one(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    compilation.use_cache("auto")
    assert compilation.cache_in_use() == str(tmp_path)
    compilation.use_cache(None)
    assert compilation.cache_in_use() is None


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    compilation.use_cache(tmp_path / "file" / "folder")
    assert compilation.cache_in_use() is None
