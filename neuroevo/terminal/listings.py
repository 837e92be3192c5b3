"""Facts and lists: cards of the zoo, results of the doctor, names with descriptions."""

from collections.abc import Iterable, Mapping
from typing import Any

from humanize import naturalsize
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuroevo.terminal.formatting import (
    format_amount,
    format_count,
    format_duration,
    format_range,
    format_value,
)
from neuroevo.terminal.tables import print_facts


def render_list(title: str, rows: Iterable[tuple[str, str]], console: Console) -> None:
    """Print names with a one-line description; one line each when piped."""
    rows = list(rows)
    if console.is_terminal:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="bold cyan", no_wrap=True)
        for name, description in rows:
            table.add_row(name, description)
        console.print(Text(title, "bold"))
        console.print(table)
        return
    width = max((len(name) for name, _ in rows), default=0)
    for line in [title, *(f"  {n:<{width}}  {d}".rstrip() for n, d in rows)]:
        console.print(line, soft_wrap=True)


def render_doctor(found: Mapping[str, Any], console: Console) -> None:
    """Print the state of an installation.

    The keys are those of `neuroevo.cli.diagnosis.examine`, and `self_test`.
    """

    def listed(versions: Mapping[str, str | None]) -> str:
        return ", ".join(f"{name} {v}" for name, v in versions.items() if v)

    test, free = found["self_test"], found["free_memory_bytes"]
    plugins = [f"{kind} {n}" for kind, names in found["plugins"].items() for n in names]
    cache = found["cache"] and f"{found['cache']} ({naturalsize(found['cache_bytes'])})"
    outcome = "FAILED, see above"
    if test:
        compiling = format_duration(test["compile_seconds"])
        outcome = (
            f"passed in {format_duration(test['seconds'])}, {compiling} to compile"
        )
    rows = [
        ("neuroevo", f"{found['neuroevo']}, {found['from']}"),
        ("python", f"{found['python']}, {found['platform']}"),
        ("devices", found["devices"]),
        ("free memory", naturalsize(free) if free else None),
        ("packages", listed(found["versions"])),
        ("extras", listed(found["extras"]) or "none"),
        ("plug-ins", ", ".join(plugins) or "none from other packages"),
        ("cache", cache),
        ("self-test", outcome),
    ]
    print_facts(console, "neuroevo doctor", rows)


def render_card(name: str, card: Mapping[str, Any], console: Console) -> None:
    """Print how a genome of the zoo was made, and its return; see `store.zoo`."""
    versions = card["versions"]
    rows = [
        ("what", f"{card['env']}: {card['title']}"),
        (
            "return",
            f"{format_value(card['return_mean'])}, {card['confidence']:.0%} interval "
            f"{format_range(card['return_interval'])}",
        ),
        (
            "measured on",
            f"{format_amount(card['policies'], 'fresh policy')} × "
            f"{format_amount(card['episodes'], 'episode')}",
        ),
        ("strategy", card["search"]["strategy"]["name"]),
        (
            "spent",
            f"{format_count(card['generations'])} generations, "
            f"{format_count(card['env_steps'])} env steps, "
            f"{format_duration(card['seconds'])} on {card['devices']}",
        ),
        ("command", card["command"]),
        (
            "made",
            f"{card['made']}, neuroevo {versions['neuroevo']}, jax {versions['jax']}",
        ),
        ("license", card["license"]),
    ]
    print_facts(console, name, rows)
