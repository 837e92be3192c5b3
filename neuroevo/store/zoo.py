"""The zoo: bundled evolved genomes, as ``zoo:NAME``.

A genome file in the zoo has a *card* in its `meta`, which says how it was made and what
return it achieves. Other packages add genomes with an entry point in the group
``neuroevo.zoo`` that names a package with ``.npz`` files.
"""

import functools
from collections.abc import Mapping
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from neuroevo.errors import unknown
from neuroevo.store import genome_file
from neuroevo.store.old_names import rename_results
from neuroevo.terminal.formatting import format_range, format_value

PREFIX = "zoo:"


@functools.cache
def _files() -> Mapping[str, Path]:
    found = {}
    for point in entry_points(group="neuroevo.zoo"):
        for file in resources.files(point.load()).iterdir():
            if file.name.endswith(".npz"):
                found[file.name.removesuffix(".npz")] = Path(str(file))
    return dict(sorted(found.items()))


def names() -> list[str]:
    """Return the names of the genomes in the zoo."""
    return list(_files())


def locate(text: str | Path) -> Path:
    """Return the file that `text` names: a path, or ``zoo:NAME``.

    Raises:
        UserError: if the zoo has no such genome; the message has the nearest name.
    """
    if not str(text).startswith(PREFIX):
        return Path(text)
    name = str(text).removeprefix(PREFIX)
    if name not in _files():
        raise unknown("zoo genome", name, names())
    return _files()[name]


def card(name: str) -> Mapping[str, Any]:
    """Return the card of a genome in the zoo."""
    return rename_results(genome_file.load(locate(PREFIX + name)).meta["card"])


def describe() -> list[tuple[str, str]]:
    """Return every name with a one-line description that includes the return."""
    rows = []
    for name in names():
        about = card(name)
        rows.append(
            (
                name,
                f"{about['env']}: {about['title']}; held-out return "
                f"{format_value(about['return_mean'])} "
                f"({format_range(about['return_interval'])})",
            )
        )
    return rows
