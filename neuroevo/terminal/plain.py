"""A run in plain lines, or in one line that is rewritten."""

import math
import time
from collections.abc import Callable, Sequence
from typing import IO, Self

from neuroevo.run.events import Header
from neuroevo.terminal.ascii import fit
from neuroevo.terminal.formatting import format_count, format_duration, format_value
from neuroevo.terminal.tracker import Metrics, Tracker, facts


class PlainDisplay:
    """Lines without escape codes, one at most every `interval` seconds.

    A quiet display does not show what is being compiled.
    """

    def __init__(
        self,
        header: Header,
        stream: IO[str],
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._tracker, self._stream, self._quiet = Tracker(header), stream, quiet
        self._clock, self._interval = clock, 60.0 if quiet else 10.0
        self._due, self._pending, self._collapsed = -math.inf, False, False
        self._part_due: float | None = None  # of a generation in progress

    def __enter__(self) -> Self:
        head = self._tracker.header
        parts = [head.env, head.encoding, head.strategy, *facts(head)]
        self._say("neuroevo: " + ", ".join(parts))
        return self

    def __exit__(self, *error: object) -> None:
        if self._pending:
            self._report()

    def compiling(self, what: str) -> None:
        """Show that `what` is being compiled."""
        if not self._quiet:
            self._say(f"compiling {what} …")

    def progress(self, share: float) -> None:
        """Show how far a generation is that takes longer than the interval."""
        now = self._clock()
        if self._part_due is not None and now >= self._part_due:
            self._say(self._tracker.part(share))
            self._part_due = None
        if self._part_due is None:
            self._part_due = now + self._interval

    def update(self, rows: Sequence[Metrics]) -> None:
        """Take in further generations, and show the last one if it is time to."""
        self._tracker.update(rows)
        self._part_due = None
        self._pending = self._pending or bool(rows)
        if self._pending and self._clock() >= self._due:
            self._report()
        hint = self._tracker.collapse
        if hint and not self._collapsed:
            self.warn(hint)
        self._collapsed = bool(hint)

    def note(self, message: str) -> None:
        """Write a fact on a line of its own."""
        self._say(message)

    def warn(self, message: str) -> None:
        """Write a warning on a line of its own."""
        self.note(f"warning: {message}")

    def _report(self) -> None:
        self._due, self._pending = self._clock() + self._interval, False
        self._say("  ".join(progress(self._tracker, self._tracker.row["seconds"])))

    def _say(self, line: str) -> None:
        print(fit(line, self._stream), file=self._stream, flush=True)


class LineDisplay:
    """One line of progress, rewritten twice a second; for Python and notebooks.

    It shows what is being compiled, and then the progress; warnings stay above it.
    """

    def __init__(
        self,
        header: Header,
        stream: IO[str],
        width: int = 79,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._tracker, self._stream, self._width = Tracker(header), stream, width
        self._clock, self._due, self._shown, self._kept = clock, -math.inf, "", ""

    def __enter__(self) -> Self:
        head = self._tracker.header
        self._write(f"{head.env}, {head.encoding}, {head.strategy}: starting …")
        return self

    def __exit__(self, *error: object) -> None:
        if self._tracker.row:
            self._report()
        print(file=self._stream, flush=True)

    def compiling(self, what: str) -> None:
        """Show that `what` is being compiled, until the next `update`."""
        self._write(f"compiling {what} …")

    def progress(self, share: float) -> None:
        """Show how far the generation is if it is time to."""
        if self._clock() >= self._due:
            self._due = self._clock() + 0.5
            self._write(self._tracker.part(share))

    def update(self, rows: Sequence[Metrics]) -> None:
        """Take in further generations, and show the last one if it is time to."""
        self._tracker.update(rows)
        if rows and self._clock() >= self._due:
            self._report()

    def note(self, message: str) -> None:
        """Write a fact above the line."""
        line, self._shown = self._shown, self._erase()
        print(fit(message, self._stream), file=self._stream)
        self._write(line)

    def warn(self, message: str) -> None:
        """Write a warning above the line."""
        self.note(f"warning: {message}")

    def _report(self) -> None:
        self._due = self._clock() + 0.5
        parts = progress(self._tracker, self._tracker.row["seconds"])
        line = parts.pop(0)
        for part in parts:  # what has room
            if len(line) + 2 + len(part) <= self._width:
                line += f"  {part}"
        self._write(line)

    def _erase(self) -> str:
        """Clear the line; terminals and notebooks alike take a return for that."""
        self._stream.write("\r" + " " * len(self._shown) + "\r")
        return ""

    def _write(self, line: str) -> None:
        line = fit(line, self._stream)[: self._width]
        self._stream.write("\r" + line.ljust(len(self._shown)))
        self._stream.flush()
        self._shown = line


def progress(tracker: Tracker, elapsed: float) -> list[str]:
    """Return the progress and the returns of a run, in short phrases."""
    row, limit = tracker.row, tracker.header.generations
    parts = [f"generation {row['generation']:.0f}" + (f"/{limit}" if limit else "")]
    mean, best = map(format_value, (row.get("fitness_mean"), row.get("fitness_max")))
    center = tracker.curves["center"].last
    if math.isfinite(center):
        parts.append(f"center {format_value(center)}")
    first = tracker.limit(elapsed)
    if first and first.seconds_left is not None and first.seconds_left >= 1:
        parts.append(f"{whole_seconds(first.seconds_left)} left")
    parts.append(f"fitness mean {mean} max {best}")
    if (coverage := row.get("coverage")) is not None:
        parts.append(f"coverage {coverage:.1%}")
    if tracker.failures:
        parts.append(f"{format_count(tracker.failures)} failures")
    parts.append(f"{whole_seconds(row['seconds'])} elapsed")
    parts.append(f"env steps {format_count(row['env_steps'])}")
    if tracker.steps_per_second:
        parts.append(f"{format_count(tracker.steps_per_second)} steps/s")
    return parts


def whole_seconds(seconds: float) -> str:
    """Format a time without parts of a second."""
    return format_duration(max(0, round(seconds)))
