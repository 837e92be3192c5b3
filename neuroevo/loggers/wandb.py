"""Weights & Biases, online or offline."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from neuroevo.errors import UserError
from neuroevo.loggers.rows import Rows, metrics, need, results
from neuroevo.types import Logger, Session


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
        need("wandb")
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
                run.log(dict(metrics(row)), step=row["generation"])

        def finish(summary: Mapping[str, Any] | None) -> None:
            run.summary.update(dict(results(summary)))
            run.finish()

        return Logger(log, finish, {"id": run.id})
