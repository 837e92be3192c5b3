"""What a user, or another process, can do wrong, told in one line."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend.

    The message is one line: what was wrong, what was expected and, where there is
    one, the nearest valid choice. The command line prints it without a traceback
    and exits with code 2.
    """


class ProcessError(Exception):
    """The failure of another process of the run, told in one line."""


def did_you_mean(name: str, choices: Iterable[str], common: str = "") -> str:
    """Return ``"; did you mean 'x'?"`` for the closest of `choices`, or ``""``.

    An abbreviation is closest to what it begins. A prefix that all have in `common`
    is left out of the comparison.
    """
    by_lower = {choice.removeprefix(common).lower(): choice for choice in choices}
    lower = name.removeprefix(common).lower()
    longer = [choice for choice in by_lower if lower and choice.startswith(lower)]
    close = sorted(longer, key=len) or difflib.get_close_matches(lower, by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def unknown(kind: str, name: str, choices: Iterable[str]) -> UserError:
    """Return the error for a `name` that is none of `choices`."""
    choices = sorted(choices)
    listed = ", ".join(choices[:12]) + (", …" if len(choices) > 12 else "")
    return UserError(
        f"unknown {kind} {name!r}: expected one of {listed}"
        f"{did_you_mean(name, choices)}"
    )
