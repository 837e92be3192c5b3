"""Compiled programs: cached on disk for the next start, limited in memory."""

import gc
import hashlib
import os
import platform
import pwd
from pathlib import Path
from typing import Literal

import jax
import platformdirs

from neuroevo.run import cache_repair

_LARGEST = 2 * 1024**3  # bytes on disk; the programs used least recently go first
_SHORTEST = 0.1  # seconds; JAX leaves out what compiles within a second, as `init` does
_LEAST_TIME = "jax_persistent_cache_min_compile_time_secs"


def use_cache(folder: Path | Literal["auto"] | None) -> None:
    """Keep compiled programs in `folder`; call it before anything is compiled.

    ``auto`` means the user's cache folder, unless JAX is configured for another one,
    for example by ``JAX_COMPILATION_CACHE_DIR``. None disables the cache.
    """
    if folder == "auto" and cache_in_use() is not None:
        return
    folder = default_folder() if folder == "auto" else folder
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            cache_repair.complete(folder)
    except OSError:  # a home that cannot be written to: compile every time
        folder = None
    cache_repair.install()
    # With a limit JAX locks the folder, so that processes can share it. To look for
    # what to drop, jax 0.10 needs the name of the user, who may have none.
    most = _LARGEST if _has_name() else -1
    jax.config.update("jax_compilation_cache_max_size", most)
    jax.config.update(_LEAST_TIME, min(_SHORTEST, getattr(jax.config, _LEAST_TIME)))
    jax.config.update("jax_compilation_cache_dir", folder and str(folder.absolute()))


def cache_in_use() -> str | None:
    """Return the folder of compiled programs, or None."""
    return jax.config.values["jax_compilation_cache_dir"]


def _has_name() -> bool:
    """Return whether the user of this process has a name."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def default_folder() -> Path | None:
    """Return the user's cache folder for programs that this processor can run.

    Machines of a cluster may share a home directory, but differ in their instructions.
    The result is None if the user has no home directory.
    """
    try:
        cache = platformdirs.user_cache_path("neuroevo")
    except RuntimeError:
        return None
    if not cache.is_absolute():  # without a home, some versions return "~/.cache"
        return None
    try:
        facts = (
            Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0].splitlines()
        )
        features = [line for line in facts if line.startswith(("flags", "Features"))]
    except OSError:
        features = [platform.processor()]
    digest = hashlib.sha256("\n".join(features).encode()).hexdigest()[:8]
    return cache / f"{platform.machine()}-{digest}"


def make_room(share: float = 0.5) -> None:
    """Drop all compiled programs once they use more than `share` of their mappings.

    JAX keeps every program, each in a few hundred memory mappings. Linux allows a
    process 65 530 of these; beyond that, the compiler crashes. A dropped program is
    compiled again at its next use.
    """
    try:
        mappings = Path("/proc/self/maps").read_bytes().count(b"\n")
        limit = int(Path("/proc/sys/vm/max_map_count").read_text("ascii"))
    except (OSError, ValueError):  # not on Linux
        return
    if mappings > share * limit:
        jax.clear_caches()
        gc.collect()
