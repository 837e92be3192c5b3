"""Ranges of options: declared on the fields, checked and reported here.

A field of an options dataclass declares its range in its type, with `annotated_types`::

    steps: Annotated[int, Ge(0)] = 64
    hidden: tuple[Annotated[int, Ge(1)], ...] = (64, 64)
    momentum: Annotated[float, Interval(ge=0, lt=1)] = 0.9
    learning_rate: Annotated[float, Gt(0), Predicate(math.isfinite)] = 1e-2
    optimizers: Annotated[tuple[str, ...], MinLen(1)] | None = None

`Ge`, `Gt`, `Le`, `Lt`, `Interval`, `MinLen`, `MaxLen`, `Len` and ``math.isfinite`` are
supported. A range applies only to numbers; other values that the type allows, such as
None and ``"auto"``, have no range. An integer without a declared upper bound is at most
2^31 - 1, because devices count with 32 bits.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Union

import annotated_types as at

from neuroevo.errors import UserError

Count = Annotated[int, at.Interval(ge=1, le=2**31 - 1)]
CountOrZero = Annotated[int, at.Interval(ge=0, le=2**31 - 1)]
Limit = Annotated[int, at.Interval(ge=1, le=2**63 - 1)]
Seed = Annotated[int, at.Interval(ge=0, le=2**32 - 1)]
Positive = Annotated[float, at.Gt(0)]
Share = Annotated[float, at.Interval(gt=0, le=1)]

_MOST = 2**31 - 1


def check(options: Any, prefix: str = "") -> None:
    """Check the values of an options dataclass against the ranges of its fields.

    Args:
        options: an instance of a dataclass; any other value has no ranges to check.
        prefix: the part that the options belong to, such as ``"encoding"``.

    Raises:
        UserError: for the first value that is out of range, for example
            ``encoding.steps: expected an integer of at least 0, got -1``.
    """
    if not dataclasses.is_dataclass(options) or isinstance(options, type):
        return
    hints = typing.get_type_hints(type(options), include_extras=True)
    for field in dataclasses.fields(options):
        name = f"{prefix}.{field.name}" if prefix else field.name
        value = getattr(options, field.name)
        check(value, name)
        for expected, got in _violations(value, hints[field.name]):
            raise UserError(f"{name}: expected {expected}, got {got!r}")


def argument(name: str, value: Any, kind: Any) -> Any:
    """Check an argument of a function, and return it as a plain Python value.

    Args:
        name: name of the argument.
        value: the value that was passed; it may be a number or array of numpy or JAX.
        kind: a number type with its range, such as `Count`.

    Raises:
        UserError: if the value has another type or is out of range, for example
            ``policies: expected an integer, got 2.5``.
    """
    value = plain(value)
    if isinstance(value, bool) or not _takes(kind, value):
        noun = "an integer" if _unwrap(kind)[0] is int else "a number"
        raise UserError(f"{name}: expected {noun}, got {value!r:.60}")
    for expected, got in _violations(value, kind):
        raise UserError(f"{name}: expected {expected}, got {got!r}")
    return value


def plain(value: Any) -> Any:
    """Return `value` with arrays of numpy or JAX as numbers and lists of numbers."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(plain(each) for each in value)
    is_array = hasattr(value, "__array__") and hasattr(value, "tolist")
    return value.tolist() if is_array else value


def _violations(value: Any, hint: Any) -> Iterator[tuple[str, Any]]:
    """Yield each value that is out of range, with what was expected instead."""
    hint, bounds = _unwrap(hint)
    if typing.get_origin(hint) in (Union, types.UnionType):
        for arm in typing.get_args(hint):
            if _takes(arm, value):
                hint, own = _unwrap(arm)
                bounds += own
                break
    if isinstance(value, tuple | list):
        if expected := _length(len(value), bounds):
            yield expected, value
        element = next(iter(typing.get_args(hint)), Any)
        for each in value:
            for expected, got in _violations(each, element):
                yield f"values that are each {expected}", got
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if expected := _number(value, bounds):
            yield expected, value


def _unwrap(hint: Any) -> tuple[Any, list[Any]]:
    """Return a type without its annotations, and the list of annotations."""
    if typing.get_origin(hint) is not Annotated:
        return hint, []
    hint, *notes = typing.get_args(hint)
    return hint, [
        each
        for note in notes
        for each in (note if isinstance(note, at.GroupedMetadata) else [note])
    ]


def _takes(hint: Any, value: Any) -> bool:
    hint, _ = _unwrap(hint)
    kind = typing.get_origin(hint) or hint
    if kind is float and isinstance(value, int):
        return True
    return isinstance(kind, type) and isinstance(value, kind)


def _bound(bounds: Iterable[Any], kind: type, name: str) -> Any:
    """Return the last bound of one kind, or None."""
    found = [getattr(bound, name) for bound in bounds if isinstance(bound, kind)]
    return found[-1] if found else None


def _length(length: int, bounds: Iterable[Any]) -> str | None:
    """Return the length that was expected of a list, or None if its length fits."""
    least = _bound(bounds, at.MinLen, "min_length")
    most = _bound(bounds, at.MaxLen, "max_length")
    if least is not None and length < least:
        return f"at least {least} value{'s' if least > 1 else ''}"
    if most is not None and length > most:
        return f"at most {most} value{'s' if most > 1 else ''}"
    return None


def _number(value: float, bounds: Iterable[Any]) -> str | None:
    """Return the range that was expected of a number, or None if it is in range."""
    least, above = _bound(bounds, at.Ge, "ge"), _bound(bounds, at.Gt, "gt")
    most, below = _bound(bounds, at.Le, "le"), _bound(bounds, at.Lt, "lt")
    finite = _bound(bounds, at.Predicate, "func") is math.isfinite
    if isinstance(value, int) and most is None and below is None and value > 0:
        most = _MOST if value > _MOST else None
    if isinstance(value, int) and least is None and above is None and value < 0:
        least = -_MOST if value < -_MOST else None
    fits = [
        least is None or value >= least,
        above is None or value > above,
        most is None or value <= most,
        below is None or value < below,
        not finite or math.isfinite(value),
    ]
    if all(fits):
        return None
    noun = "an integer" if isinstance(value, int) else "a number"
    noun = "a finite number" if finite else noun
    if least is not None and most is not None:
        return f"{noun} from {_text(least)} to {_text(most)}"
    words = [
        *([f"of at least {_text(least)}"] if least is not None else []),
        *([f"greater than {_text(above)}"] if above is not None else []),
        *([f"of at most {_text(most)}"] if most is not None else []),
        *([f"less than {_text(below)}"] if below is not None else []),
    ]
    return " ".join([noun, " and ".join(words)]).strip()


def _text(bound: float) -> str:
    """Return a bound as people write it: 2^31 - 1 instead of 2147483647."""
    if isinstance(bound, int) and abs(bound) >= 2**16:
        for offset, tail in ((0, ""), (1, " - 1")):
            power = abs(bound) + offset
            if power & (power - 1) == 0:
                text = f"2^{power.bit_length() - 1}{tail}"
                return text if bound > 0 else f"-({text})" if tail else f"-{text}"
    return str(bound)
