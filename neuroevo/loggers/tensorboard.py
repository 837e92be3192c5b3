"""TensorBoard: event files in the run directory."""

import dataclasses
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neuroevo.errors import UserError
from neuroevo.loggers.contract import Logger, Session
from neuroevo.loggers.rows import Rows, clock, metrics, results, table


@dataclasses.dataclass(frozen=True)
class TensorBoard:
    """TensorBoard event files in the run directory: tensorboard --logdir RUN."""

    def check(self, path: Path | None) -> None:
        """Raise a `UserError` if the run has no directory."""
        if path is None:
            raise UserError("log: tensorboard: expected a run_dir to write to")

    def build(self, session: Session) -> Logger:
        """Return the logger; each session of the run writes a file of its own."""
        # Not its SummaryWriter, whose flush does not wait for what is in its queue.
        from tensorboardX import summary as summaries
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        assert session.path is not None  # as checked
        folder = session.path / "tensorboard"
        folder.mkdir(exist_ok=True)
        writer = EventsWriter(str(folder / "events"), f".{session.generation}")
        time_of = clock()

        def write(step: int, now: float, values: Iterable[tuple[str, float]]) -> None:
            for name, value in values:
                summary = summaries.scalar(name, value)
                writer.write_event(Event(wall_time=now, step=step, summary=summary))

        def log(rows: Rows) -> None:
            for row, now in zip(rows, time_of(rows), strict=True):
                write(row["generation"], now, metrics(row))
            writer.flush()

        def finish(summary: Mapping[str, Any] | None) -> None:
            if summary:
                write(summary["generations"], time.time(), results(summary))
            writer.close()

        event = {"wall_time": time.time(), "step": session.generation + 1}
        if session.generation:
            # Readers drop what a killed session wrote after this step.
            started = SessionLog(status=SessionLog.START)
            writer.write_event(Event(session_log=started, **event))
        else:
            text = summaries.text("config", table(session.config))
            writer.write_event(Event(summary=text, **event))
        return Logger(log, finish)
