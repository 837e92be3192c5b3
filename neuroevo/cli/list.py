"""``neuroevo list``: the names to choose from."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import tyro

from neuroevo.config.command import Command, Line
from neuroevo.errors import unknown

KINDS = (
    *("encodings", "envs", "strategies", "policies"),
    *("normalizations", "loggers", "presets", "zoo"),
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of ``list``."""

    kind: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="KIND", help_behavior_hint=""),
    ] = ""
    """Encodings, envs, strategies, policies, normalizations, loggers, presets or zoo;
    or zoo:NAME for the card of a genome."""


COMMAND = Command(
    f"neuroevo list {'|'.join(KINDS)}|zoo:NAME",
    Options,
    "List the names to choose from, or show the card of a genome.",
)


def run(line: Line) -> int:
    """List names or show a card, and return the exit code."""
    kind = line.options.kind
    if not kind:
        print(f"usage: {COMMAND.usage}")
        return 0
    from neuroevo.terminal import listings
    from neuroevo.terminal.console import make_console

    if kind.startswith("zoo:"):
        from neuroevo.store import zoo

        card = zoo.card(kind.removeprefix(zoo.PREFIX))
        listings.render_card(kind, card, make_console())
    elif kind in KINDS:
        listings.render_list(kind, _rows(kind), make_console())
    else:
        raise unknown("list", kind, KINDS)
    return 0


def _rows(kind: str) -> Sequence[tuple[str, str]]:
    """Return each name of a kind with a short description."""
    if kind == "presets":
        from neuroevo.config.layers import describe_preset, presets

        return [(name, describe_preset(name)) for name in presets()]
    if kind == "zoo":
        from neuroevo.store import zoo

        return zoo.describe()
    from neuroevo import registry

    return getattr(registry, kind).summaries()
