"""Configuration: one schema for the command line, YAML files and Python.

A configuration names the five parts of a run with their options, and holds the
settings of the engine. It is resolved from layers: partial nested mappings (a preset, a
file, keyword arguments), and finally the arguments of the command line. Later layers
override earlier ones. The lowest layer holds what the chosen parts suggest for other
options (``suggests``), so that ``--encoding direct`` alone gets a suitable strategy.
Every value passes through the same typed parser, wherever it comes from.
"""

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from neuroevo import registry
from neuroevo.config import parsing, ranges
from neuroevo.config.command import TRAINING, Command, Line, read
from neuroevo.config.forms import Form
from neuroevo.config.layers import FOR_ENV, Layer, for_environment, nested
from neuroevo.config.recorded import VERSION_KEY
from neuroevo.config.schema import DEFAULT_PARTS, PARTS, Config, Settings
from neuroevo.errors import UserError
from neuroevo.store.files import flatten


def resolve(
    layers: Sequence[Layer],
    arguments: Sequence[str] = (),
    *,
    command: Command = TRAINING,
    custom: Mapping[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
) -> Config:
    """Return the configuration that results from `layers` and `arguments`.

    Args:
        layers: partial configurations; later ones win.
        arguments: the words of a command line, which override all layers.
        command: the command that the words belong to.
        custom: parts made in Python, which replace named ones.
        names: names of parts to use instead of those in `arguments`.

    Raises:
        UserError: for values that are unknown, of the wrong type or out of range.
    """
    custom, line = custom or {}, read(command, arguments)
    spoken = line.names if names is None else names
    layers = [
        _for_command(command, Layer(source, nested(source, values)))
        for source, values in layers
    ]
    layers.insert(0, _suggestions(command, layers, spoken, custom))
    chosen, layers = _choose(layers, spoken)
    env = chosen["env"]
    layers = [
        _for_command(command, one)
        for layer in layers
        for one in for_environment(layer, env)
    ]
    chosen = {part: chosen[part] for part in command.parts}
    layers = [
        Layer(source, {k: v for k, v in values.items() if k not in custom})
        for source, values in layers
    ]
    classes = {
        part: _Custom if part in custom else PARTS[part].get(name)
        for part, name in chosen.items()
    }
    loggers, layers = _choose_loggers(command, layers, line.log)

    form = Form(command.schema, command.parts, classes | loggers, positional=False)
    values = form.defaults()
    values |= {f"{part}_name": name for part, name in chosen.items()}
    for layer in layers:
        values |= _read_layer(form, layer, values)
    values |= _read_words(command, line, classes | loggers, values)
    values |= {name: getattr(line.options, name) for name in form.positionals}

    settings = form.settings(values)
    parts = {part: values[part] for part in command.parts} | dict(custom)
    made = {name: values[name] for name in loggers}
    ranges.check(settings)
    for name, options in (parts | made).items():
        ranges.check(options, name)
    return Config(chosen | _names_of(custom), parts, settings, made)


def print_help(
    command: Command, arguments: Sequence[str], layers: Sequence[Layer] = ()
) -> None:
    """Print the help of a command that was called without a genome.

    It lists the options of the parts that `layers` or the command line name, with the
    values that `layers` give them as defaults.
    """
    layers = [
        _for_command(command, Layer(source, nested(source, values)))
        for source, values in layers
    ]
    line = read(command, arguments)
    named, layers = _choose(layers, line.names, {})
    classes = {part: PARTS[part].get(name) for part, name in named.items()}
    form = Form(command.schema, command.choices, classes, positional=False)
    values = form.defaults()
    values |= {f"{part}_name": name for part, name in named.items()}
    for layer in layers:
        values |= _read_layer(form, layer, values)
    _read_words(command, line, classes, values)


def _suggestions(
    command: Command,
    layers: Sequence[Layer],
    spoken: Mapping[str, str],
    custom: Mapping[str, Any],
) -> Layer:
    """Return the defaults that the environment and the encoding suggest."""
    from neuroevo.traits import PartTraits, traits  # imports JAX

    suggested: dict[str, Any] = {}
    chosen, _ = _choose(layers, spoken)
    for part in ("env", "encoding"):
        if part in command.parts:
            cls = custom[part] if part in custom else PARTS[part].get(chosen[part])
            suggested |= traits(PartTraits, cls).suggests
    taken = {*command.parts, *command.search}
    for_it = {
        key: value for key, value in suggested.items() if key.partition(".")[0] in taken
    }
    source = "suggestions"
    return _for_command(command, Layer(source, nested(source, for_it)))


def _names_of(custom: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of parts made in Python; a registered class keeps its name."""
    if not custom:
        return {}
    from neuroevo.traits import PartTraits, traits  # imports JAX

    return {
        part: PARTS[part].name_of(value)
        or traits(PartTraits, value).name
        or type(value).__name__
        for part, value in custom.items()
    }


def _read_layer(
    form: Form, layer: Layer, values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return `values`, overridden by those of a layer."""
    source, given = layer
    words = _to_words(source, form, given)
    if not words:
        return values  # parsing nothing would still take a tenth of a second
    default = form.pack({**values})
    found, rest = parsing.parse(
        form.kind, words, prog="", default=default, source=source, with_help=False
    )
    try:
        parsing.surplus(words, rest, form.options, "one value")
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    return form.unpack(found)


def _read_words(
    command: Command,
    line: Line,
    classes: Mapping[str, type],
    values: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Return `values`, overridden by the words of a command line."""
    words = line.words
    if not words:
        return values
    parts = {
        name: cls
        for name, cls in classes.items()
        if name not in PARTS or name in command.choices
    }
    form = Form(command.schema, command.choices, parts)
    if not line.help:  # the parser would take their values for positional arguments
        flags = itertools.takewhile(lambda word: word != "--", words)
        unknown = [word for word in flags if _is_unknown(word, form)]
        parsing.surplus(words, unknown, form.options, command.instead)
    found, rest = parsing.parse(
        form.kind,
        ["--help"] if line.help else words,
        prog=command.prog,
        usage=command.usage,
        default=form.pack({**values}),
        description=command.summary,
    )
    if any(form.positionals.values()):
        rest = [word for word in rest if word.startswith("-")]
    parsing.surplus(words, rest, form.options, command.instead)
    return form.unpack(found)


def _is_unknown(word: str, form: Form) -> bool:
    return word.startswith("--") and not parsing.is_option(word, form.options)


@dataclasses.dataclass(frozen=True)
class _Custom:
    """Stands for the options of a part made in Python, which has none to parse."""


def without_settings(layer: Layer, kept: type | None = None) -> Layer:
    """Return `layer` without the settings of training that a command does not have.

    The command has those that are fields of the class `kept`.
    """
    settings = {field.name for field in dataclasses.fields(Settings)}
    if kept is not None:
        settings -= {field.name for field in dataclasses.fields(kept)}

    def rest(values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: value
            for key, value in values.items()
            if str(key).partition(".")[0].replace("-", "_") not in settings
        }

    values = rest(layer.values)
    if isinstance(cases := values.get(FOR_ENV), Mapping):
        values[FOR_ENV] = {
            env: rest(each) if isinstance(each, Mapping) else each
            for env, each in cases.items()
        }
    return _without_loggers(Layer(layer.source, values))


def _for_command(command: Command, layer: Layer) -> Layer:
    """Return `layer` without the options that `command` does not have."""
    unused = {part for part in PARTS if part not in command.parts} | {VERSION_KEY}
    values = {k: v for k, v in layer.values.items() if k not in unused}
    return Layer(layer.source, values)


def _choose(
    layers: Sequence[Layer],
    spoken: Mapping[str, str],
    defaults: Mapping[str, str] = DEFAULT_PARTS,
) -> tuple[dict[str, str], list[Layer]]:
    """Return the name of each part, and the layers without options that do not apply.

    Options of a part do not carry over to another part that replaces it.
    """
    chosen = dict(defaults)
    kept: list[Layer] = []
    for source, values in [*layers, Layer("arguments", dict(spoken))]:
        for part in PARTS.keys() & values.keys():
            options = values[part]
            name = options.get("name") if isinstance(options, Mapping) else options
            if name is None or name == chosen.get(part):
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
    command: Command, layers: Sequence[Layer], spoken: Sequence[str] | None
) -> tuple[dict[str, type], list[Layer]]:
    """Return the chosen loggers' options, and the layers without other loggers."""
    chosen: Sequence[str] = ()
    for source, values in layers:
        given = values.get("log", chosen)
        chosen = (given,) if isinstance(given, str) else given
        if not isinstance(chosen, list | tuple):
            raise UserError(f"{source}: log: expected a list of names, got {given!r}")
    chosen = chosen if spoken is None else spoken
    chosen = chosen if command.trains else ()
    classes = {name: registry.loggers.get(str(name)) for name in chosen}
    return classes, [_without_loggers(layer, keep=classes) for layer in layers]


def _without_loggers(layer: Layer, keep: Collection[str] = ()) -> Layer:
    """Return `layer` without the options of loggers that are not in `keep`."""
    others = {
        key
        for key, value in layer.values.items()
        if isinstance(value, Mapping) and key not in {*PARTS, *keep}
    }
    others &= {*registry.loggers.names()} if others else set()
    values = {key: value for key, value in layer.values.items() if key not in others}
    return Layer(layer.source, values)


def take_name(
    part: str, layers: Sequence[Layer], names: Mapping[str, str]
) -> tuple[str | None, list[Layer], dict[str, str]]:
    """Return the name given for `part`, and the layers and names without it.

    Args:
        part: one of the parts.
        layers: partial configurations.
        names: the parts named on the command line, which override the layers.
    """
    name, kept = None, []
    for source, values in layers:
        values = nested(source, values)
        if part in values:
            options = dict(values[part])
            name = options.pop("name", name)
            values[part] = options
        kept.append(Layer(source, values))
    others = {key: value for key, value in names.items() if key != part}
    return names.get(part, name), kept, others


def _to_words(source: str, form: Form, values: Mapping[str, Any]) -> list[str]:
    """Return nested `values` as the words of a command line."""
    words = []
    for dotted, value in flatten(values):
        option = dotted.removesuffix(".name") if dotted in _NAME_KEYS else dotted
        if option not in form.options:
            message = parsing.unknown_option(option, sorted(form.options))
            raise UserError(f"{source}: {message}")
        if option in _COMMAND_LINE_ONLY:
            raise UserError(
                f"{source}: {option}: expected on the command line, not in a file"
            )
        flag = f"--{option}"
        if form.options[option] is bool:
            if not isinstance(value, bool):
                raise UserError(
                    f"{source}: {flag}: expected True or False, got {str(value)!r}"
                )
            parent, dot, name = option.rpartition(".")
            words.append(flag if value else f"--{parent}{dot}no-{name}")
        elif isinstance(value, list | tuple):
            each = [str(one) for one in value]
            for word in filter(parsing.is_flag, each):
                raise UserError(f"{source}: {flag}: expected values, got {word!r}")
            words += [flag, *each]
        else:
            words.append(f"{flag}={value}")
    return words


_NAME_KEYS = {f"{part}.name" for part in PARTS}
_COMMAND_LINE_ONLY = {"config", "preset", "start"}
