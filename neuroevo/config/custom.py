"""Parts and loggers that are made in Python and passed as options of a run."""

from collections.abc import Mapping
from typing import Any

from neuroevo import registry
from neuroevo.config.ranges import plain
from neuroevo.config.schema import PARTS
from neuroevo.errors import UserError, type_in_words, with_fields
from neuroevo.loggers.contract import Logger
from neuroevo.spaces import Spec
from neuroevo.traits import PartTraits, traits
from neuroevo.types import (
    Apply,
    Array,
    Encoding,
    Environment,
    Key,
    Objective,
    Params,
    Policy,
    Strategy,
    Task,
)

_MADE = {  # what may be given as a part besides a name and options
    "env": f"a {with_fields(Environment)}, a gymnax or brax environment, a "
    "neuroevo.Objective (spec, measure)",
    "encoding": f"a function of (policy, spec) that returns a {with_fields(Encoding)}",
    "policy": f"a function of the spec that returns a {with_fields(Policy)}",
    "normalization": "a function of the observations' shape that returns a Normalizer",
    "strategy": f"a function of the population that returns a {with_fields(Strategy)}",
}


def parts_in(
    options: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split `options` into the parts made in Python, made buildable, and the rest.

    The options ``fitness`` and ``spec`` become the part `env`.

    Raises:
        UserError: for a value that cannot be a part, with what was expected.
    """
    options = _with_objective(options)
    custom = {
        part: _buildable(part, value)
        for part, value in options.items()
        if part in PARTS and not isinstance(value, str | Mapping)
    }
    return custom, {k: plain(v) for k, v in options.items() if k not in custom}


def loggers_in(
    log: Any, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split loggers into those made in Python, by name, and `options` for the rest.

    Raises:
        UserError: for a value that cannot be a logger.
    """
    if log is None:
        return {}, dict(options)
    many = isinstance(log, list | tuple) and not isinstance(log, Logger)
    loggers = log if many else [log]
    names = [each for each in loggers if isinstance(each, str)]
    custom = {}
    for each in loggers:
        if isinstance(each, str):
            continue
        buildable = hasattr(each, "build") or callable(each)
        if not buildable and not isinstance(each, Logger):
            expected = "a name, or a function of a neuroevo.Session that returns a "
            raise _refuse("log", f"{expected}neuroevo.Logger", each)
        made = each if hasattr(each, "build") else _Fixed(each)
        custom[traits(PartTraits, made).name or type(made).__name__] = made
    return custom, {**options, "log": names}


def _with_objective(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `options` with a part `env` that is made of ``fitness`` and ``spec``."""
    rest = {k: v for k, v in options.items() if k not in ("fitness", "spec")}
    fitness, spec = options.get("fitness"), options.get("spec")
    if fitness is None:
        if spec is not None:
            raise UserError("spec: expected a fitness beside it; got none")
        return rest
    if "env" in options:
        raise UserError("fitness: expected it without env; got both")
    if not callable(fitness) or isinstance(fitness, type):
        expected = "a function of (apply, params, key) that returns a number"
        raise UserError(f"fitness: expected {expected}; got {type_in_words(fitness)}")
    if not isinstance(spec, Spec):
        expected = f"the {with_fields(Spec)} of the networks that fitness measures"
        raise UserError(f"spec: expected {expected}; got {type_in_words(spec)}")

    def measure(
        apply: Apply, params: Params, key: Key, role: Array, data: Any
    ) -> Array:
        return fitness(apply, params, key)

    made = _Fixed(Objective(spec, measure))
    name = getattr(fitness, "__name__", "")
    made.name = name if name.isidentifier() else "fitness"
    return {**rest, "env": made}


def _buildable(part: str, value: Any) -> Any:
    """Return an object whose ``build`` method makes the part `value`."""
    expected = f"a name, options with a build method, or {_MADE[part]}"
    if isinstance(value, type) and (part == "env" or hasattr(value, "build")):
        raise _refuse(part, f"{expected}, not its class", value)
    if hasattr(value, "build"):
        return value
    if part == "env" and not isinstance(value, Environment | Objective | Task):
        adapted = registry.envs.adapt(value)
        if adapted is not None:
            return adapted
        if not callable(value):  # a function of nothing that returns one will do
            raise _refuse(part, expected, value)
    if callable(value) or hasattr(value, "_fields"):
        return _Fixed(value)
    raise _refuse(part, expected, value)


def _refuse(part: str, expected: str, value: Any) -> UserError:
    """Return the error for a `value` that cannot be this part."""
    return UserError(f"{part}: expected {expected}; got {type_in_words(value)}")


class _Fixed:
    """A part made in Python: a value, or a function that returns one."""

    def __init__(self, value: Any):
        self._value = value
        self.name = getattr(value, "__name__", type(value).__name__)
        if callable(value):
            self.function = value

    def build(self, *args: Any, **kwargs: Any) -> Any:
        is_part = hasattr(self._value, "_fields")
        return self._value if is_part else self._value(*args, **kwargs)
