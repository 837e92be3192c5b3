"""Named plug-ins, found through entry points.

A part is registered by an entry point in one of the groups below. The entry point names
either the part's *options* (a frozen dataclass whose fields are the options and whose
``build`` method makes the part) or a *family*; see `Family`. The ``pyproject.toml`` of
neuroevo registers the built-in parts in the same way.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from neuroevo.errors import UserError, first_line, unknown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints


def entry_points(group: str) -> "EntryPoints":
    """Return the entry points of a group."""
    return _all_entry_points().select(group=group)


@functools.cache
def _all_entry_points() -> Any:  # a type of its own in Python 3.11
    # It takes as long as Python's start to import, and as long again to read what is
    # installed.
    from importlib import metadata

    return metadata.entry_points()


@runtime_checkable
class Family(Protocol):
    """Several parts of one kind under one entry point, such as a module.

    A family may need a package that is not installed. Then its ``missing()`` returns
    the command that installs it, and None otherwise; ``about`` says in a few words what
    the family has.

    A family of environments may also have ``adapt(value)``. It returns options with a
    ``build`` method for an object of the family's own library, and None for any other
    value. It may also have ``adapt_made(value, make)`` for an object that `make`, a
    function of the user, has returned.

    If it has a true ``PREFIX_ONLY``, its names need its prefix, because others have the
    same ones; it is listed as a whole, and ``config`` raises a `UserError` for a name
    that it does not know.
    """

    def names(self) -> Sequence[str]:
        """Return the available names."""

    def config(self, name: str, /) -> type:
        """Return the dataclass of options for one of them."""


class Registry:
    """The parts of one kind by name.

    Example:
        >>> from neuroevo.registry import envs
        >>> envs.get("CartPole-v1") is envs.get("gymnax:CartPole-v1")
        True
    """

    def __init__(self, kind: str, group: str):
        self.kind = kind
        self.group = group

    @functools.cached_property
    def _entry_points(self) -> Mapping[str, "EntryPoint"]:
        # Sorted, since the order of what is installed depends on the installer.
        points = sorted(entry_points(group=self.group), key=lambda point: point.name)
        found = {point.name: point for point in points}
        if not found:
            raise UserError(
                f"no {self.kind} is registered: install the package first "
                "(pip install -e . in a checkout)"
            )
        return found

    def names(self) -> list[str]:
        """Return every name that `get` accepts, without family prefixes.

        Entry points that cannot be loaded, and families that are not installed, are
        left out.
        """
        return self._all_names(lambda point: self._missing(point) is None)

    def _all_names(self, wanted: Callable[[str], bool]) -> list[str]:
        names: list[str] = []
        for point in filter(wanted, self._entry_points):
            with contextlib.suppress(LoadError):
                if not self._needs_prefix(point):
                    names.extend(self._names_in(point))
        return names

    def name_of(self, options: Any) -> str | None:
        """Return the name that the class of `options` is registered under, if any.

        Nothing is loaded, so members of families have no name here.

        Example:
            >>> from neuroevo.registry import policies
            >>> policies.name_of(policies.get("mlp")())
            'mlp'
        """
        kind = type(options)
        value = f"{kind.__module__}:{kind.__qualname__}"
        points = self._entry_points.items()
        return next((name for name, point in points if point.value == value), None)

    def get(self, name: str) -> type:
        """Return the dataclass of options registered under `name`.

        A prefix, as in ``family:name``, selects the family.

        Raises:
            UserError: if there is no such name, with the nearest one; if its family is
                not installed, with the command that installs it; or if the part cannot
                be loaded, with the reason.
        """
        prefix, colon, rest = name.rpartition(":")
        first, _, others = name.partition(":")
        if first in self._entry_points and self._needs_prefix(first):
            prefix, rest = first, others
        if colon and prefix not in self._entry_points:
            raise unknown(f"{self.kind} family", prefix, self._entry_points)
        broken = []
        points = [prefix] if prefix else list(self._entry_points)
        for point in points:
            try:
                if self._needs_prefix(point):
                    if prefix:
                        return self._options(point, rest)
                    continue
                if rest in self._names_in(point):
                    return self._options(point, rest)
            except LoadError as error:
                if point in (prefix, name):
                    raise
                broken.append(str(error))
        choices = self._all_names(points.__contains__)
        message = str(unknown(self.kind, name, choices, f"{prefix}{colon}"))
        elsewhere = [] if prefix else self._with_prefix(name)
        raise UserError("; ".join([message, *elsewhere, *broken]))

    def _needs_prefix(self, point: str) -> bool:
        return getattr(self._load(point), "PREFIX_ONLY", False)

    def _with_prefix(self, name: str) -> list[str]:
        """Return where a name exists that was given without the prefix it needs."""
        found = []
        for point in self._entry_points:
            with contextlib.suppress(LoadError):
                if self._needs_prefix(point) and name in self._names_in(point):
                    found.append(f"there is also {point}:{name}")
        return found

    def adapt(self, value: Any) -> Any | None:
        """Return options that build `value`, an object of a family's own library.

        The result is None if no family recognizes the value.
        """
        return self._adapt("adapt", value)

    def adapt_made(self, value: Any, make: Callable[[], Any]) -> Any | None:
        """Return options for what `make` makes, of which `value` is an example.

        The result is None if no family recognizes the value.
        """
        found = self._adapt("adapt_made", value, make)
        return self.adapt(value) if found is None else found

    def _adapt(self, method: str, *args: Any) -> Any | None:
        for point in self._entry_points:
            with contextlib.suppress(LoadError):
                adapt = getattr(self._load(point), method, None)
                if adapt and (found := adapt(*args)) is not None:
                    return found
        return None

    def summaries(self) -> list[tuple[str, str]]:
        """Return every name with the first line of its docstring.

        For a part that cannot be loaded, the line is the reason; for a family that is
        not installed, it is what the family has, and how to install it.
        """
        return [row for rows in self.groups().values() for row in rows]

    def groups(self) -> dict[str, list[tuple[str, str]]]:
        """Return the `summaries` of each family, and under "" those of other parts."""
        groups: dict[str, list[tuple[str, str]]] = {"": []}
        for point in self._entry_points:
            try:
                rows = self._rows(point)
            except LoadError as error:
                rows = [(point, str(error))]
            groups.setdefault(point if len(rows) > 1 else "", []).extend(rows)
        return groups

    def _rows(self, point: str) -> list[tuple[str, str]]:
        part = self._load(point)
        if self._needs_prefix(point):
            return [(f"{point}:ID", part.__doc__.partition("\n")[0])]
        if command := self._missing(point):
            return [(point, f"{part.about}; to install: {command}")]
        return [(name, self._summary(point, name)) for name in self._names_in(point)]

    def _summary(self, point: str, name: str) -> str:
        try:
            text = self._options(point, name).__doc__ or ""
        except UserError as error:
            return str(error)
        return text.strip().partition("\n")[0]

    def _load(self, point: str) -> Any:
        try:
            return _load(self._entry_points[point])
        except Exception as error:  # whatever a package of someone else's raises
            raise self._failed(point, error) from error

    def _names_in(self, point: str) -> Sequence[str]:
        part = self._load(point)
        if not isinstance(part, Family):
            return [point]
        try:
            return part.names()
        except Exception as error:
            raise self._failed(point, error) from error

    def _missing(self, point: str) -> str | None:
        """Return the command that installs what an entry point needs, if any."""
        with contextlib.suppress(LoadError):
            missing = getattr(self._load(point), "missing", None)
            return missing() if missing else None
        return None

    def _options(self, point: str, name: str) -> type:
        part = self._load(point)
        if not isinstance(part, Family):
            return part
        if command := self._missing(point):
            raise UserError(
                f"{self.kind} {name} belongs to {point}, which is not installed: "
                f"{command}"
            )
        try:
            return part.config(name)
        except UserError:
            raise
        except Exception as error:
            raise self._failed(name, error) from error

    def _failed(self, name: str, error: Exception) -> "LoadError":
        reason = f"{type(error).__name__}: {first_line(error)}"
        return LoadError(f"{self.kind} {name} cannot be loaded: {reason}")


class LoadError(UserError):
    """An entry point, or a name of a family, that cannot be loaded."""


@functools.cache
def _load(point: "EntryPoint") -> Any:
    return point.load()


def is_bundled(options: Any) -> bool:
    """Return whether a part's options are built into neuroevo."""
    package = type(options).__module__.partition(".")[0]
    return dataclasses.is_dataclass(options) and package in _packages()


@functools.cache
def _packages() -> frozenset[str]:
    """Return the packages from which neuroevo registers parts."""
    own = __name__.partition(".")[0]
    return frozenset(
        point.module.partition(".")[0]
        for kind in (encodings, policies, envs, normalizations, strategies, loggers)
        for point in entry_points(group=kind.group)
        if point.dist is not None and point.dist.name == own
    )


encodings = Registry("encoding", "neuroevo.encodings")
policies = Registry("policy", "neuroevo.policies")
envs = Registry("environment", "neuroevo.envs")
normalizations = Registry("normalization", "neuroevo.normalizations")
strategies = Registry("strategy", "neuroevo.strategies")
loggers = Registry("logger", "neuroevo.loggers")
