"""Consoles whose output tests read."""

import io

from neuroevo.terminal.console import make_console


def console(width=80, terminal=True, **environ):
    return make_console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        _environ={"TERM": "xterm", "COLORTERM": "truecolor"} | environ,
    )


def text(printed):
    return printed.file.getvalue()


def narrow(encoding="ascii", **options):
    """A console whose stream fails at whatever its encoding cannot hold."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding, write_through=True)
    options = {"width": 80, "force_terminal": True, "color_system": None} | options
    return make_console(file=stream, **options)


def written(console):
    return console.file.buffer.getvalue().decode(console.file.encoding)
