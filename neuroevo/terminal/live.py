"""What a person sees of a run: a live view, or plain lines, on stderr.

`make_display` chooses between the two by looking at stderr; both only read the metric
rows that also go to ``metrics.jsonl``, of which `Tracker` keeps a bounded summary.
"""

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from neuroevo.returns import Collapse
from neuroevo.run.events import Display, Header
from neuroevo.terminal.formatting import (
    format_bytes,
    format_count,
    format_duration,
    format_value,
    frame,
    mean,
    sparkline,
)

Row = Mapping[str, float | None]

_CURVES = {  # name -> (key of the metric row, style)
    "center": ("center_return", "bold magenta"),
    "best": ("fitness_max", "green"),
    "mean": ("fitness_mean", "cyan"),
}


class Series:
    """A curve over a run in bounded memory: when full, neighbors are averaged."""

    def __init__(self, capacity: int = 512):
        self.capacity, self.stride = capacity, 1
        self.last = self.peak = math.nan
        self._values: list[float] = []
        self._total, self._finite, self._seen = 0.0, 0, 0

    def add(self, value: float | None) -> None:
        """Appends a generation's value; one that is missing or not finite is a gap."""
        if value is not None and math.isfinite(value):
            self.last, self.peak = value, float(np.fmax(value, self.peak))
            self._total, self._finite = self._total + value, self._finite + 1
        self._seen += 1
        if self._seen < self.stride:
            return
        self._values = self.values
        self._total, self._finite, self._seen = 0.0, 0, 0
        if len(self._values) >= self.capacity:
            pairs = zip(self._values[::2], self._values[1::2], strict=True)
            self._values, self.stride = [mean(pair) for pair in pairs], 2 * self.stride

    @property
    def values(self) -> list[float]:
        """The curve so far, with the unfinished bucket at its end."""
        if not self._seen:
            return self._values
        return [*self._values, self._total / self._finite if self._finite else math.nan]


class Progress(NamedTuple):
    """The limit that will be reached first, how much of it is used, and time left."""

    label: str
    fraction: float | None = None
    seconds_left: float | None = None


@dataclass
class Tracker:
    """Digests metric rows (`generation` counts completed generations from 1)."""

    header: Header
    row: Row = field(default_factory=dict)
    steps_per_second: float | None = None
    failures: int = 0

    def __post_init__(self):
        self.curves = {name: Series() for name in _CURVES}
        self._recent = dict.fromkeys(("seconds", "generation", "env_steps"), 0.0)
        self._collapse = Collapse()

    def update(self, rows: Sequence[Row], env_steps_per_second: float | None) -> None:
        """Takes in one or more generations."""
        if not rows:
            return
        self._measure(self.row or rows[0], rows[-1])
        for self.row in rows:
            for name, (key, _) in _CURVES.items():
                self.curves[name].add(self.row.get(key))
            self.failures += int(self.row.get("failures") or 0)
            self._collapse.update(
                self.row.get("center_return"), self.row.get("fitness_std")
            )
        self.steps_per_second = env_steps_per_second or self._rate("env_steps")

    def _measure(self, before: Row, after: Row) -> None:
        elapsed = after["seconds"] - before["seconds"]
        if elapsed > 0:  # remember half a minute, but no less than five updates
            decay = max(math.exp(-elapsed / 30), 0.8)
            for key, total in self._recent.items():
                self._recent[key] = decay * total + after[key] - before[key]

    def _rate(self, key: str) -> float | None:
        seconds = self._recent["seconds"]
        return self._recent[key] / seconds if seconds else None

    @property
    def seconds_per_generation(self) -> float | None:
        """The recent duration of a generation."""
        rate = self._rate("generation")
        return 1 / rate if rate else None

    @property
    def collapse(self) -> str | None:
        """A hint, once the center has lost half of its best return, twice in a row."""
        if not self._collapse:
            return None
        now, best = map(format_value, (self._collapse.last, self._collapse.best))
        return f"the center fell from {best} to {now}; best.npz keeps the best"

    def progress(self, elapsed: float) -> Progress:
        """Finds the limit that comes first, `elapsed` seconds into the run."""
        since = elapsed - self.row.get("seconds", elapsed)
        found = []
        for name, key, limit, show in (
            ("generation", "generation", self.header.generations, "{:,.0f}".format),
            ("env steps", "env_steps", self.header.max_env_steps, format_count),
            ("time", "seconds", self.header.max_seconds, format_duration),
        ):
            if limit:
                done = elapsed if key == "seconds" else self.row.get(key, 0)
                rate = 1.0 if key == "seconds" else self._rate(key)
                left = (limit - done) / rate if rate else None
                if left is not None and key != "seconds":
                    left -= since
                label = f"{name} {show(int(done))} / {show(limit)}"
                found.append(Progress(label, min(1.0, done / limit), left))
        if not found:
            return Progress(f"generation {self.row.get('generation', 0):,.0f}")
        if any(limit.seconds_left is None for limit in found):
            return max(found, key=lambda limit: limit.fraction)
        return min(found, key=lambda limit: limit.seconds_left)


def make_display(
    header: Header, quiet: bool = False, console: Console | None = None
) -> Display:
    """Returns a live display if stderr is a terminal, or else plain lines."""
    if console is None:
        console = Console(stderr=True, force_terminal=sys.stderr.isatty())
    live = console.is_interactive and not console.is_dumb_terminal
    if quiet or not live or not console.encoding.startswith("utf"):
        return PlainDisplay(header, console, quiet)
    return LiveDisplay(header, console)


def _facts(header: Header) -> list[str]:
    """Returns short phrases about the size of the run and where it happens."""
    facts = [
        f"{header.genome_size:,} numbers → {header.parameters:,} parameters",
        f"{header.population:,} candidates × {header.policies} policies"
        f" × {header.episodes} episodes",
        header.devices,
    ]
    if header.memory is not None:
        facts.append(f"about {format_bytes(header.memory)}")
    if header.target is not None:
        facts.append(f"until the center returns {header.target:g}")
    return facts + ([header.run_dir] if header.run_dir else [])


class PlainDisplay:
    """Lines without escape codes, one at most every `interval` seconds.

    A quiet one leaves out notes that are no warnings and what is being compiled.
    """

    def __init__(
        self,
        header: Header,
        console: Console,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._tracker, self._console, self._quiet = Tracker(header), console, quiet
        self._clock, self._interval = clock, 60.0 if quiet else 10.0
        self._due, self._pending, self._collapsed = -math.inf, False, False

    def __enter__(self):
        head = self._tracker.header
        facts = [head.env, head.encoding, head.strategy, *_facts(head)]
        self._say("neuroevo: " + ", ".join(facts))
        return self

    def __exit__(self, *error):
        self.close()

    def compiling(self, what: str) -> None:  # noqa: D102
        self.note(f"compiling {what} …")

    def update(  # noqa: D102
        self, rows: Sequence[Row], env_steps_per_second: float | None = None
    ) -> None:
        self._tracker.update(rows, env_steps_per_second)
        self._pending = self._pending or bool(rows)
        if self._pending and self._clock() >= self._due:
            self._report()
        hint = self._tracker.collapse
        if hint and not self._collapsed:
            self.note(hint, warning=True)
        self._collapsed = bool(hint)

    def note(self, message: str, warning: bool = False) -> None:  # noqa: D102
        if warning or not self._quiet:
            self._say(f"warning: {message}" if warning else message)

    def close(self) -> None:  # noqa: D102
        if self._pending:
            self._report()

    def _report(self) -> None:
        self._due, self._pending = self._clock() + self._interval, False
        self._say(_plain_line(self._tracker))

    def _say(self, line: str) -> None:
        print(line, file=self._console.file, flush=True)


def _plain_line(tracker: Tracker) -> str:
    row, limit = tracker.row, tracker.header.generations
    parts = [f"generation {row['generation']:.0f}" + (f"/{limit}" if limit else "")]
    parts.append(f"env steps {format_count(row['env_steps'])}")
    mean, best = format_value(row["fitness_mean"]), format_value(row["fitness_max"])
    parts.append(f"fitness mean {mean} max {best}")
    if math.isfinite(tracker.curves["center"].last):
        parts.append(f"center {format_value(tracker.curves['center'].last)}")
    if tracker.failures:
        parts.append(f"{format_count(tracker.failures)} failures")
    if tracker.steps_per_second:
        parts.append(f"{format_count(tracker.steps_per_second)} steps/s")
    times = f"{_whole_seconds(row['seconds'])} elapsed"
    left = tracker.progress(row["seconds"]).seconds_left
    if left is not None and left >= 1:
        times += f", {_whole_seconds(left)} left"
    return "  ".join([*parts, times])


class LiveDisplay:
    """A panel at the end of a terminal that redraws itself four times a second."""

    def __init__(
        self,
        header: Header,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._tracker, self._console, self._clock = Tracker(header), console, clock
        self._lock, self._spinner = threading.Lock(), Spinner("dots", style="cyan")
        self._seen, self._end, self._note = clock(), None, ""
        self._busy: str | None = "starting"
        self._live = Live(
            get_renderable=lambda: self,
            console=console,
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self):
        self._live.start(refresh=True)
        return self

    def __exit__(self, kind, error, traceback):
        self._finish("done" if kind is None else "interrupted")

    def compiling(self, what: str) -> None:  # noqa: D102
        self._busy = f"compiling {what}"

    def update(  # noqa: D102
        self, rows: Sequence[Row], env_steps_per_second: float | None = None
    ) -> None:
        with self._lock:
            self._tracker.update(rows, env_steps_per_second)
            self._seen, self._busy = self._clock(), None

    def note(self, message: str, warning: bool = False) -> None:  # noqa: D102
        if warning:  # goes above the panel, where it stays
            self._console.print(Text(f"warning: {message}", "yellow"))
        else:
            self._note = message

    def close(self) -> None:  # noqa: D102
        self._finish("done")

    def _finish(self, end: str) -> None:
        if self._end is None:
            self._end, self._busy, self._spent = end, None, self._elapsed()
            self._live.stop()

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
            yield frame(title, Group(*self._body(width)))

    def _body(self, width: int) -> Iterable[RenderableType]:
        yield from _flow(_facts(self._tracker.header), width)
        yield ""
        if self._busy:
            self._spinner.update(text=Text(f"{self._busy} …"))
            yield self._spinner
        if self._tracker.row:
            yield from self._progress(width)
            yield ""
            yield _fitness_table(self._tracker.curves, width)
            yield ""
        yield from _flow(self._figures(), width)
        yield from (Text(f"⚠ {hint}", "yellow") for hint in self._warnings())
        if self._note and self._end is None:
            yield Text(self._note, "dim")

    def _progress(self, width: int) -> Iterable[RenderableType]:
        label, fraction, left = self._tracker.progress(self._elapsed())
        right = self._end or ("" if left is None else f"{_whole_seconds(left)} left")
        if fraction is not None and width >= 50 and not self._end:
            right = f"{fraction:.0%}   {right}"
        line = Table.grid(expand=True)
        line.add_column(overflow="ellipsis", no_wrap=True)
        line.add_column(justify="right", no_wrap=True)
        line.add_row(Text(label, "bold"), Text(right))
        yield line
        if fraction is not None:
            yield ProgressBar(100, 100 * fraction, width, complete_style="cyan")

    def _figures(self) -> Iterable[str]:
        tracker = self._tracker
        if tracker.row:
            yield f"{format_count(tracker.row['env_steps'])} env steps"
        if tracker.steps_per_second:
            yield f"{format_count(tracker.steps_per_second)} steps/s"
        if tracker.seconds_per_generation:
            yield f"{format_duration(tracker.seconds_per_generation)} a generation"
        yield f"{_whole_seconds(self._elapsed())} elapsed"

    def _warnings(self) -> Iterable[str]:
        if self._tracker.failures:
            count = format_count(self._tracker.failures)
            yield f"{count} candidates without a finite return so far"
        if self._tracker.collapse:
            yield self._tracker.collapse


def _whole_seconds(seconds: float) -> str:
    return format_duration(max(0, round(seconds)))


def _flow(parts: Iterable[str], width: int, separator: str = " · ") -> list[Text]:
    """Breaks lines between phrases rather than inside them."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(separator) + len(part) <= width:
            lines[-1] += separator + part
        else:
            lines.append(part)
    return [Text(line, "dim", overflow="fold") for line in lines]


def _fitness_table(curves: Mapping[str, Series], width: int) -> Table:
    """One line for each curve: its name, value now, peak, and shape on one scale."""
    shown = {name: curve.values for name, curve in curves.items()}
    every = [v for values in shown.values() for v in values if math.isfinite(v)]
    low, high = np.percentile(every or [0.0], [1, 100])  # early outliers are clipped
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right", min_width=8)
    rest = width - 18
    if width >= 50:
        rest -= 12
        table.add_column(justify="right", min_width=10)
    for name, (_, style) in _CURVES.items():
        cells = [Text(name, style), Text(format_value(curves[name].last), "bold")]
        if width >= 50:
            cells.append(Text(f"top {format_value(curves[name].peak)}", "dim"))
        line = sparkline(shown[name], rest, low, high)
        table.add_row(*cells, Text(line, style, no_wrap=True))
    return table
