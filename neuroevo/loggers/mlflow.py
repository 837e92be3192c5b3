"""MLflow, on a server or in a local store."""

import dataclasses
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuroevo.errors import UserError, in_one_line
from neuroevo.loggers.contract import Logger, Session
from neuroevo.loggers.rows import Rows, clock, metrics, need, results
from neuroevo.store.files import flatten


@dataclasses.dataclass(frozen=True)
class MLflow:
    """MLflow, on a server or in a local store (pip install 'neuroevo[mlflow]')."""

    uri: str | None = None
    """Server, database or folder; none: as in MLFLOW_TRACKING_URI."""
    experiment: str = "neuroevo"
    """Experiment that the run belongs to."""

    def check(self, path: Path | None) -> None:
        """Raise a `UserError` if the package or the store is not available."""
        need("mlflow")
        self._experiment()

    def build(self, session: Session) -> Logger:
        """Return the logger; later sessions of the run continue the same MLflow run."""
        from mlflow.entities import Metric, Param

        client, experiment = self._experiment()
        run = session.memo.get("run")
        if run is None:
            run = client.create_run(experiment, run_name=session.name).info.run_id
            params = [Param(k, str(v)) for k, v in flatten(session.config)]
            client.log_batch(run, params=params)
        else:
            client.update_run(run, status="RUNNING")

        time_of = clock()

        def log(rows: Rows) -> None:
            points = [
                Metric(name, value, int(1000 * now), row["generation"])
                for row, now in zip(rows, time_of(rows), strict=True)
                for name, value in metrics(row)
            ]
            for first in range(0, len(points), 1000):  # the most in one call
                client.log_batch(run, metrics=points[first : first + 1000])

        def finish(summary: Mapping[str, Any] | None) -> None:
            now = int(1000 * time.time())
            step = summary["generations"] if summary else 0
            points = [Metric(k, v, now, step) for k, v in results(summary)]
            client.log_batch(run, metrics=points)
            ended = summary is not None
            client.set_terminated(run, "FINISHED" if ended else "KILLED")

        return Logger(log, finish, {"run": run})

    def _experiment(self) -> tuple[Any, str]:
        """Return a client and the id of the experiment, which is created if missing."""
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
            reason = in_one_line(error)
            raise UserError(f"log: mlflow: cannot use this store: {reason}") from None
        return client, found.experiment_id
