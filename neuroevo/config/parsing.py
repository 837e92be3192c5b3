"""The typed parser: dataclasses from the words of a command line.

tyro parses; what it has to say of a mistake becomes one line, see `UserError`.
"""

import dataclasses
import itertools
import math
import os
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro._errors import (  # documented there; pyproject.toml bounds the version
    BadValue,
    InstantiationFailure,
    InvalidChoice,
    MissingArgs,
    UnrecognizedArgs,
    on_parse_error,
)

from neuroevo.errors import UserError, did_you_mean


def option_names(kind: type, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every option of the dataclass `kind`."""
    for field in dataclasses.fields(kind):
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            yield from option_names(field.type, f"{prefix}{field.name}.")
        else:
            notes = getattr(field.type, "__metadata__", ())
            given = (getattr(note, "name", None) for note in notes)
            yield prefix + next(filter(None, given), field.name)


def option_in(arguments: Sequence[str], flag: str) -> str | None:
    """Return the last value given for `flag`, without parsing anything else."""
    found = None
    for argument, following in itertools.zip_longest(arguments, arguments[1:]):
        if argument == flag and following is not None:
            found = following
        elif argument.startswith(f"{flag}="):
            found = argument.partition("=")[2]
    return found


def parse_command(kind: type, arguments: Sequence[str], *, prog: str) -> Any:
    """Return an instance of the dataclass `kind`, parsed from `arguments`.

    Raises:
        UserError: for anything that is missing, unknown or of the wrong type.
    """
    return parse(kind, list(arguments), prog=prog)


def parse(
    kind: type,
    arguments: list[str],
    *,
    prog: str,
    default: Any = tyro.MISSING,
    source: str | None = None,
) -> Any:
    """Return an instance of the dataclass `kind`: `default`, changed by `arguments`.

    Raises:
        UserError: for a mistake, in one line that names `source`.
    """
    if not arguments and default is not tyro.MISSING:
        return default  # the parser takes a tenth of a second for nothing
    known = list(option_names(kind))

    def explain(event):
        message = _explain(event, arguments, known, prog)
        if message is not None:
            raise UserError(f"{source}: {message}" if source else message)

    given = {} if default is tyro.MISSING else {"default": default}
    # Its help does not look for the variable itself.
    tyro._experimental_options["ansi_codes"] = not os.environ.get("NO_COLOR")
    with on_parse_error(explain):
        return tyro.cli(
            kind,
            args=arguments,
            prog=prog,
            # Help is in docstrings; looking for comments is slow.
            config=(tyro.conf.FlagConversionOff, tyro.conf.HelptextFromCommentsOff),
            registry=_registry,
            **given,
        )


_registry = tyro.constructors.ConstructorRegistry()


@_registry.primitive_rule
def _integer(info: Any) -> Any:
    """Let integers be written like 1e8, as people write environment steps."""
    if info.type is not int:
        return None

    def read(words):
        try:
            return int(words[0])
        except ValueError:  # 1e8, or the 100000000.0 that YAML makes of 1.0e+8
            number = float(words[0])
        if not number.is_integer():
            raise ValueError(f"{words[0]} is not an integer")
        return int(number)

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=read,
        is_instance=lambda x: isinstance(x, int) and not isinstance(x, bool),
        str_from_instance=lambda x: [str(x)],
    )


@_registry.primitive_rule
def _number(info: Any) -> Any:
    """Take no NaN for a number."""
    if info.type is not float:
        return None

    def read(words):
        number = float(words[0])
        if math.isnan(number):
            raise ValueError(f"{words[0]} is not a number")
        return number

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="FLOAT",
        instance_from_str=read,
        is_instance=lambda x: isinstance(x, float | int) and not isinstance(x, bool),
        str_from_instance=lambda x: [str(x)],
    )


def _explain(
    event: Any, arguments: Sequence[str], known: Sequence[str], prog: str
) -> str | None:
    """Return one line for a parser's error event, or None to let the parser speak."""
    match event:
        case MissingArgs(missing_arguments=[first, *_]):
            name = first.arg.field.intern_name.upper()
            return f"{name} is missing: expected {prog} {name}"
        case UnrecognizedArgs(tokens=[first, *_]) if first.startswith("--"):
            return unknown_option(first.partition("=")[0], known)
        case UnrecognizedArgs(tokens=[first, *_]):
            after = _before(first, arguments)
            return (
                f"unexpected argument {first!r}{after and f' after {after}'}: expected "
                "options like --env NAME"
            )
        case (
            BadValue(argument=argument)
            | InvalidChoice(argument=argument)
            | InstantiationFailure(argument=argument)
        ) if argument is not None:
            flag = argument.lowered.name_or_flags[-1]
            given = values_of(flag, arguments)
            close = did_you_mean(given, getattr(event, "choices", ())) if given else ""
            got = repr(given) if given else "nothing"
            return f"{flag}: expected {_expected(argument)}, got {got}{close}"
        case InstantiationFailure(message=message):
            return " ".join(message.split())
    return None


def unknown_option(flag: str, known: Sequence[str]) -> str:
    """Return one line about a `flag` that is none of the `known` options' flags."""
    flags = [f"--{name.replace('_', '-')}" for name in known]
    flag = f"--{flag.lstrip('-').replace('_', '-')}"
    part, dot, _ = flag.partition(".")
    siblings = [other for other in flags if dot and other.startswith(f"{part}.")]
    listed = siblings[:12] + ["…"] * (len(siblings) > 12)
    expected = ", ".join(listed) or "an option that --help lists"
    # What all of the flags begin with says nothing about how close they are.
    common = f"{part}." if siblings else "--"
    close = did_you_mean(flag, siblings or flags, common)
    return f"unknown option {flag}: expected {expected}{close}"


def _before(word: str, arguments: Sequence[str]) -> str:
    """Return the option in front of a superfluous `word`, as it was written."""
    before = list(arguments[: arguments.index(word)] if word in arguments else ())
    flags = [i for i, argument in enumerate(before) if argument.startswith("--")]
    return " ".join(before[flags[-1] :]) if flags else ""


def values_of(flag: str, arguments: Sequence[str]) -> str:
    """Return what was given for `flag`, as it was written."""
    given = ""
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name.replace("_", "-") == flag.replace("_", "-"):
            rest = itertools.takewhile(
                lambda word: not word.startswith("--"), arguments[position + 1 :]
            )
            given = value if equals else " ".join(rest)
    return given


def _expected(argument: Any) -> str:
    """Return what an argument takes, from its type."""
    words = {
        int: "an integer",
        float: "a number",
        str: "a text",
        bool: "True or False",
        type(None): "None",
        Path: "a path",
    }

    def describe(hint):
        if typing.get_origin(hint) is Annotated:
            return describe(typing.get_args(hint)[0])
        if typing.get_origin(hint) is Literal:
            return ", ".join(map(str, typing.get_args(hint)))
        if typing.get_origin(hint) is tuple:
            inner = typing.get_args(hint)
            many = "" if Ellipsis in inner else f"{len(inner)} "
            return f"{many}values that are each {describe(inner[0])}"
        arms = typing.get_args(hint)
        if arms:
            return " or ".join(describe(arm) for arm in arms)
        return words.get(hint, str(hint))

    return describe(argument.field.type)
