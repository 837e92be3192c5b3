"""Weights & Biases, online or offline."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from neuroevo.errors import UserError
from neuroevo.loggers.contract import Logger, Session
from neuroevo.loggers.rows import Rows, metrics, need, results


@dataclasses.dataclass(frozen=True)
class WandB:
    """Weights & Biases (pip install 'neuroevo[wandb]')."""

    project: str = "neuroevo"
    """Project of the run."""
    entity: str | None = None
    """User or team; none: your default entity."""
    group: str | None = None
    """Group of the run; none: no group."""
    mode: Literal["online", "offline"] | None = None
    """Whether to send data; none: as in WANDB_MODE, or online if that is not set."""

    def check(self, path: Path | None) -> None:
        """Raise a `UserError` if the package or the API key is missing."""
        need("wandb")
        import wandb

        mode = self.mode or wandb.setup().settings.mode
        if mode == "online" and not wandb.api.api_key:
            raise UserError(
                "log: wandb: no API key: expected wandb login to be run first, or "
                "--wandb.mode offline"
            )

    def build(self, session: Session) -> Logger:
        """Return the logger; a later session of the run continues the same W&B run."""
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
                run.log(dict(metrics(row)), step=row["generation"])

        def finish(summary: Mapping[str, Any] | None) -> None:
            run.summary.update(dict(results(summary)))
            run.finish()

        return Logger(log, finish, {"id": run.id})
