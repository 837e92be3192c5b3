"""Reads the ``config.yaml`` of a run, including those that version 0.1 wrote.

The key `neuroevo` in the file is the version that wrote it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

VERSION_KEY = "neuroevo"

# Version 0.1 used the name seeds for the policies that are decoded from a genome.
NEW_NAMES = {
    "seeds": "policies",
    "center_seeds": "center_policies",
    "final_seeds": "final_policies",
}
# Options that name a file; a run has its own copy of it.
FILES = {"normalization": "file"}


def translate(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with current names, even if version 0.1 wrote it."""
    if not str(values.get(VERSION_KEY)).startswith("0.1."):
        return dict(values)
    return {NEW_NAMES.get(name, name): value for name, value in values.items()}


def locate(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a configuration with full paths of the files that lie in `folder`."""
    found = dict(values)
    if VERSION_KEY not in values:
        return found
    for part, option in FILES.items():
        options = found.get(part)
        if not isinstance(options, Mapping):
            continue
        name = options.get(option)
        if isinstance(name, str) and (folder / name).is_file():
            found[part] = {**options, option: str((folder / name).absolute())}
    return found
