"""Completion of the command line by a shell: commands, options and names of parts."""

import contextlib
import dataclasses
import functools
import io
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import tyro

from neuroevo import registry
from neuroevo.config import schema
from neuroevo.errors import unknown

SHELLS = ("bash", "zsh", "tcsh")


def script(shell: str, commands: Mapping[str, type | None]) -> str:
    """Return what `shell` must read to complete the options of `commands`.

    Args:
        shell: one of `SHELLS`.
        commands: dataclasses of options; those that extend `schema.Machine` take those
            of the parts, too. None for a command without any.

    Raises:
        UserError: if `shell` is none of them.
    """
    if shell not in SHELLS:
        raise unknown("shell", shell, SHELLS)
    parts = _parts()
    kinds = [
        Annotated[_options(kind, parts), tyro.conf.subcommand(name)]
        for name, kind in commands.items()
    ]
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        tyro.cli(
            functools.reduce(operator.or_, kinds),
            args=["--tyro-print-completion", shell],
            prog="neuroevo",
            config=(tyro.conf.FlagConversionOff, tyro.conf.HelptextFromCommentsOff),
        )
    return written.getvalue()


def _options(kind: type | None, parts: list[tuple[str, Any, Any]]) -> type:
    takes_parts = kind is not None and issubclass(kind, schema.Machine)
    return dataclasses.make_dataclass(
        "Options",
        parts if takes_parts else [],
        bases=(kind,) if kind else (),
        frozen=True,
        kw_only=True,
    )


def _parts() -> list[tuple[str, Any, Any]]:
    """Return fields for the names of all parts, and the options of any of them."""
    fields = []
    for part, parts in schema.PARTS.items():
        named = {field.name: field for field in dataclasses.fields(schema.Names)}
        default = named[f"{part}_name"].default
        names = Literal[tuple(parts.names())]
        note = tyro.conf.arg(name=part)
        fields.append((f"{part}_name", Annotated[names, note], default))
        options = {
            field.name: (field.name, field.type, _default(field))
            for name in parts.names()
            for field in dataclasses.fields(parts.get(name))
        }
        kind = dataclasses.make_dataclass(part.title(), options.values())
        fields.append((part, kind, dataclasses.field(default_factory=kind)))
    for name in registry.loggers.names():
        kind = registry.loggers.get(name)
        fields.append((name, kind, dataclasses.field(default_factory=kind)))
    return fields


def _default(field: dataclasses.Field) -> Any:
    return dataclasses.field(
        default=field.default, default_factory=field.default_factory
    )
