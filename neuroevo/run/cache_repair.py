"""A damaged file in JAX's cache of compiled programs is replaced.

JAX (0.10 and 0.11) warns of a program that it cannot read, compiles it, and does not
write it, because there is a file already. One that a killed process or a full disk has
cut short thus costs a compilation at every start. There is no public way to step in:
`jax` is bounded in pyproject.toml, and `tests/test_compilation.py` notices a change.
"""

import functools
from pathlib import Path
from typing import Any

import jax
from jax._src import compilation_cache

_read = compilation_cache.get_executable_and_time


@functools.wraps(_read)
def _read_or_remove(cache_key: str, *args: Any, **kwargs: Any) -> Any:
    """Return a program from the cache; if it is damaged, remove it, and return none."""
    try:
        return _read(cache_key, *args, **kwargs)
    except OSError:  # which says nothing of what is in the file
        raise
    except Exception:  # damage shows in many ways
        folder = jax.config.values["jax_compilation_cache_dir"]
        Path(folder, f"{cache_key}-cache").unlink(missing_ok=True)
        return None, None


def install() -> None:
    """Have JAX remove damaged files, which it writes anew after compiling."""
    compilation_cache.get_executable_and_time = _read_or_remove


def complete(folder: Path) -> None:
    """Give every program in `folder` the file that says when it was last used.

    A process that was killed between writing the two leaves one without, and then jax
    0.10 cannot make room in the folder, or write to it at all.
    """
    for program in folder.glob("*-cache"):
        used = program.with_name(program.name.removesuffix("-cache") + "-atime")
        if not used.exists():
            used.write_bytes((0).to_bytes(8, "little"))
