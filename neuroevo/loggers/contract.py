"""The contract of loggers: destinations of a run's metrics besides its directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Session(NamedTuple):
    """The information that a logger gets whenever a run starts or continues.

    Example:
        >>> neuroevo.Session("first", None, {}, generation=0, memo={}).name
        'first'
    """

    name: str
    path: Path | None  # the run's directory
    config: Mapping[str, Any]  # as in config.yaml
    generation: int  # the last one that this logger logged in earlier sessions
    memo: Mapping[str, Any]  # `Logger.memo` of the previous session


class Log(Protocol):
    """Log new rows of ``metrics.jsonl``, and return once they are stored safely."""

    def __call__(self, rows: Sequence[Mapping[str, Any]], /) -> None: ...


class Finish(Protocol):
    """Log the content of ``summary.json`` and close the log.

    The argument is empty if there is nothing new, and None if the run was interrupted.
    """

    def __call__(self, summary: Mapping[str, Any] | None, /) -> None: ...


class Logger(NamedTuple):
    """A destination of a run's metrics besides the run directory.

    Attributes:
        log: called in order, once for each generation, however often the run is
            interrupted.
        finish: called last.
        memo: plain data for the run's next session.

    Example:
        >>> rows = []
        >>> logger = neuroevo.Logger(log=rows.extend)
        >>> logger.log([{"generation": 1, "fitness_mean": 20.0}])
        >>> rows[0]["fitness_mean"]
        20.0
    """

    log: Log
    finish: Finish = lambda summary: None
    memo: Mapping[str, Any] = _EMPTY
