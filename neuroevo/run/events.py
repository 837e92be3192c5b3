"""What a run shows while it is active, and the interface of its displays."""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol


@dataclass(frozen=True)
class Header:
    """The constant facts of a run; a limit that is None does not apply."""

    env: str
    encoding: str
    strategy: str
    population: int
    policies: int
    episodes: int
    genome_size: int
    parameters: int
    devices: str
    memory: int | None = None  # bytes, as estimated
    run_dir: str | None = None
    completed: int = 0  # generations, of a run that is resumed
    generations: int | None = None
    max_env_steps: float | None = None
    max_seconds: float | None = None
    target: float | None = None


class Display(Protocol):
    """Shows a run while it is active; a context manager."""

    def __enter__(self) -> Any: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...

    def compiling(self, what: str) -> None:
        """Show that `what` is being compiled, until the next `update`."""

    def progress(self, share: float) -> None:
        """Show which share of a long generation is done, until the next `update`."""

    def update(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show new generations: rows of ``metrics.jsonl``, in order."""

    def note(self, message: str) -> None:
        """Show a fact, which stays visible."""

    def warn(self, message: str) -> None:
        """Show a warning, which stays visible."""


class Silent(contextlib.nullcontext):
    """A display that shows only warnings, as Python warnings."""

    def compiling(self, what: str) -> None:
        """Show nothing."""

    def progress(self, share: float) -> None:
        """Show nothing."""

    def update(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Show nothing."""

    def warn(self, message: str) -> None:
        """Show a warning."""
        warnings.warn(message, stacklevel=2)
