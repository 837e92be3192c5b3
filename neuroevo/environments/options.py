"""Options of environments: tables, made into dataclasses.

The tables are not derived from the suites when neuroevo runs: importing these takes
seconds and starts JAX's backend, after which its devices can no longer be configured.
Tests compare the tables with the suites.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Interval
from typing_extensions import Doc

AtLeastOne = Annotated[int, Ge(1)]
Share = Annotated[float, Interval(ge=0, le=1)]


class Option(NamedTuple):
    """An option of an environment.

    Attributes:
        default: a bool, an int, a float, a str, or a tuple of these.
        help: its description, with the unit.
        kind: its type, with its range; None for the type of the default.
    """

    default: Any
    help: str
    kind: Any = None


def make_options(
    name: str, options: Mapping[str, Option], namespace: Mapping[str, Any]
) -> type:
    """Return a frozen dataclass with `options` as its fields.

    Args:
        name: name of the environment.
        options: the fields by name.
        namespace: other attributes of the class: ``__doc__``, ``__module__``, ``build``
            and the environment's traits.
    """
    fields = [
        (key, Annotated[option.kind or _kind_of(option.default), _doc(option.help)])
        for key, option in options.items()
    ]
    defaults = {key: option.default for key, option in options.items()}
    made = dataclasses.make_dataclass(
        "".join(c if c.isalnum() else "_" for c in name),
        [(key, kind, defaults[key]) for key, kind in fields],
        namespace=dict(namespace),
        frozen=True,
    )
    # From Python 3.12 on, a dataclass made here would count as one of this module.
    made.__module__ = namespace.get("__module__", made.__module__)
    return made


def option_of(default: Any, help: str) -> Option | None:
    """Return the option with this `default`, or None if it cannot be an option.

    Arrays and nested settings cannot be options.
    """
    values = default if isinstance(default, tuple) else (default,)
    simple = values and all(isinstance(x, bool | int | float | str) for x in values)
    return Option(default, help) if simple else None


def _doc(text: str) -> Doc:
    """Return an option's text as a sentence, like the texts of other parts."""
    return Doc(f"{text[0].upper()}{text[1:]}.")


def _kind_of(default: Any) -> Any:
    if isinstance(default, tuple):
        return tuple[tuple(type(x) for x in default)]  # type: ignore[misc]
    return type(default)
