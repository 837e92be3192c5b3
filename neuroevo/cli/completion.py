"""``neuroevo completion``: completion of commands, options and names by a shell."""

import contextlib
import dataclasses
import functools
import io
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import tyro

from neuroevo.cli.commands import COMMANDS, load
from neuroevo.config.command import Command, Line
from neuroevo.config.forms import Form
from neuroevo.errors import unknown

SHELLS = ("bash", "zsh", "tcsh")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of ``completion``."""

    shell: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="SHELL", help_behavior_hint=""),
    ] = ""
    """Shell to write a script for: bash, zsh or tcsh."""


COMMAND = Command(
    f"neuroevo completion {'|'.join(SHELLS)}",
    Options,
    "Write a script that lets a shell complete commands, options and names.",
)


def run(line: Line) -> int:
    """Print a completion script, and return the exit code."""
    shell = line.options.shell
    if not shell:
        print(f"usage: {COMMAND.usage}  (see docs/command-line.md)")
        return 0
    print(script(shell, {name: load(name).COMMAND for name in COMMANDS}))
    return 0


def script(shell: str, commands: Mapping[str, Command]) -> str:
    """Return the script that lets `shell` complete the options of `commands`.

    Raises:
        UserError: if `shell` is not one of `SHELLS`.
    """
    if shell not in SHELLS:
        raise unknown("shell", shell, SHELLS)
    kinds = [
        Annotated[_kind(command), tyro.conf.subcommand(name)]
        for name, command in commands.items()
    ]
    any_command: Any = functools.reduce(operator.or_, kinds)
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        tyro.cli(
            any_command,
            args=["--tyro-print-completion", shell],
            prog="neuroevo",
            config=(tyro.conf.HelptextFromCommentsOff,),
        )
    return written.getvalue()


def _kind(command: Command) -> type:
    """Return a command's options, together with those of every possible part."""
    from neuroevo import registry

    parts = {part: _all_options(part) for part in command.choices}
    if command.trains:
        parts |= {name: registry.loggers.get(name) for name in registry.loggers.names()}
    names = {part: _names(part) for part in command.choices}
    return Form(command.schema, command.choices, parts, names=names).kind


@functools.cache
def _names(part: str) -> Any:
    """Return the type of a part's name: one of those that there are."""
    from neuroevo.config.schema import PARTS

    return Literal[tuple(PARTS[part].names())]


@functools.cache
def _all_options(part: str) -> type:
    """Return a dataclass of the options of all parts of a kind."""
    from neuroevo.config.schema import PARTS

    options = {
        field.name: (field.name, field.type, _default(field))
        for name in PARTS[part].names()
        for field in dataclasses.fields(PARTS[part].get(name))
    }
    return dataclasses.make_dataclass(part.title(), options.values(), frozen=True)


def _default(field: dataclasses.Field) -> Any:
    return dataclasses.field(
        default=field.default, default_factory=field.default_factory
    )
