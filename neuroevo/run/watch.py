"""Detects from the metrics of a run that its search can no longer learn anything."""

import math
from collections.abc import Mapping
from typing import Any

from neuroevo.core.spread import has_collapsed

_FLAT_GENERATIONS = 10  # of equal fitness in a row, before it is worth a word


class Watch:
    """Detects candidates that are all alike, equally good, or failures; reports once.

    Attributes:
        failed: generations in which no candidate had a finite return.

    >>> watch = Watch()
    >>> watch.update({"generation": 1, "spread": 0.1, "fitness_std": 3.0})
    >>> watch.update({"generation": 2, "spread": 5e-8, "fitness_std": 2.0})
    >>> [message] = watch.news()
    >>> message[:60]
    'the candidates have become all alike: in generation 2 they d'
    >>> watch.news()
    []
    """

    def __init__(self, population: int | None = None, *, selects: bool = True) -> None:
        """Start before the first generation.

        Args:
            population: the number of candidates, which failures need.
            selects: whether the search goes by the fitness, rather than by gradients.
        """
        self.failed = 0
        self._population, self._selects = population, selects
        self._generations = 0
        self._initial = math.nan  # spread of the first generation
        self._flat = 0  # generations of equal fitness in a row
        self._said: set[str] = set()
        self._news: list[str] = []

    def begin_again(self, population: int) -> None:
        """Forget what a restart has ended."""
        self._population, self._initial, self._flat = population, math.nan, 0

    def update(self, row: Mapping[str, Any]) -> None:
        """Process the metrics of a generation."""
        generation, spread = row["generation"], row.get("spread")
        self._generations += 1
        if self._population and row.get("failures") == self._population:
            self.failed += 1
            self._say("failed", self.failures())
        if spread is not None:
            if math.isnan(self._initial):
                self._initial = spread
            if self._initial and has_collapsed(spread, self._initial):
                self._say(
                    "spread",
                    f"the candidates have become all alike: in generation {generation} "
                    f"they differ by {spread:.2g}, at the start by {self._initial:.2g}"
                    ", so the search finds nothing new; expected a larger std of the "
                    "strategy, a lower limit on it, or another strategy",
                )
        equal = row.get("fitness_std") == 0 and not row.get("failures")
        compared = self._selects and self._population != 1
        self._flat = self._flat + 1 if equal and compared else 0
        if self._flat >= _FLAT_GENERATIONS:
            self._say(
                "flat",
                f"all candidates of {self._flat} generations in a row had the same "
                f"fitness, {row.get('fitness_mean'):g}, and the search stays where it "
                "is until they differ: unless the task is solved, expected a larger "
                "std of the strategy, or a reward that distinguishes candidates",
            )

    def failures(self) -> str:
        """Return in how many generations all candidates failed, and what would help."""
        return (
            f"none of the {self._population} candidates had a finite return in "
            f"{self.failed} of {self._generations} generations; expected a smaller "
            "learning rate of the encoding, a smaller std of the strategy, or "
            "--normalization running (--debug-nans finds the first value that is not "
            "finite)"
        )

    def news(self) -> list[str]:
        """Return the messages since the last call."""
        news, self._news = self._news, []
        return news

    def _say(self, kind: str, message: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            self._news.append(message)
