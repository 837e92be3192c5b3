"""The ``config.yaml`` of a run: as version 0.1 wrote it, and with the files beside it.

Such a file has the version that wrote it as `neuroevo`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

VERSION_KEY = "neuroevo"

# Version 0.1 called the policies that are decoded from a genome seeds.
NEW_NAMES = {
    "seeds": "policies",
    "center_seeds": "center_policies",
    "final_seeds": "final_policies",
}
# Options that name a file, of which a run has its own copy.
FILES = {"normalization": "file"}


def translate(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the names of today, if version 0.1 wrote it."""
    if not str(values.get(VERSION_KEY)).startswith("0.1."):
        return dict(values)
    return {NEW_NAMES.get(name, name): value for name, value in values.items()}


def locate(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a configuration with the path of each file that lies in `folder`."""
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
