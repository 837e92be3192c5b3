"""A run as a panel that redraws itself in a terminal."""

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Self

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from neuroevo.run.events import Header
from neuroevo.terminal.ascii import to_ascii
from neuroevo.terminal.console import is_ascii
from neuroevo.terminal.formatting import (
    format_count,
    format_duration,
    format_value,
    frame,
    sparkline,
)
from neuroevo.terminal.plain import whole_seconds
from neuroevo.terminal.tracker import CURVES, Metrics, Series, Tracker, facts


class LiveDisplay:
    """A panel at the end of a terminal that redraws itself four times a second."""

    def __init__(
        self,
        header: Header,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._tracker, self._console, self._clock = Tracker(header), console, clock
        self._ascii = is_ascii(console)
        self._spinner = Spinner("line" if self._ascii else "dots", style="cyan")
        self._lock, self._seen, self._spent = threading.Lock(), clock(), 0.0
        self._busy: str | None = "starting"
        self._part: float | None = None  # share done of a generation in progress
        self._end: str | None = None
        self._live = Live(
            get_renderable=lambda: self,
            console=console,
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._end is None:
            self._spent = self._elapsed()
            self._end = "done" if kind is None else "interrupted"
            self._busy = self._part = None
            self._live.stop()

    def compiling(self, what: str) -> None:
        """Show that `what` is being compiled, until there is progress."""
        self._busy = f"compiling {what}"

    def progress(self, share: float) -> None:
        """Show how far the generation is."""
        with self._lock:
            self._part, self._busy = share, None

    def update(self, rows: Sequence[Metrics]) -> None:
        """Process new generations."""
        with self._lock:
            self._tracker.update(rows)
            self._seen, self._busy, self._part = self._clock(), None, None

    def note(self, message: str) -> None:
        """Show a fact above the panel, where it stays."""
        self._console.print(self._text(message, "default"))

    def warn(self, message: str) -> None:
        """Show a warning above the panel, where it stays."""
        self._console.print(self._text(f"warning: {message}", "yellow"))

    def _elapsed(self) -> float:
        if self._end is not None:
            return self._spent
        return self._tracker.row.get("seconds", 0) + self._clock() - self._seen

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        with self._lock:
            width = max(options.max_width - 4, 10)
            head = self._tracker.header
            title = f"{head.env} · {head.encoding} · {head.strategy}"
            yield frame(self._text(title).plain, Group(*self._body(width)))

    def _text(self, text: str, style: str = "") -> Text:
        """Return `text` in characters that the console supports."""
        return Text(to_ascii(text) if self._ascii else text, style, overflow="fold")

    def _body(self, width: int) -> Iterator[RenderableType]:
        yield from self._flow(facts(self._tracker.header), width)
        yield ""
        if self._busy:
            self._spinner.update(text=self._text(f"{self._busy} …"))
            yield self._spinner
        if self._part is not None:
            yield self._text(self._tracker.part(self._part))
        if self._tracker.row:
            yield from self._progress(width)
            yield ""
            yield self._curves(self._tracker.curves, width)
            yield ""
        yield from self._flow(self._pace(), width)
        yield from (self._text(f"⚠ {hint}", "yellow") for hint in self._warnings())

    def _flow(self, parts: Iterable[str], width: int) -> Iterator[Text]:
        """Break lines between phrases rather than inside them."""
        lines: list[str] = []
        for part in parts:
            if lines and len(lines[-1]) + 3 + len(part) <= width:
                lines[-1] += f" · {part}"
            else:
                lines.append(part)
        return (self._text(line, "dim") for line in lines)

    def _progress(self, width: int) -> Iterator[RenderableType]:
        limit = self._tracker.limit(self._elapsed())
        left = limit and limit.seconds_left
        right = self._end or ("" if left is None else f"{whole_seconds(left)} left")
        if limit and width >= 50 and not self._end:
            right = f"{limit.fraction:.0%}   {right}"
        generation = f"generation {self._tracker.row['generation']:,}"
        label = limit.label if limit else generation
        line = Table.grid(expand=True)
        line.add_column(overflow="ellipsis", no_wrap=True)
        line.add_column(justify="right", no_wrap=True)
        line.add_row(self._text(label, "bold"), self._text(right))
        yield line
        if limit:
            yield ProgressBar(100, 100 * limit.fraction, width, complete_style="cyan")

    def _curves(self, curves: Mapping[str, Series], width: int) -> Table:
        """Return a line for each curve: its name, current value, peak and shape."""
        shown = {name: curve.values for name, curve in curves.items()}
        every = [v for values in shown.values() for v in values if math.isfinite(v)]
        low, high = np.percentile(every or [0.0], [1, 100])  # clips early outliers
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column()
        table.add_column(justify="right", min_width=8, no_wrap=True)
        rest = width - 18
        if width >= 50:
            rest -= 12
            table.add_column(justify="right", min_width=10, no_wrap=True)
        for name, (_, style) in CURVES.items():
            now, top = map(format_value, (curves[name].last, curves[name].peak))
            cells = [self._text(name, style), self._text(now, "bold")]
            if width >= 50:
                cells.append(self._text(f"top {top}", "dim"))
            line = self._text(sparkline(shown[name], rest, low, high), style)
            line.no_wrap = True
            table.add_row(*cells, line)
        return table

    def _pace(self) -> Iterator[str]:
        tracker = self._tracker
        if tracker.row:
            yield f"{format_count(tracker.row['env_steps'])} env steps"
        if tracker.steps_per_second:
            yield f"{format_count(tracker.steps_per_second)} steps/s"
        if tracker.seconds_per_generation:
            yield f"{format_duration(tracker.seconds_per_generation)} per generation"
        yield f"{whole_seconds(self._elapsed())} elapsed"

    def _warnings(self) -> Iterator[str]:
        if self._tracker.failures:
            count = format_count(self._tracker.failures)
            yield f"{count} candidates without a finite return so far"
        if self._tracker.collapse:
            yield self._tracker.collapse
