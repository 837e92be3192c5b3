"""Reads the ``config.yaml`` of a run, including those that version 0.1 wrote.

The key `neuroevo` in the file is the version that wrote it.
"""

from collections.abc import Callable, Mapping
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
FILES = ("env.file", "normalization.file", "rows", "teacher")


def translate(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with current names, even if version 0.1 wrote it."""
    if not str(values.get(VERSION_KEY)).startswith("0.1."):
        return dict(values)
    return {NEW_NAMES.get(name, name): value for name, value in values.items()}


def locate(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a configuration with full paths of the files that lie in `folder`."""
    if VERSION_KEY not in values:
        return dict(values)

    def full(_: str, name: str) -> str:
        file = folder / name
        return str(file.absolute()) if file.is_file() else name

    return with_files(values, full)


def with_files(
    values: Mapping[str, Any], replace: Callable[[str, str], str]
) -> dict[str, Any]:
    """Return a configuration with its files ``replace(option, file)``."""
    found = dict(values)
    for dotted in FILES:
        part, _, option = dotted.rpartition(".")
        options = found.get(part) if part else found
        if not isinstance(options, Mapping) or not isinstance(options.get(option), str):
            continue
        replaced = {option: replace(dotted, options[option])}
        found |= {part: {**options, **replaced}} if part else replaced
    return found
