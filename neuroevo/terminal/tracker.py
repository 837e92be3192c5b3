"""The data that a display keeps about a run: curves in bounded memory, and the pace."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from humanize import naturalsize

from neuroevo.returns import Collapse
from neuroevo.run.events import Header
from neuroevo.terminal.formatting import (
    format_amount,
    format_count,
    format_duration,
    format_value,
    mean,
)

Metrics = Mapping[str, Any]  # of one generation, as in metrics.jsonl

CURVES = {  # by name: the metric and its style
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
        """Append a generation's value; one that is missing or not finite is a gap."""
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


class Limit(NamedTuple):
    """The limit that will be reached first, the used fraction, and the time left."""

    label: str
    fraction: float = 0.0
    seconds_left: float | None = None


@dataclass
class Tracker:
    """Collects the metrics of a run (`generation` counts completed ones, from 1)."""

    header: Header
    row: Metrics = field(default_factory=dict)
    steps_per_second: float | None = None
    failures: int = 0

    def __post_init__(self) -> None:
        self.curves = {name: Series() for name in CURVES}
        self._recent = dict.fromkeys(("seconds", "generation", "env_steps"), 0.0)
        self._collapse = Collapse()

    def update(self, rows: Sequence[Metrics]) -> None:
        """Process one or more generations."""
        if not rows:
            return
        self._measure(self.row or rows[0], rows[-1])
        for row in rows:
            if row.get("attempt", 0) != self.row.get("attempt", 0):
                self._collapse = Collapse()  # a restart begins far below the best
            self.row = row
            for name, (key, _) in CURVES.items():
                self.curves[name].add(self.row.get(key))
            self.failures += int(self.row.get("failures") or 0)
            self._collapse.update(
                self.row.get("center_return"), self.row.get("fitness_std")
            )
        self.steps_per_second = self._rate("env_steps")

    def _measure(self, before: Metrics, after: Metrics) -> None:
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
        """A hint if the center has collapsed, or None."""
        if not self._collapse:
            return None
        now, best = map(format_value, (self._collapse.last, self._collapse.best))
        kept = "; best.npz keeps the best" if self.header.run_dir else ""
        return f"the center fell from {best} to {now}{kept}"

    def part(self, share: float) -> str:
        """Return the progress of a generation of which this share is done."""
        head = self.header
        number = self.row.get("generation", head.completed) + 1
        limit = f"/{head.generations}" if head.generations else ""
        total = head.population * head.policies
        done = f"{math.floor(share * total):,} of {total:,} policies"
        return f"generation {number:.0f}{limit}: {done}"

    def limit(self, elapsed: float) -> Limit | None:
        """Return the next limit, `elapsed` seconds into the run, or None."""
        since = elapsed - self.row.get("seconds", elapsed)
        head, found = self.header, []
        if head.max_seconds:
            times = map(format_duration, (int(elapsed), head.max_seconds))
            used, left = elapsed / head.max_seconds, head.max_seconds - elapsed
            found.append(Limit(f"time {' / '.join(times)}", min(1.0, used), left))
        for name, key, limit, show in (
            ("generation", "generation", head.generations, "{:,.0f}".format),
            ("env steps", "env_steps", head.max_env_steps, format_count),
        ):
            if limit:
                done, rate = self.row.get(key, 0), self._rate(key)
                remaining = (limit - done) / rate - since if rate else None
                label = f"{name} {show(done)} / {show(limit)}"
                found.append(Limit(label, min(1.0, done / limit), remaining))
        if any(limit.seconds_left is None for limit in found):
            return max(found, key=lambda limit: limit.fraction)
        return min(found, key=lambda limit: limit.seconds_left or 0.0, default=None)


def facts(header: Header) -> list[str]:
    """Return short phrases about the size of a run and its devices."""
    amounts = (
        format_amount(header.population, "candidate"),
        format_amount(header.policies, "policy"),
        format_amount(header.episodes, "episode"),
    )
    found = [
        f"{header.genome_size:,} numbers → {header.parameters:,} parameters",
        " × ".join(amounts),
        header.devices,
    ]
    if header.memory is not None:
        found.append(f"about {naturalsize(header.memory)}")
    if header.target is not None:
        found.append(f"until the center returns {header.target:g}")
    return found + ([header.run_dir] if header.run_dir else [])
