"""All uses of tyro's private API.

tyro 1.0.17 reports a mistake in a box of many lines and exits. The only way to get one
line instead is the hook in `tyro._errors`; `tyro._experimental_options` controls colors
and boxes. tyro documents both as unstable, so ``pyproject.toml`` pins it to
``>=1.0.17,<1.1``. `tyro._resolver` compares defaults with their types; for unions and
tuples it imports typeguard, which takes as long as tyro itself.
"""

import dataclasses
import os
import sys
import types
import typing
from typing import Any

import tyro
from tyro import _errors, _resolver
from tyro._errors import on_parse_error

__all__ = ["Problem", "adapt_to_terminal", "on_parse_error", "problem_in"]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A mistake in a command line.

    Attributes:
        missing: the names of required arguments that are missing.
        flag: the option with an invalid value.
        hint: the type of that option.
        choices: the values that it can take, if there are only a few.
        count: the number of values that it takes, if it is fixed.
        message: tyro's own message, if no single option is at fault.
    """

    missing: tuple[str, ...] = ()
    flag: str = ""
    hint: Any = None
    choices: tuple[str, ...] = ()
    count: int | None = None
    message: str = ""


def problem_in(event: Any) -> Problem | None:
    """Return the problem behind a parse error, or None if its kind is unknown."""
    match event:
        case _errors.MissingArgs(missing_arguments=missing):
            return Problem(tuple(str(each.arg.lowered.metavar) for each in missing))
        case (
            _errors.BadValue(argument=argument)
            | _errors.InvalidChoice(argument=argument)
            | _errors.InstantiationFailure(argument=argument)
        ) if argument is not None:
            return Problem(
                flag=argument.lowered.name_or_flags[-1],
                hint=argument.field.type,
                choices=tuple(getattr(event, "choices", ())),
                count=argument.lowered.nargs
                if isinstance(argument.lowered.nargs, int)
                else None,
            )
        case _errors.InstantiationFailure(message=message):
            return Problem(message=" ".join(message.split()))
    return None


def adapt_to_terminal() -> None:
    """Show help in color unless NO_COLOR is set, and with boxes where possible."""
    options: Any = tyro._experimental_options
    options["ansi_codes"] = not os.environ.get("NO_COLOR")
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    options["utf8_boxes"] = encoding.replace("-", "").startswith("utf")


_slow_is_instance = _resolver.is_instance


def _is_instance(typ: Any, value: Any) -> bool:
    """Return whether `value` has a type, without typeguard for those that we use."""
    origin, arguments = typing.get_origin(typ), typing.get_args(typ)
    if origin is types.UnionType:
        return any(_is_instance(arm, value) for arm in arguments)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        is_tuple = isinstance(value, tuple)
        return is_tuple and all(_is_instance(arguments[0], each) for each in value)
    return _slow_is_instance(typ, value)


_resolver.is_instance = _is_instance
