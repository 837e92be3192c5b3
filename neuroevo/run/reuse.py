"""Keeps the compiled programs of the latest searches for the next one.

Nothing that is compiled depends on the seed or on the limits of a search, so that a
loop over seeds compiles once.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from neuroevo.config.schema import Config, Evaluation, Machine, Search
from neuroevo.core.engine import Engine
from neuroevo.registry import is_bundled
from neuroevo.run.parts import Parts

_OTHERS = {"seed", "final_policies", "final_episodes", "compilation_cache"}
_COMPILED = [
    field.name
    for group in (Search, Evaluation, Machine)
    for field in dataclasses.fields(group)
    if field.name not in _OTHERS
]
_MOST = 4  # searches: enough for a loop over seeds around one over some settings
_kept: dict["Key", "Kept"] = {}  # the one used last comes last


class Kept(NamedTuple):
    """What another search can use again."""

    config: Config  # with numbers instead of ``auto``
    parts: Parts
    engine: Engine


class Key(NamedTuple):
    """What is compiled depends on this alone."""

    parts: tuple[tuple[str, Any], ...]
    settings: tuple[Any, ...]


def key_of(config: Config) -> Key | None:
    """Return the key of a search, or None if its programs may depend on more.

    A part of somebody else's may use variables that have changed since, and a file may
    have another content.
    """
    parts = tuple(config.parts.items())
    settings = tuple(getattr(config.settings, name) for name in _COMPILED)
    if not all(is_bundled(options) for _, options in parts):
        return None
    values = [dataclasses.asdict(options) for _, options in parts]
    if not all(map(_is_plain, (*values, settings))):
        return None
    return Key(parts, settings)


def find(key: Key | None) -> Kept | None:
    """Return what was kept under `key`, if it still is."""
    return _kept.get(key) if key else None


def keep(key: Key | None, kept: Kept) -> None:
    """Keep the programs of a search, unless they need an environment's processes."""
    if key and kept.parts.task.host is None:
        _kept.pop(key, None)
        _kept[key] = kept
        while len(_kept) > _MOST:
            del _kept[next(iter(_kept))]


def forget() -> None:
    """Keep nothing any longer."""
    _kept.clear()


def _is_plain(value: Any) -> bool:
    """Return whether a value means the same whenever it is used."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, str | Path):
        return not os.path.exists(value)  # no name is too long for it
    if isinstance(value, Iterable):
        return isinstance(value, tuple) and all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float)
