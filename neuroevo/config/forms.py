"""Forms: the options of a command line, as one dataclass that the parser understands.

A command's options are a flat dataclass whose bases are its groups::

    class Options(Machine, Files, Measurement): ...

Each base becomes a box of ``--help`` under its `TITLE` (``search options``); bases
without a title share the first box. Each part and each logger has a box of its own.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Union

import tyro

from neuroevo.config.schema import DEFAULT_PARTS, PARTS_HELP, default_of

_PART = "_name"  # follows the name of a part in the field for what it is


@dataclasses.dataclass(frozen=True)
class Form:
    """The options of a command, of parts and of loggers.

    Attributes:
        schema: the command's own options.
        named: the parts that can be chosen by name.
        parts: the classes of options by part or logger.
        positional: whether the form has positional arguments.
        names: the types of the names of parts, if they are restricted.
    """

    schema: type
    named: tuple[str, ...] = ()
    parts: Mapping[str, type] = dataclasses.field(default_factory=dict)
    positional: bool = True
    names: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def kind(self) -> type:
        """The nested dataclass to parse."""
        fields: list[tuple[str, Any, Any]] = []

        def add_box(name: str, box: Any, title: str) -> None:
            note = tyro.conf.arg(name=title)
            hint = Annotated[box, tyro.conf.OmitArgPrefixes, note]
            fields.append((name, hint, _factory(box)))

        for base in self._bases:
            add_box(base.__name__, base, base.__dict__.get("TITLE", ""))
        fields += [(name, cls, _factory(cls)) for name, cls in self._nested.items()]
        if self.named:
            add_box("Parts", self._names, "part")
        fields += [(name, cls, _factory(cls)) for name, cls in self.parts.items()]
        return dataclasses.make_dataclass("Options", fields, frozen=True, kw_only=True)

    @functools.cached_property
    def _names(self) -> type:
        """A dataclass of the names of parts."""
        fields = []
        for part in self.named:
            metavar = None if part in self.names else "NAME"
            note = tyro.conf.arg(name=part, metavar=metavar, help=PARTS_HELP[part])
            names: Any = self.names.get(part, str)
            hint = Annotated[names, note]
            fields.append((part, hint, DEFAULT_PARTS[part]))
        return dataclasses.make_dataclass("Names", fields, frozen=True)

    @functools.cached_property
    def options(self) -> dict[str, Any]:
        """The type of each option by its dotted name."""
        found: dict[str, Any] = {}
        for base in self._bases:
            found |= _options(base)
        found |= dict.fromkeys(self.named, str)
        for name, cls in (self._nested | dict(self.parts)).items():
            found |= _options(cls, f"{name}.")
        return found

    def defaults(self) -> dict[str, Any]:
        """Return the default values by name."""
        values = {
            field.name: default_of(field, tyro.MISSING)
            for field in dataclasses.fields(self.schema)
        }
        names = {part + _PART: DEFAULT_PARTS[part] for part in self.named}
        return values | names | {name: cls() for name, cls in self.parts.items()}

    def pack(self, values: dict[str, Any]) -> Any:
        """Return an instance of `kind` that holds `values`, named as in `defaults`."""
        defaults, boxes = self.defaults(), {}
        required = {n: defaults[n] for n in self.positionals}
        for base in self._bases:
            names = [field.name for field in dataclasses.fields(base)]
            boxes[base.__name__] = base(**{n: (values | required)[n] for n in names})
        if self.named:
            chosen = {part: values[part + _PART] for part in self.named}
            boxes["Parts"] = self._names(**chosen)
        nested = {name: values[name] for name in (*self._nested, *self.parts)}
        return self.kind(**boxes, **nested)

    def unpack(self, value: Any) -> dict[str, Any]:
        """Return the values that an instance of `kind` holds, by name."""
        values: dict[str, Any] = {}
        for base in self._bases:
            box = getattr(value, base.__name__)
            values |= {f.name: getattr(box, f.name) for f in dataclasses.fields(base)}
        for part in self.named:
            values[part + _PART] = getattr(value.Parts, part)
        nested = {name: getattr(value, name) for name in (*self._nested, *self.parts)}
        return values | nested

    def settings(self, values: Mapping[str, Any]) -> Any:
        """Return the command's own options among `values`."""
        names = [field.name for field in dataclasses.fields(self.schema)]
        return self.schema(**{name: values[name] for name in names})

    @functools.cached_property
    def positionals(self) -> dict[str, bool]:
        """The positional arguments, each with whether it may occur several times."""
        hints = typing.get_type_hints(self.schema, include_extras=True)
        return {
            field.name: typing.get_origin(typing.get_args(hints[field.name])[0])
            is tuple
            for field in dataclasses.fields(self.schema)
            if _is_positional(hints[field.name])
        }

    @property
    def _groups(self) -> list[type]:
        """The bases that have fields of their own, in the order of the fields."""
        found: list[type] = []
        seen: set[str] = set()
        for base in reversed(self.schema.__mro__):
            if _own_fields(base) - seen:  # or it changes defaults
                seen |= _own_fields(base)
                found.append(base)
                names = {field.name for field in dataclasses.fields(base)}
                assert names == _own_fields(base), f"{base}: a group has no base"
        return found

    @functools.cached_property
    def _bases(self) -> list[type]:
        """The groups with plain options."""
        return [
            base
            for base in self._groups
            for hints in [typing.get_type_hints(base, include_extras=True)]
            if not any(dataclasses.is_dataclass(hint) for hint in hints.values())
            and (self.positional or not any(map(_is_positional, hints.values())))
        ]

    @functools.cached_property
    def _nested(self) -> dict[str, Any]:
        """The classes of options that have a prefix, such as ``checkpoint.keep``."""
        hints = typing.get_type_hints(self.schema, include_extras=True)
        return {n: h for n, h in hints.items() if dataclasses.is_dataclass(h)}


def loose(classes: Collection[type]) -> type:
    """Return a dataclass of the options of all `classes` that takes any text as values.

    An option takes as many words as in the class that declares it.
    """
    hints: dict[str, Any] = {}
    for cls in classes:
        own = typing.get_type_hints(cls, include_extras=True)
        hints |= {
            field.name: _loose(own[field.name])
            for field in dataclasses.fields(cls)
            if not _is_positional(own[field.name])
        }
    fields = [
        (name, hint, dataclasses.field(default=_empty(hint)))
        for name, hint in hints.items()
    ]
    return dataclasses.make_dataclass("Loose", fields, frozen=True)


def _loose(hint: Any) -> Any:
    """Return the type of texts of as many words as `hint` has."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _loose(arguments[0])
    if origin is tuple:
        words: Any = (str, ...) if Ellipsis in arguments else (str,) * len(arguments)
        return tuple[words]
    if origin in (Union, types.UnionType):
        arms = [arm for arm in map(_loose, arguments) if arm is not str]
        return arms[0] if arms else str
    return bool if hint is bool else str


def _empty(hint: Any) -> Any:
    if hint in (bool, str):
        return hint()
    return tuple("" for each in typing.get_args(hint) if each is not Ellipsis)


def _own_fields(base: type) -> set[str]:
    """Return the fields that a class declares itself."""
    if not dataclasses.is_dataclass(base):
        return set()
    declared = base.__dict__.get("__annotations__", {}).keys()
    return declared & {field.name for field in dataclasses.fields(base)}


def _options(cls: type, prefix: str = "") -> dict[str, Any]:
    """Return the type of each option of a dataclass without others in it."""
    hints, found = typing.get_type_hints(cls, include_extras=True), {}
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if not _is_positional(hint):
            notes = getattr(hint, "__metadata__", ())
            names = [note.name for note in notes if getattr(note, "name", None)]
            name = names[0] if names else field.name
            found[prefix + name] = typing.get_args(hint)[0] if notes else hint
    return found


def _is_positional(hint: Any) -> bool:
    return tyro.conf.Positional in getattr(hint, "__metadata__", ())


def _factory(cls: type) -> Any:
    """Return a field with an instance of the class as its default, if there is one."""
    missing = tyro.MISSING
    required = any(default_of(f, missing) is missing for f in dataclasses.fields(cls))
    return dataclasses.field() if required else dataclasses.field(default_factory=cls)
