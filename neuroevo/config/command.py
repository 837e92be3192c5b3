"""Commands, and the first of two passes over a command line.

The options of a command line depend on the parts that it names, directly or through a
file. Hence it is parsed twice: first for the command's own options, the names of parts
and the positional arguments; then, by `resolve`, with the options of the parts.
"""

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from neuroevo.config import forms, parsing, ranges
from neuroevo.config.forms import Form
from neuroevo.config.schema import PARTS, Search, Settings
from neuroevo.errors import UserError

ALL = tuple(PARTS)
DECODING = ("env", "encoding", "policy", "normalization")
_HELP = {"-h", "--help"}
_UNSAID = "\0"  # stands for an argument that was not given


@dataclasses.dataclass(frozen=True)
class Command:
    """What a command takes.

    Attributes:
        usage: how to call it, such as ``neuroevo resume RUN``.
        summary: what it does, for its help.
        schema: the dataclass of its own options, made of groups; see `forms`.
        parts: the parts that it needs.
        offered: the parts that its options can choose and change; None for all.
        requires: options, by dotted name, that the parts it works on have.
    """

    usage: str
    schema: type
    summary: str = ""
    parts: tuple[str, ...] = ()
    offered: tuple[str, ...] | None = None
    requires: tuple[str, ...] = ()

    @property
    def prog(self) -> str:
        """The words that call it, such as ``neuroevo resume``."""
        return " ".join(self.usage.split()[:2])

    @property
    def instead(self) -> str:
        """What an error expects instead of an unknown word."""
        return "options like --env NAME" if self.trains else self.usage

    @property
    def choices(self) -> tuple[str, ...]:
        """The parts that the command's options can choose and change."""
        return self.parts if self.offered is None else self.offered

    @property
    def search(self) -> frozenset[str]:
        """The settings that parts may suggest: none if its options define no search."""
        names = frozenset(field.name for field in dataclasses.fields(self.schema))
        return names if issubclass(self.schema, Search) else frozenset()

    @property
    def trains(self) -> bool:
        """Whether its options are those of a run."""
        return issubclass(self.schema, Settings)


TRAINING = Command("neuroevo train", Settings, parts=ALL)


@dataclasses.dataclass(frozen=True)
class Line:
    """A command line after the first pass, without the options of parts.

    Attributes:
        words: the words after the command.
        options: the command's own options, an instance of its schema.
        names: the parts that it names.
        log: the loggers that it names, or None.
        help: whether it asks for help, which has not been printed yet.
    """

    words: tuple[str, ...]
    options: Any
    names: Mapping[str, str]
    log: tuple[str, ...] | None = None
    help: bool = False


def read(command: Command, words: Sequence[str]) -> Line:
    """Parse the words after a command.

    For a command without parts, this is the only pass; it prints help, if asked to, and
    exits.

    Raises:
        UserError: for arguments that are missing, unknown or of the wrong type.
    """
    return _read(command, tuple(words))


@functools.lru_cache(maxsize=8)  # the second pass asks again
def _read(command: Command, words: tuple[str, ...]) -> Line:
    asks = not _HELP.isdisjoint(words)
    said = [word for word in words if word not in _HELP] if asks else [*words]
    form = Form(command.schema, command.choices)
    if asks and not command.parts:
        _parse(command, form, ["--help"])
    if form.positionals:
        values = _read_with_arguments(command, form, said, asks)
    else:
        values, rest = _parse(command, form, said)
        if not command.parts:
            parsing.surplus(words, rest, form.options, command.instead)
    names = {part: values[f"{part}_name"] for part in command.choices}
    names = {part: name for part, name in names.items() if name != _UNSAID}
    log = values.pop("log", None)
    log = None if log == (_UNSAID,) else log
    settings = form.settings({"log": log or ()} | values)
    if not command.parts:  # or `resolve` checks all of them together
        ranges.check(settings)
    return Line(words, settings, names, log, asks)


def _read_with_arguments(
    command: Command, form: Form, words: Sequence[str], asks: bool
) -> dict[str, Any]:
    """Return the values in `words` by name, if some of them are positional arguments.

    These can be found only once it is known how many words each option takes.
    """
    values, flags = _unknown_flags(command, form, words)
    many = [name for name, many in form.positionals.items() if many]
    parts = {part for flag in flags if (part := _part_of(flag, command))}
    first = bool(words) and not parsing.is_flag(words[0]) and not many
    if not first:  # or it is clear what the argument is
        form = dataclasses.replace(form, parts=_loose_parts(command, parts, values))
    known = [*form.options, *(f"{part}." for part in (parts if first else ()))]
    unknown = [flag for flag in flags if not parsing.is_option(flag, known)]
    parsing.surplus(words, unknown, known, command.instead)
    try:
        values, rest = _parse(command, form, words)
    except parsing.Missing:
        if not asks:
            raise
        return form.defaults() | values | dict.fromkeys(form.positionals)
    if many:
        values[many[0]] = (*values[many[0]], *rest)
    elif not (first and parts):
        parsing.surplus(words, rest, form.options, command.instead)
    return values


def _unknown_flags(
    command: Command, form: Form, words: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the names of parts in `words`, and the flags that are not the command's.

    The parser would mistake words of these flags for positional arguments.
    """
    form = dataclasses.replace(form, schema=forms.loose([form.schema]))
    options = words[: words.index("--")] if "--" in words else words
    try:
        values, rest = _parse(command, form, options)
    except UserError:  # the next pass puts it better
        return {f"{part}_name": _UNSAID for part in form.named}, []
    names = {f"{part}_name": values[f"{part}_name"] for part in form.named}
    return names, [word for word in rest if parsing.is_flag(word)]


def _loose_parts(
    command: Command, parts: Collection[str], values: Mapping[str, Any]
) -> dict[str, type]:
    """Return a class with the options of all `parts`, before they are chosen.

    In ``evaluate --policy.hidden 8 8 RUN``, that is the policy.
    """
    classes = {}
    for part in parts:
        name = values[f"{part}_name"]
        names = PARTS[part].names() if name == _UNSAID else [name]
        found = [PARTS[part].get(each) for each in names]
        fitting = [each for each in found if _has_required(each, part, command)]
        classes[part] = forms.loose(fitting or found)
    return classes


def _has_required(options: type, part: str, command: Command) -> bool:
    """Return whether `options` of a part have those that the command requires."""
    required = (name.partition(".") for name in command.requires)
    return all(hasattr(options, name) for of, _, name in required if of == part)


def _parse(
    command: Command, form: Form, words: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the values in `words` by name, and the words that are left over."""
    values = form.defaults() | {f"{part}_name": _UNSAID for part in form.named}
    values |= {"log": (_UNSAID,)} if "log" in values else {}
    if not words and not form.positionals:
        return values, []
    found, rest = parsing.parse(
        form.kind,
        words,
        prog=command.prog,
        usage=command.usage,
        default=form.pack(values),
        description=command.summary,
    )
    return values | form.unpack(found), rest


def _part_of(word: str, command: Command) -> str | None:
    """Return the part that an option belongs to, or None."""
    part, dot, _ = word.removeprefix("--").partition(".")
    return part if dot and part in command.choices else None
