"""Named plug-ins, found through entry points.

A part is registered by an entry point in one of the groups below. The entry point
names either a *part* (a frozen dataclass whose fields are the part's options and whose
``build`` method makes the part) or a *family*: anything with ``names()``, the names it
offers, and ``config(name)``, the dataclass for one of them. The built-in parts are
registered by this project's own ``pyproject.toml`` in just this way.
"""

import functools
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from neuroevo.errors import UserError, unknown


class Registry:
    """The parts of one kind by name."""

    def __init__(self, kind: str, group: str):
        self.kind = kind
        self.group = group

    @functools.cached_property
    def _entry_points(self) -> Mapping[str, EntryPoint]:
        found = {point.name: point for point in entry_points(group=self.group)}
        if not found:
            raise UserError(
                f"no {self.kind} is registered: install the package first "
                "(pip install -e . in a checkout)"
            )
        return found

    def names(self) -> list[str]:
        """Return every name that `get` accepts, without family prefixes."""
        names: list[str] = []
        for name in self._entry_points:
            part = self._load(name)
            names.extend(part.names() if _is_family(part) else [name])
        return names

    def get(self, name: str) -> type:
        """Return the dataclass registered under `name`.

        A ``family:name`` prefix settles which family is meant.

        Raises:
            UserError: if there is no such name, with the nearest one.
        """
        prefix, colon, rest = name.rpartition(":")
        if colon and prefix not in self._entry_points:
            raise unknown(f"{self.kind} family", prefix, self._entry_points)
        for point in [prefix] if prefix else self._entry_points:
            part = self._load(point)
            if not _is_family(part):
                if name == point:
                    return part
            elif rest in part.names():
                return part.config(rest)
        raise unknown(self.kind, name, self.names())

    def describe(self) -> list[tuple[str, str]]:
        """Return every name with the first line of what it names says of itself."""
        return [
            (name, (self.get(name).__doc__ or "").strip().partition("\n")[0])
            for name in self.names()
        ]

    def _load(self, name: str) -> Any:
        return _load(self._entry_points[name])


@functools.cache
def _load(point: EntryPoint) -> Any:
    return point.load()


def _is_family(part: Any) -> bool:
    return hasattr(part, "names") and hasattr(part, "config")


encodings = Registry("encoding", "neuroevo.encodings")
policies = Registry("policy", "neuroevo.policies")
envs = Registry("environment", "neuroevo.envs")
normalizations = Registry("normalization", "neuroevo.normalizations")
strategies = Registry("strategy", "neuroevo.strategies")
loggers = Registry("logger", "neuroevo.loggers")
