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
from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro
import yaml

from neuroevo import registry
from neuroevo.config.parsing import (
    option_in,
    option_names,
    parse,
    unknown_option,
    values_of,
)
from neuroevo.errors import UserError, check_file, unknown
from neuroevo.store.files import flatten
from neuroevo.traits import PartTraits, traits

PARTS = {
    "env": registry.envs,
    "encoding": registry.encodings,
    "policy": registry.policies,
    "normalization": registry.normalizations,
    "strategy": registry.strategies,
}


def _name(part: str) -> Any:
    return tyro.conf.arg(name=part, metavar="NAME")


@dataclasses.dataclass(frozen=True)
class Names:
    """The chosen parts."""

    env_name: Annotated[str, _name("env")] = "CartPole-v1"
    """Environment (neuroevo list envs)."""
    encoding_name: Annotated[str, _name("encoding")] = "dataset"
    """How a genome becomes a policy (neuroevo list encodings)."""
    policy_name: Annotated[str, _name("policy")] = "mlp"
    """Policy network (neuroevo list policies)."""
    normalization_name: Annotated[str, _name("normalization")] = "none"
    """Observation normalization (none, constant, running, episode)."""
    strategy_name: Annotated[str, _name("strategy")] = "SNES"
    """Evolution strategy (neuroevo list strategies)."""


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """When a run writes a checkpoint, and how many it keeps."""

    every_seconds: float = 60.0
    """Seconds between checkpoints."""
    every_generations: int | None = None
    """Generations between checkpoints, besides those by time."""
    keep: int = 3
    """Latest checkpoints kept, besides the one with the best held-out return."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a command takes of the machine that it runs on."""

    devices: int | Literal["auto"] = "auto"
    """Devices to use, of each process; auto for all (on a CPU, one a core)."""
    chunk: int | Literal["auto"] = "auto"
    """Policies rolled out together; bounds memory."""
    decode_chunk: int | Literal["auto"] = "auto"
    """Policies trained together, at most as many as are rolled out together."""
    compilation_cache: Literal["auto"] | Path | None = "auto"
    """Folder for compiled programs; auto for the user's cache folder, None for none."""


@dataclasses.dataclass(frozen=True)
class Settings(Machine):
    """How long, how wide and how thoroughly to search."""

    population: int = 64
    """Candidates in a generation."""
    generations: int | None = 100
    """Generations to run; None for no limit."""
    max_env_steps: int | None = None
    """Stop after this many environment steps."""
    max_seconds: float | None = None
    """Stop after this many seconds, compilation included."""
    target: float | None = None
    """Stop when the center's held-out return meets this in two evaluations in a row."""
    seed: int = 0
    """Seed of all randomness of the run."""
    policies: int = 1
    """Fresh policies decoded from each candidate."""
    episodes: int = 4
    """Episodes of each policy."""
    center_every: int = 5
    """Generations between held-out evaluations of the strategy's center."""
    center_policies: int = 8
    """Fresh policies decoded from the center for such an evaluation."""
    final_policies: int = 8
    """Fresh policies for the evaluation at the end of the run; 0 for none."""
    final_episodes: int = 8
    """Episodes of each of those."""
    log: tuple[str, ...] = ()
    """Where figures go besides the run directory (neuroevo list loggers)."""
    checkpoint: Checkpoints = dataclasses.field(default_factory=Checkpoints)


class Layer(NamedTuple):
    """A partial configuration, and what to call it in an error."""

    source: str
    values: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Config:
    """A resolved configuration: parts by name, their options, settings, loggers."""

    names: Mapping[str, str]
    parts: Mapping[str, Any]
    settings: Any
    loggers: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def devices(self) -> int | None:
        """The number of devices to use, or None for all."""
        devices = self.settings.devices
        return None if devices == "auto" else devices

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain nested data, ready for YAML."""
        parts = {
            part: {"name": self.names[part]} | _plain(options)
            for part, options in self.parts.items()
        }
        settings = _plain(self.settings)
        settings.pop(_CACHE, None)  # a matter of this machine
        loggers = {name: _plain(logger) for name, logger in self.loggers.items()}
        return parts | settings | loggers


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
    layers = [Layer(source, _nested(source, values)) for source, values in layers]
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
    layers.insert(0, Layer("suggestions", _nested("suggestions", suggestions)))
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
    _check_ranges(value)
    _check_integers(value)
    return Config(
        names=names,
        parts={part: getattr(value, part) for part in PARTS} | dict(custom),
        settings=schema(
            **{f.name: getattr(value, f.name) for f in dataclasses.fields(schema)}
        ),
        loggers={name: getattr(value, name) for name in loggers},
    )


_EXTRA_KEYS = {"neuroevo"}  # a run's config.yaml says which version wrote it

_COUNT = (lambda x: 1 <= x < 2**31, "an integer from 1 to 2^31 - 1")
_LIMIT = (lambda x: x >= 1, "at least 1")
_POSITIVE = (lambda x: x > 0, "a number greater than 0")
_RANGES = {
    "population": _COUNT,
    "generations": _LIMIT,
    "max_env_steps": _LIMIT,
    "max_seconds": _POSITIVE,
    "seed": (lambda x: 0 <= x < 2**32, "an integer from 0 to 2^32 - 1"),
    "devices": _COUNT,
    "policies": _COUNT,
    "episodes": _COUNT,
    "center_every": _COUNT,
    "center_policies": _COUNT,
    "final_policies": (lambda x: 0 <= x < 2**31, "an integer from 0 to 2^31 - 1"),
    "final_episodes": _COUNT,
    "chunk": _COUNT,
    "decode_chunk": _COUNT,
    "checkpoint.every_seconds": _POSITIVE,
    "checkpoint.every_generations": _COUNT,
    "checkpoint.keep": _COUNT,
}


def _check_ranges(settings: Any) -> None:
    """Raise a UserError for a setting, of training or evaluation, out of range."""
    for name, (fits, expected) in _RANGES.items():
        value = settings
        for field in name.split("."):
            value = getattr(value, field, None)
        if value not in (None, "auto") and not fits(value):
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag}: expected {expected}, got {value}")


def _check_integers(options: Any) -> None:
    """Raise a UserError for an integer among the parts' options that no device holds.

    All but seeds become numbers of things, or steps.
    """
    for part in PARTS:
        for name, value in vars(getattr(options, part)).items():
            values = value if isinstance(value, tuple) else (value,)
            for each in values:
                seed = name.endswith("seed")
                if isinstance(each, int) and abs(each) >= 2**31 and not seed:
                    flag = f"--{part}.{name.replace('_', '-')}"
                    raise UserError(
                        f"{flag}: expected integers up to 2^31 - 1, got {each}"
                    )


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


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return the mapping in a YAML file; nothing in it is ever executed.

    Raises:
        UserError: if there is no such file, or it is not a YAML mapping.
    """
    check_file(path, "a YAML configuration")
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"expected at most {_MOST_BYTES} bytes")
        values = yaml.load(text, _Loader)
    except Exception as error:  # malformed values fail in many ways
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        told = [getattr(error, name, None) for name in ("context", "problem")]
        reason = ", ".join(filter(None, told)) or str(error) or type(error).__name__
        reason = " ".join(reason.split())
        raise UserError(f"{path}: not a readable YAML file: {where}{reason}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping of options, got {values!r:.60}")
    if any(str(key).replace("-", "_") == _CACHE for key in values):
        # Compiled programs are code: a file must not say where to load them from.
        raise UserError(
            f"{path}: {_CACHE}: expected on the command line, not in a file"
        )
    return values


_CACHE = "compilation_cache"


_MOST_BYTES = 2**18
_MOST_VALUES = 10_000
_MOST_DIGITS = 100


class _Loader(yaml.SafeLoader):
    """Plain data only, of bounded size, and no key twice: one value would be lost."""

    def __init__(self, stream):
        super().__init__(stream)
        self._count = 0  # values so far, those of an alias each time that it is used
        self._counts: dict[str, int] = {}  # values in what has an anchor

    def compose_node(self, parent, index):
        event, before = self.peek_event(), self._count
        alias = isinstance(event, yaml.AliasEvent)
        if alias and event.anchor in self.anchors.keys() - self._counts.keys():
            raise yaml.composer.ComposerError(
                problem=f"*{event.anchor} holds itself", problem_mark=event.start_mark
            )
        self._count += self._counts.get(event.anchor, 1) if alias else 1
        if self._count > _MOST_VALUES:
            raise yaml.composer.ComposerError(
                problem=f"expected at most {_MOST_VALUES} values",
                problem_mark=event.start_mark,
            )
        node = super().compose_node(parent, index)
        if event.anchor and not alias:
            self._counts[event.anchor] = self._count - before
        return node

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):  # what is not, YAML itself refuses
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key {key!r} is given twice",
                        problem_mark=key_node.start_mark,
                    )
                seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node, construct):
        if len(node.value) > _MOST_DIGITS:
            raise yaml.constructor.ConstructorError(
                problem=f"expected a number of at most {_MOST_DIGITS} digits",
                problem_mark=node.start_mark,
            )
        return construct(self, node)


for _tag, _construct in (
    ("int", yaml.SafeLoader.construct_yaml_int),
    ("float", yaml.SafeLoader.construct_yaml_float),
):
    _Loader.add_constructor(
        f"tag:yaml.org,2002:{_tag}",
        functools.partial(_Loader.construct_number, construct=_construct),
    )


PRESETS = Path(__file__).parent / "presets"


def presets() -> list[str]:
    """Return the names of the presets that come with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_preset(name: str) -> list[Layer]:
    """Return a preset, and before it the one that it extends, as layers."""
    if name not in presets():
        raise unknown("preset", name, presets())
    return _extending(f"preset {name}", read_yaml(PRESETS / f"{name}.yaml"))


def _extending(
    source: str, values: Mapping[str, Any], preset: str | None = None
) -> list[Layer]:
    """Return `values` as a layer, on top of the preset that they name, or `preset`."""
    preset = preset or values.get("preset")
    if preset is not None and not isinstance(preset, str):
        raise UserError(f"{source}: preset: expected a name, got {preset!r}")
    own = {key: value for key, value in values.items() if key != "preset"}
    return [*(read_preset(preset) if preset else []), Layer(source, own)]


def read_layers(preset: str | None, file: str | Path | None) -> list[Layer]:
    """Return a preset and a YAML file, which may name the preset itself, as layers."""
    if file:
        return _extending(str(file), read_yaml(Path(file)), preset)
    return read_preset(preset) if preset else []


def describe_preset(name: str) -> str:
    """Return what a preset is for: its file's first comment."""
    first, *_ = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return first.removeprefix("# ")


# From nested mappings to the parser's arguments


def _nested(source: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with dotted keys expanded and parts as mappings with a name."""
    nested: dict[str, Any] = {}

    def options_of(part: str) -> dict[str, Any]:
        options = nested.setdefault(part, {})
        if not isinstance(options, dict):
            raise UserError(f"{source}: {part}: expected a value or options, got both")
        return options

    for key, value in values.items():
        if not isinstance(key, str):
            raise UserError(f"{source}: expected option names as keys, got {key!r}")
        part, _, option = key.partition(".")
        part, option = part.replace("-", "_"), option.replace("-", "_")
        if option:
            options_of(part)[option] = value
        elif part in PARTS and isinstance(value, str):
            options_of(part)["name"] = value
        elif isinstance(value, Mapping):
            options = {str(k).replace("-", "_"): v for k, v in value.items()}
            options_of(part).update(options)
        elif part in PARTS:
            raise UserError(
                f"{source}: {part}: expected a name or a mapping of options, "
                f"got {value!r}"
            )
        elif part in nested:
            raise UserError(f"{source}: {part}: expected one value, got two")
        else:
            nested[part] = value
    return nested


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
        values = _nested(source, values)
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


def _plain(options: Any) -> dict[str, Any]:
    """Return a dataclass as nested mappings, lists and scalars."""
    if not dataclasses.is_dataclass(options):
        return {}

    def plain(value):
        if isinstance(value, Mapping):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return str(value) if isinstance(value, Path) else value

    return plain(dataclasses.asdict(options))


def _command_type(classes: Mapping[str, type], schema: type) -> type:
    """Return the dataclass whose fields are the names, the settings and the options."""
    options = [
        (part, cls, dataclasses.field(default_factory=cls))
        for part, cls in classes.items()
    ]
    # Fields come in the order of the bases, last base first.
    bases = (schema, Names)
    return dataclasses.make_dataclass("Options", options, bases=bases, frozen=True)
