"""Configuration: one schema for the command line, YAML files and Python.

A configuration names the five parts of a run with their options, and holds the
settings of the engine. It is resolved from layers, each a partial nested mapping (a
preset, a file, keyword arguments) and at last the command line's arguments; a later
layer wins. The lowest layer is what the chosen parts suggest for the rest
(``suggests``), so that ``--encoding direct`` alone gets a strategy that suits it. Every
value passes through the same typed parser, whatever door it came in by.
"""

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from neuroevo import registry
from neuroevo.config import ranges
from neuroevo.config.layers import Layer, nested
from neuroevo.config.parsing import (
    option_in,
    option_names,
    parse,
    unknown_option,
    values_of,
)
from neuroevo.config.schema import PARTS, Config, Names, Settings
from neuroevo.errors import UserError
from neuroevo.store.files import flatten
from neuroevo.traits import PartTraits, traits


def resolve(
    layers: Sequence[Layer],
    arguments: Sequence[str] = (),
    *,
    schema: type = Settings,
    custom: Mapping[str, Any] | None = None,
    prog: str = "neuroevo train",
) -> Config:
    """Return the configuration that `layers` and command-line `arguments` amount to.

    `schema` is the dataclass of the settings, which a command may extend. `custom`
    holds parts made in Python, which take the place of named ones.

    Raises:
        UserError: for anything that is unknown, of the wrong type or out of range.
    """
    custom = custom or {}
    layers = [Layer(source, nested(source, values)) for source, values in layers]
    spoken = _names_in(arguments)
    suggestions: dict[str, Any] = {}
    for part in ("env", "encoding"):
        chosen, _ = _choose(layers, spoken)
        cls = custom[part] if part in custom else PARTS[part].get(chosen[part])
        suggestions |= {
            key: value
            for key, value in traits(PartTraits, cls).suggests.items()
            if issubclass(schema, Settings) or key.partition(".")[0] in PARTS
        }
    layers.insert(0, Layer("suggestions", nested("suggestions", suggestions)))
    names, layers = _choose(layers, spoken)
    layers = [
        Layer(source, {k: v for k, v in values.items() if k not in custom})
        for source, values in layers
    ]
    names |= {
        part: traits(PartTraits, value).name or type(value).__name__
        for part, value in custom.items()
    }
    classes = {
        part: _Custom if part in custom else PARTS[part].get(name)
        for part, name in names.items()
    }
    loggers, layers = _choose_loggers(layers, arguments, schema)
    kind = _command_type(classes | loggers, schema)
    known = set(option_names(kind))

    value = kind(**{f"{part}_name": name for part, name in names.items()})
    read = functools.partial(parse, kind, prog=prog)
    for source, values in layers:
        values = {k: v for k, v in values.items() if k not in _EXTRA_KEYS}
        value = read(_to_arguments(source, values, known), default=value, source=source)
    value = read(list(arguments), default=value)
    settings = schema(
        **{f.name: getattr(value, f.name) for f in dataclasses.fields(schema)}
    )
    parts = {part: getattr(value, part) for part in PARTS} | dict(custom)
    made = {name: getattr(value, name) for name in loggers}
    ranges.check(settings)
    for name, options in (parts | made).items():
        ranges.check(options, name)
    return Config(names=names, parts=parts, settings=settings, loggers=made)


_EXTRA_KEYS = {"neuroevo"}  # a run's config.yaml says which version wrote it


@dataclasses.dataclass(frozen=True)
class _Custom:
    """Stands for the options of a part made in Python: there are none to parse."""


def without_settings(layer: Layer) -> Layer:
    """Return `layer` without the settings of training, for a command that has none."""
    settings = {field.name for field in dataclasses.fields(Settings)}
    values = {
        key: value
        for key, value in layer.values.items()
        if str(key).partition(".")[0].replace("-", "_") not in settings
    }
    return _without_loggers(Layer(layer.source, values))


def _choose(
    layers: Sequence[Layer], spoken: Mapping[str, str]
) -> tuple[dict[str, str], list[Layer]]:
    """Return the name of each part, and the layers without what these make void.

    Options given for one part do not carry over to another that replaces it.
    """
    chosen = {part: getattr(Names, f"{part}_name") for part in PARTS}
    kept: list[Layer] = []
    for source, values in [*layers, Layer("arguments", dict(spoken))]:
        for part in PARTS.keys() & values.keys():
            options = values[part]
            name = options.get("name") if isinstance(options, Mapping) else options
            if name is None or name == chosen[part]:
                continue
            if not isinstance(name, str):
                raise UserError(f"{source}: {part}: expected a name, got {name!r}")
            kept = [
                Layer(s, {k: v for k, v in vs.items() if k != part}) for s, vs in kept
            ]
            chosen[part] = name
        kept.append(Layer(source, values))
    return chosen, kept[:-1]


def _choose_loggers(
    layers: Sequence[Layer], arguments: Sequence[str], schema: type
) -> tuple[dict[str, type], list[Layer]]:
    """Return the chosen loggers' options, and the layers without those of others."""
    chosen: Sequence[str] = ()
    for source, values in layers:
        given = values.get("log", chosen)
        chosen = (given,) if isinstance(given, str) else given
        if not isinstance(chosen, list | tuple):
            raise UserError(f"{source}: log: expected a list of names, got {given!r}")
    if option_in(arguments, "--log") is not None:
        chosen = values_of("--log", arguments).split()
    if not issubclass(schema, Settings):
        chosen = ()
    classes = {name: registry.loggers.get(str(name)) for name in chosen}
    return classes, [_without_loggers(layer, keep=classes) for layer in layers]


def _without_loggers(layer: Layer, keep: Collection[str] = ()) -> Layer:
    """Return `layer` without the options of loggers other than those to `keep`."""
    others = {
        key
        for key, value in layer.values.items()
        if isinstance(value, Mapping) and key not in {*PARTS, *keep}
    }
    others &= {*registry.loggers.names()} if others else set()
    values = {key: value for key, value in layer.values.items() if key not in others}
    return Layer(layer.source, values)


def take_name(
    part: str, layers: Sequence[Layer], arguments: Sequence[str]
) -> tuple[str | None, list[Layer], list[str]]:
    """Return the name given for `part`, and layers and arguments without any."""
    name, kept = None, []
    for source, values in layers:
        values = nested(source, values)
        if part in values:
            options = dict(values[part])
            name = options.pop("name", name)
            values[part] = options
        kept.append(Layer(source, values))
    flag = f"--{part}"
    name = option_in(arguments, flag) or name
    others = [
        argument
        for before, argument in zip([None, *arguments], arguments, strict=False)
        if flag not in (before, argument) and not argument.startswith(f"{flag}=")
    ]
    return name, kept, others


def _names_in(arguments: Sequence[str]) -> dict[str, str]:
    """Return the parts that are named on the command line."""
    names = {}
    for part in PARTS:
        name = option_in(arguments, f"--{part}")
        if name is not None:
            names[part] = name
    return names


def _to_arguments(source: str, values: Mapping[str, Any], known: set[str]) -> list[str]:
    """Return nested `values` as command-line arguments."""
    arguments = []
    for dotted, value in flatten(values):
        option = dotted.removesuffix(".name") if dotted in _NAME_KEYS else dotted
        if option not in known:
            raise UserError(f"{source}: {unknown_option(option, sorted(known))}")
        if option in _COMMAND_LINE_ONLY:
            raise UserError(
                f"{source}: {option}: expected on the command line, not in a file"
            )
        flag = f"--{option}"
        if isinstance(value, list | tuple):
            words = [str(each) for each in value]
            for word in filter(_is_flag, words):
                raise UserError(f"{source}: {flag}: expected values, got {word!r}")
            arguments += [flag, *words]
        else:
            arguments.append(f"{flag}={value}")
    return arguments


def _is_flag(word: str) -> bool:
    """Return whether the parser would take `word` for an option, and not a value."""
    try:
        float(word)
    except ValueError:
        return word.startswith("-")
    return False


_NAME_KEYS = {f"{part}.name" for part in PARTS}
_COMMAND_LINE_ONLY = {"config", "preset", "start"}


def _command_type(classes: Mapping[str, type], schema: type) -> type:
    """Return the dataclass whose fields are the names, the settings and the options."""
    options = [
        (part, cls, dataclasses.field(default_factory=cls))
        for part, cls in classes.items()
    ]
    # Fields come in the order of the bases, last base first.
    bases = (schema, Names)
    return dataclasses.make_dataclass("Options", options, bases=bases, frozen=True)
