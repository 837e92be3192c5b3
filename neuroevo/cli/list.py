"""``neuroevo list``: the names to choose from."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Annotated

import tyro

from neuroevo.config.command import Command, Line
from neuroevo.errors import UserError, unknown

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
    "List the names to choose from, or show the card of a genome. Encodings are listed "
    "with the numbers that their genomes have for a network, if one is given.",
    parts=("env", "policy"),
)


def run(line: Line) -> int:
    """List names or show a card, and return the exit code."""
    kind = line.options.kind
    if line.help:
        from neuroevo.config.resolve import print_help

        print_help(COMMAND, line.words)
    if not kind:
        print(f"usage: {COMMAND.usage}")
        return 0
    network = [word for word in line.words if word.startswith("--")]
    if network and kind != "encodings":
        raise UserError(
            f"unknown option {network[0]}: list {kind} takes none; neuroevo list "
            "encodings takes those of env and policy"
        )
    from neuroevo.terminal import listings
    from neuroevo.terminal.console import make_console

    if kind.startswith("zoo:"):
        from neuroevo.store import zoo

        card = zoo.card(kind.removeprefix(zoo.PREFIX))
        listings.render_card(kind, card, make_console())
    elif network:
        listings.render_list(*_sizes(line), make_console())
    elif kind in KINDS:
        for title, rows in _groups(kind):
            listings.render_list(title, rows, make_console())
    else:
        raise unknown("list", kind, KINDS)
    return 0


def _sizes(line: Line) -> tuple[str, Sequence[tuple[str, str]]]:
    """Return a title and the encodings, each with the size of its genome."""
    from neuroevo import registry
    from neuroevo.config.resolve import resolve
    from neuroevo.run import build
    from neuroevo.run.parts import count, shapes
    from neuroevo.terminal.formatting import format_amount

    config = resolve([], line.words, command=COMMAND)
    spec = build.build_environment(config.parts["env"]).spec
    policy = config.parts["policy"].build(spec)
    weights = format_amount(count(shapes(policy.init)), "weight")

    def size(name: str) -> str:
        try:
            encoding = registry.encodings.get(name)().build(policy, spec)
        except UserError as error:
            return str(error)
        return format_amount(count(shapes(encoding.init)), "number")

    rows = [
        (name, f"{size(name):<16}{about}")
        for name, about in registry.encodings.summaries()
    ]
    return (
        f"encodings of {weights}: {config.names['policy']} for {config.names['env']}",
        rows,
    )


def _groups(kind: str) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
    """Return titles, each with names and a short description of each name."""
    if kind == "presets":
        from neuroevo.config.layers import describe_preset, presets

        yield kind, [(name, describe_preset(name)) for name in presets()]
    elif kind == "zoo":
        from neuroevo.store import zoo

        yield kind, zoo.describe()
    else:
        from neuroevo import registry

        for family, rows in getattr(registry, kind).groups().items():
            if rows:
                yield f"{kind} of {family}" if family else kind, rows
