"""Layers of a configuration: presets and YAML files, each a partial nested mapping."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from neuroevo.config import recorded
from neuroevo.config.schema import PARTS
from neuroevo.errors import UserError, unknown


class Layer(NamedTuple):
    """A partial configuration, and what to call it in an error."""

    source: str
    values: Mapping[str, Any]


FOR_ENV = "for_env"  # options that hold only if one of several environments is chosen
PRESETS = Path(__file__).parent / "presets"


def presets() -> list[str]:
    """Return the names of the bundled presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_preset(name: str) -> list[Layer]:
    """Return a preset as layers; the preset that it extends comes first."""
    from neuroevo.config.yaml import read_yaml

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
        from neuroevo.config.yaml import read_yaml

        values = recorded.translate(read_yaml(Path(file)))
        values = recorded.locate(values, Path(file).parent)
        return _extending(str(file), values, preset)
    return read_preset(preset) if preset else []


def for_environment(layer: Layer, env: str) -> list[Layer]:
    """Return `layer`, nested, and what it says under `FOR_ENV` for this environment."""
    source, values = layer
    if FOR_ENV not in values:
        return [layer]
    cases = values[FOR_ENV]
    if not isinstance(cases, Mapping) or not all(
        isinstance(options, Mapping) for options in cases.values()
    ):
        raise UserError(
            f"{source}: {FOR_ENV}: expected options by the name of an environment, got "
            f"{cases!r:.60}"
        )
    rest = {key: value for key, value in values.items() if key != FOR_ENV}
    name = env.rpartition(":")[2].replace("-", "_")
    own = nested(source, cases.get(name, {}))
    named = [part for part in own.keys() & PARTS.keys() if "name" in own[part]]
    if named:
        raise UserError(
            f"{source}: {FOR_ENV}: expected options, got the name of the part "
            f"{min(named)}"
        )
    return [Layer(source, rest), *([Layer(source, own)] if own else [])]


def describe_preset(name: str) -> str:
    """Return the description of a preset: the first comment in its file."""
    first, *_ = (PRESETS / f"{name}.yaml").read_text("utf-8").splitlines()
    return first.removeprefix("# ")


def nested(source: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with dotted keys expanded and parts as mappings with a name."""
    found: dict[str, Any] = {}

    def options_of(part: str) -> dict[str, Any]:
        options = found.setdefault(part, {})
        if not isinstance(options, dict):
            raise UserError(f"{source}: {part}: expected a value or options, got both")
        return options

    def add(part: str, option: str, value: Any) -> None:
        options = options_of(part)
        if option in options:
            raise UserError(f"{source}: {part}.{option}: expected one value, got two")
        options[option] = value

    for key, value in values.items():
        if not isinstance(key, str):
            raise UserError(f"{source}: expected option names as keys, got {key!r}")
        part, _, option = key.partition(".")
        part, option = part.replace("-", "_"), option.replace("-", "_")
        if option or part in PARTS and isinstance(value, str):
            add(part, option or "name", value)
        elif isinstance(value, Mapping):
            options_of(part)
            for k, v in value.items():
                add(part, str(k).replace("-", "_"), v)
        elif part in PARTS:
            raise UserError(
                f"{source}: {part}: expected a name or a mapping of options, "
                f"got {value!r}"
            )
        elif part in found:
            raise UserError(f"{source}: {part}: expected one value, got two")
        else:
            found[part] = value
    return found
