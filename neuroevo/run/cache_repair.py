"""Replaces damaged files in JAX's cache of compiled programs.

JAX (0.10 and 0.11) warns about a program that it cannot read and compiles it, but does
not write it, because the file already exists. A file that a killed process or a full
disk has truncated thus costs a compilation at every start. There is no public hook:
pyproject.toml bounds the version of `jax`, and `tests/test_compilation.py` detects
changes.
"""

import functools
from pathlib import Path
from typing import Any

import jax
from jax._src import compilation_cache

_read = compilation_cache.get_executable_and_time


@functools.wraps(_read)
def _read_or_remove(cache_key: str, *args: Any, **kwargs: Any) -> Any:
    """Return a program from the cache; if it is damaged, remove it and return None."""
    try:
        return _read(cache_key, *args, **kwargs)
    except OSError:  # does not mean that the file is damaged
        raise
    except Exception:  # damage shows in many ways
        folder = jax.config.values["jax_compilation_cache_dir"]
        Path(folder, f"{cache_key}-cache").unlink(missing_ok=True)
        return None, None


def install() -> None:
    """Let JAX remove damaged files, so that it rewrites them after compiling."""
    compilation_cache.get_executable_and_time = _read_or_remove


def complete(folder: Path) -> None:
    """Write the missing access-time files of programs in `folder`.

    A process that is killed between writing a program and its access-time file leaves
    the program without one. Then jax 0.10 can neither make room in the folder nor write
    to it.
    """
    for program in folder.glob("*-cache"):
        used = program.with_name(program.name.removesuffix("-cache") + "-atime")
        if not used.exists():
            used.write_bytes((0).to_bytes(8, "little"))
