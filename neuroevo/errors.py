"""Errors of users and of other processes, each reported in one line."""

import difflib
import sys
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """A mistake that the user can correct.

    The message is one line: what was wrong, what was expected and, where there is
    one, the nearest valid choice. The command line prints it without a traceback
    and exits with code 2.

    Example:
        >>> try:
        ...     neuroevo.load("zoo:cartpole")
        ... except neuroevo.UserError as error:
        ...     print(error)
        unknown zoo genome 'cartpole': ...; did you mean 'cartpole-d2'?
    """

    def __init__(self, message: str):
        super().__init__(_one_line(message))


class OutOfMemory(UserError):
    """A run that does not fit into the memory of its devices."""


class EnvironmentFailure(UserError):
    """An environment outside of JAX that has failed while it was used.

    A run ends with it, and can be resumed.
    """


_MOST = 2000  # characters of a message


def _one_line(text: str) -> str:
    """Return `text` with control characters escaped, and the middle of a long text cut.

    The text may quote names that come from a user or from a hostile file.
    """
    if len(text) > _MOST:
        text = f"{text[: _MOST // 2]} … {text[-_MOST // 2 :]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def first_line(error: BaseException, most: int = 200) -> str:
    """Return the first line of the message of `error`, or its type if that is empty."""
    lines = str(error).strip().splitlines()
    return lines[0][:most] if lines else type(error).__name__


def in_one_line(error: BaseException, most: int = _MOST) -> str:
    """Return the message of `error` in one line, or its type if that is empty."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def type_in_words(value: object) -> str:
    """Return the type of `value` in words, such as ``an int`` or ``the class X``."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(str, value)) or 'nothing'}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def with_fields(kind: type) -> str:
    """Return a public NamedTuple with the fields it needs: ``neuroevo.Box (shape)``."""
    fields: Sequence[str] = kind._fields  # type: ignore[attr-defined]
    needed = [name for name in fields if name not in kind._field_defaults]  # type: ignore[attr-defined]
    return f"neuroevo.{kind.__name__} ({', '.join(needed)})"


class ProcessError(Exception):
    """The failure of another process of the run, reported in one line."""


def check_system() -> None:
    """Raise a `UserError` on a system that neuroevo does not run on."""
    if sys.platform not in ("linux", "darwin"):
        raise UserError(
            f"neuroevo runs on Linux and macOS, not on {sys.platform}; on Windows use "
            "WSL (Windows Subsystem for Linux)"
        )


def did_you_mean(name: str, choices: Iterable[str], common: str = "") -> str:
    """Return ``"; did you mean 'x'?"`` for the closest of `choices`, or ``""``.

    An abbreviation is closest to a name that begins with it. The prefix `common` of all
    choices is ignored.
    """
    by_lower = {choice.removeprefix(common).lower(): choice for choice in choices}
    lower = name.removeprefix(common).lower()
    longer = [choice for choice in by_lower if lower and choice.startswith(lower)]
    close = sorted(longer, key=len) or difflib.get_close_matches(lower, by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def unknown(
    kind: str, name: str, choices: Iterable[str], common: str = ""
) -> UserError:
    """Return the error for a `name` that is not among `choices`.

    Args:
        kind: what it names.
        name: the name.
        choices: what would have been right.
        common: a prefix of `name` that is right.
    """
    choices = sorted(choices)
    listed = ", ".join(choices[:12]) + (", …" if len(choices) > 12 else "")
    return UserError(
        f"unknown {kind} {name!r}: expected one of {listed}"
        f"{did_you_mean(name, choices, common)}"
    )
