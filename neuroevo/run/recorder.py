"""Feeds the loggers of a run: each one gets every generation once."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from neuroevo.loggers.contract import Logger, Session
from neuroevo.store.directory import LOGGERS, write_loggers
from neuroevo.store.files import jsonable, read_json
from neuroevo.store.metrics import read_metrics
from neuroevo.traits import LoggerTraits, traits


def check(loggers: Mapping[str, Any], path: Path | None) -> None:
    """Raise a `UserError` if one of `loggers` cannot log a run in `path`."""
    for logger in loggers.values():
        traits(LoggerTraits, logger).check(path)


class Recorder:
    """The open loggers of a run.

    The run directory records the progress of each logger, so that the run's next
    session neither skips nor repeats a generation. Generations that are computed again
    have already been logged with the same values.
    """

    def __init__(
        self,
        loggers: Mapping[str, Any] = MappingProxyType({}),
        path: Path | None = None,
        config: Mapping[str, Any] = MappingProxyType({}),
        name: str = "",
    ):
        """Build `loggers`, given as options by name, for the run `name` in `path`."""
        self._path = path
        self._known = read_json(path / LOGGERS) if path else {}
        self._open: dict[str, Logger] = {}
        for each, options in loggers.items():
            known = self._known.setdefault(each, {"generation": 0, "memo": {}})
            session = Session(name, path, config, known["generation"], known["memo"])
            self._open[each] = options.build(session)
            known["memo"] = jsonable(self._open[each].memo)
        self._write()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *error: object) -> None:
        self.finish(None)

    def catch_up(self) -> list[str]:
        """Log the generations that earlier sessions missed; see `update`."""
        rows = read_metrics(self._path) if self._open and self._path else []
        return self.update(rows)

    def update(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Log the new ones among `rows`, and return messages about failures.

        A logger that fails is not used again in this session: the failure of a server
        must not end a run that takes a week.
        """
        problems = []
        for name, logger in list(self._open.items()):
            known = self._known[name]
            new = [row for row in rows if row["generation"] > known["generation"]]
            if new:
                problems += self._attempt(name, logger.log, new)
            if new and name in self._open:
                known["generation"] = new[-1]["generation"]
        self._write()
        return problems

    def finish(self, summary: Mapping[str, Any] | None) -> list[str]:
        """Close the open loggers, with the results if there are any; see `update`."""
        problems = []
        for name, logger in list(self._open.items()):
            known = self._known[name]
            repeated = known.get("finished") == known["generation"]
            given = {} if summary is not None and repeated else summary
            problems += self._attempt(name, logger.finish, given)
            if given and name in self._open:
                known["finished"] = known["generation"]
        self._write()
        self._open.clear()
        return problems

    def _attempt(self, name: str, function: Callable, argument: Any) -> list[str]:
        try:
            function(argument)
        except Exception as error:  # of a server, a network, a disk
            del self._open[name]
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            later = "; resuming the run logs the rest" if self._path else ""
            return [f"logger {name} failed and is left out: {reason}{later}"]
        return []

    def _write(self) -> None:
        if self._path and self._open:
            write_loggers(self._path, self._known)
