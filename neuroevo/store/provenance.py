"""Where a run takes place: versions, machine, revision and command."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from neuroevo.core import keys


def environment() -> dict[str, Any]:
    """Return the facts, besides the configuration, that results may depend on."""
    packages = "neuroevo jax jaxlib numpy flax optax evosax gymnax brax mujoco"
    return {
        "versions": {
            package: version(package)
            for package in [*packages.split(), "orbax-checkpoint"]
        },
        "random": dict(keys.SETTINGS),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "git_revision": _git_revision(),
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """Return the name of the processor, or an empty string."""
    with contextlib.suppress(OSError):  # not on Linux
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _git_revision() -> str | None:
    """Return the revision of the working directory, or None outside of git."""
    command = "git describe --always --dirty --abbrev=40 --exclude=*"
    with contextlib.suppress(OSError):  # there is no git
        found = subprocess.run(command.split(), capture_output=True, check=False)
        return found.stdout.decode("utf-8", "replace").strip() or None
    return None
