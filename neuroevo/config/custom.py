"""Parts and loggers made in Python, among the options of a run."""

from collections.abc import Mapping
from typing import Any

from neuroevo.config.resolve import PARTS
from neuroevo.traits import PartTraits, traits
from neuroevo.types import Logger


def parts_in(
    options: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split `options` into the parts made in Python, made buildable, and the rest."""
    custom = {
        part: value if hasattr(value, "build") else _Fixed(value)
        for part, value in options.items()
        if part in PARTS and not isinstance(value, str | Mapping)
    }
    return custom, {k: v for k, v in options.items() if k not in custom}


def loggers_in(
    log: Any, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split loggers into those made in Python, by name, and `options` for the rest."""
    if log is None:
        return {}, dict(options)
    many = isinstance(log, list | tuple) and not isinstance(log, Logger)
    loggers = log if many else [log]
    names = [each for each in loggers if isinstance(each, str)]
    made = [each for each in loggers if not isinstance(each, str)]
    made = [each if hasattr(each, "build") else _Fixed(each) for each in made]
    custom = {}
    for each in made:
        custom[traits(PartTraits, each).name or type(each).__name__] = each
    return custom, {**options, "log": names}


class _Fixed:
    """A part that was made in Python: a value, or a function that returns one."""

    def __init__(self, value: Any):
        self._value = value
        self.name = getattr(value, "__name__", type(value).__name__)

    def build(self, *args: Any, **kwargs: Any) -> Any:
        return self._value(*args, **kwargs) if callable(self._value) else self._value
