"""What neuroevo uses of tyro that is not public, in one place.

tyro 1.0.17 reports a mistake in a box of many lines and exits. Its only way to have it
in one line instead is the hook in `tyro._errors`, and whether it writes colors and
boxes is decided by `tyro._experimental_options`. Both are documented as unstable there,
so ``pyproject.toml`` pins tyro to ``>=1.0.17,<1.1``.
"""

import dataclasses
import os
import sys
from typing import Any

import tyro
from tyro import _errors
from tyro._errors import on_parse_error

__all__ = ["Problem", "adapt_to_terminal", "on_parse_error", "problem_in"]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A mistake in a command line.

    Attributes:
        missing: the names of required arguments that are missing.
        flag: the option that has a value it cannot take.
        hint: the type of that option.
        choices: the values that it can take, if they are few.
        count: the number of values that it takes, if that is fixed.
        message: what tyro says, if no option is to blame.
    """

    missing: tuple[str, ...] = ()
    flag: str = ""
    hint: Any = None
    choices: tuple[str, ...] = ()
    count: int | None = None
    message: str = ""


def problem_in(event: Any) -> Problem | None:
    """Return what a parse error is about, or None for kinds that are not known."""
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
    """Let help have colors unless NO_COLOR is set, and boxes if they can be shown."""
    options: Any = tyro._experimental_options
    options["ansi_codes"] = not os.environ.get("NO_COLOR")
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    options["utf8_boxes"] = encoding.replace("-", "").startswith("utf")
