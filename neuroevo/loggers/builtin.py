"""Loggers: where the figures of a run go besides its directory.

A logger is a frozen dataclass of options with ``build(session)``, which makes the
`Logger`, and ``check(path)``, which raises a `UserError` for what can be told before
a run in `path` begins. The packages that they write with are imported no earlier.
"""

import dataclasses
import importlib.util
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from neuroevo.errors import UserError
from neuroevo.store.files import flatten
from neuroevo.types import Logger, Session

Rows = Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class TensorBoard:
    """TensorBoard event files in the run directory: tensorboard --logdir RUN."""

    def check(self, path: Path | None) -> None:
        """Raise a `UserError` if the run is nowhere."""
        if path is None:
            raise UserError("log: tensorboard: expected a run_dir to write to")

    def build(self, session: Session) -> Logger:
        """Return the logger; its further sessions write further files."""
        # Not its SummaryWriter, whose flush does not wait for what is in its queue.
        from tensorboardX import summary as summaries
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        assert session.path is not None  # as checked
        folder = session.path / "tensorboard"
        folder.mkdir(exist_ok=True)
        writer = EventsWriter(str(folder / "events"), f".{session.generation}")
        time_of = _clock()

        def write(step: int, now: float, figures: Iterable[tuple[str, float]]) -> None:
            for name, value in figures:
                summary = summaries.scalar(name, value)
                writer.write_event(Event(wall_time=now, step=step, summary=summary))

        def log(rows: Rows) -> None:
            for row, now in zip(rows, time_of(rows), strict=True):
                write(row["generation"], now, _figures(row))
            writer.flush()

        def finish(summary: Mapping[str, Any] | None) -> None:
            if summary:
                write(summary["generations"], time.time(), _results(summary))
            writer.close()

        event = {"wall_time": time.time(), "step": session.generation + 1}
        if session.generation:
            # Readers forget what a session that was killed wrote beyond this step.
            started = SessionLog(status=SessionLog.START)
            writer.write_event(Event(session_log=started, **event))
        else:
            text = summaries.text("config", _table(session.config))
            writer.write_event(Event(summary=text, **event))
        return Logger(log, finish)


@dataclasses.dataclass(frozen=True)
class WandB:
    """Weights & Biases (pip install 'neuroevo[wandb]')."""

    project: str = "neuroevo"
    """Project that the run goes to."""
    entity: str | None = None
    """User or team; None for your own."""
    group: str | None = None
    """Group of runs that it belongs to."""
    mode: Literal["online", "offline"] | None = None
    """Whether to send it; None for what WANDB_MODE says, or else online."""

    def check(self, path: Path | None) -> None:
        """Raise a `UserError` without the package, or without a key to send with."""
        _need("wandb")
        import wandb

        mode = self.mode or wandb.setup().settings.mode
        if mode == "online" and not wandb.api.api_key:
            raise UserError(
                "log: wandb: no API key: expected wandb login before, or "
                "--wandb.mode offline"
            )

    def build(self, session: Session) -> Logger:
        """Return the logger; another session of the run goes on with the same one."""
        import wandb

        run = wandb.init(
            **{k: v for k, v in dataclasses.asdict(self).items() if v is not None},
            name=session.name,
            id=session.memo.get("id"),
            resume="allow",
            dir=session.path,
            config=dict(session.config),
            settings=wandb.Settings(silent=True, console="off"),
        )

        def log(rows: Rows) -> None:
            for row in rows:
                run.log(dict(_figures(row)), step=row["generation"])

        def finish(summary: Mapping[str, Any] | None) -> None:
            run.summary.update(dict(_results(summary)))
            run.finish()

        return Logger(log, finish, {"id": run.id})


@dataclasses.dataclass(frozen=True)
class MLflow:
    """MLflow, on a server or in a local store (pip install 'neuroevo[mlflow]')."""

    uri: str | None = None
    """Server, database or folder; None for what MLFLOW_TRACKING_URI says."""
    experiment: str = "neuroevo"
    """Experiment that the run belongs to."""

    def check(self, path: Path | None) -> None:
        """Raise a `UserError` without the package, or if the store cannot be had."""
        _need("mlflow")
        self._experiment()

    def build(self, session: Session) -> Logger:
        """Return the logger; another session of the run goes on with the same one."""
        from mlflow.entities import Metric, Param

        client, experiment = self._experiment()
        run = session.memo.get("run")
        if run is None:
            run = client.create_run(experiment, run_name=session.name).info.run_id
            params = [Param(k, str(v)) for k, v in flatten(session.config)]
            client.log_batch(run, params=params)
        else:
            client.update_run(run, status="RUNNING")

        time_of = _clock()

        def log(rows: Rows) -> None:
            metrics = [
                Metric(name, value, int(1000 * now), row["generation"])
                for row, now in zip(rows, time_of(rows), strict=True)
                for name, value in _figures(row)
            ]
            for first in range(0, len(metrics), 1000):  # the most in one call
                client.log_batch(run, metrics=metrics[first : first + 1000])

        def finish(summary: Mapping[str, Any] | None) -> None:
            now = int(1000 * time.time())
            step = summary["generations"] if summary else 0
            results = [Metric(k, v, now, step) for k, v in _results(summary)]
            client.log_batch(run, metrics=results)
            ended = summary is not None
            client.set_terminated(run, "FINISHED" if ended else "KILLED")

        return Logger(log, finish, {"run": run})

    def _experiment(self) -> tuple[Any, str]:
        """Return a client and the id of the experiment, which is made if need be."""
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        for talkative in ("alembic", "mlflow"):  # of the tables that they make
            logging.getLogger(talkative).setLevel(logging.WARNING)
        try:
            client = MlflowClient(self.uri)
            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                return client, client.create_experiment(self.experiment)
        except MlflowException as error:
            reason = " ".join(str(error).split())
            raise UserError(f"log: mlflow: cannot log there: {reason}") from None
        return client, found.experiment_id


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"log: {package} is not installed: pip install 'neuroevo[{package}]'"
        )


def _clock() -> Callable[[Rows], list[float]]:
    """Return a function from rows, the first time just finished, to their times."""
    began: list[float] = []

    def times(rows: Rows) -> list[float]:
        if not began:
            began.append(time.time() - rows[-1]["seconds"])
        return [began[0] + row["seconds"] for row in rows]

    return times


def _figures(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers in `row` by name, without the generation's."""
    for name, value in row.items():
        if isinstance(value, int | float) and name != "generation":
            yield name, float(value)


def _results(summary: Mapping[str, Any] | None) -> Iterator[tuple[str, float]]:
    """Yield the returns in a summary, if there is one, by name."""
    for name, value in _figures(summary or {}):
        if "return" in name:
            yield name, value


def _table(config: Mapping[str, Any]) -> str:
    """Return a configuration as a table in Markdown."""
    rows = [f"| {name} | {value} |" for name, value in flatten(config)]
    return "\n".join(["| option | value |", "|---|---|", *rows])
