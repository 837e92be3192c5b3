"""A page that compares runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroevo.returns import interval, known, known_ends
from neuroevo.store.record import RunRecord
from neuroevo.terminal.formatting import (
    format_count,
    format_duration,
    format_range,
    format_value,
)
from neuroevo.views import curves, interactive, pages

COLUMNS = {  # of the tables, by the keys of their rows
    "groups": {
        "label": "setting",
        "seeds": "runs",
        "mean": "final return",
        "interval": "interval",
        "low": "lowest",
        "high": "highest",
        "env_steps": "env steps",
        "seconds": "time",
    },
    "runs": {
        "name": "run",
        "label": "setting",
        "seed": "seed",
        "final": "final return",
        "interval": "interval",
        "best": "best",
        "generations": "generations",
        "env_steps": "env steps",
        "seconds": "time",
    },
}


def make_comparison(found: Sequence[RunRecord]) -> str:
    """Return a page that compares runs, grouped by setting."""
    by_env: dict[str, list[RunRecord]] = {}
    for run in found:
        env = run.config.get("env")
        name = env.get("name") if isinstance(env, Mapping) else env
        by_env.setdefault(str(name), []).append(run)
    sections = []
    for name, members in by_env.items():
        groups = curves.group(members)
        labeled = [(run, label) for label, runs in groups.items() for run in runs]
        sections.append(
            {
                "env": name,
                "curves": pages.plot(interactive.plot_groups(groups), height="480px"),
                "groups": [_summarize(label, runs) for label, runs in groups.items()],
                "runs": [_describe(run, label) for run, label in labeled],
            }
        )
    title = f"{len(found)} runs on {', '.join(by_env)}"
    return pages.render(
        "comparison.html", title=title, sections=sections, columns=COLUMNS
    )


def _summarize(label: str, group: Sequence[RunRecord]) -> dict[str, Any]:
    """Return a row of the table of settings, over the runs that have the number."""
    final = _known(run.summary.get("final_return_mean") for run in group)
    return {
        "label": label,
        "seeds": len(group),
        "mean": format_value(_mean(final)),
        "interval": format_range(interval(final[:, None]) if len(final) > 1 else None),
        "low": format_value(final.min() if len(final) else None),
        "high": format_value(final.max() if len(final) else None),
        "env_steps": format_count(_mean(_known(_spent(r, "env_steps") for r in group))),
        "seconds": format_duration(_mean(_known(_spent(r, "seconds") for r in group))),
    }


def _describe(run: RunRecord, label: str) -> dict[str, Any]:
    """Return a row of the table of runs."""
    get = run.summary.get
    return {
        "name": run.name,
        "label": label,
        "seed": run.config.get("seed"),
        "final": format_value(known(get("final_return_mean"))),
        "interval": format_range(known_ends(get("final_return_interval"))),
        "best": format_value(known(get("best_return_mean"))),
        "generations": f"{run.rows[-1]['generation']:,}",
        "env_steps": format_count(_spent(run, "env_steps")),
        "seconds": format_duration(_spent(run, "seconds")),
    }


def _spent(run: RunRecord, key: str) -> float:
    """Return what a run has used, according to its summary or its last generation."""
    found = known(run.summary.get(key))
    return run.rows[-1][key] if found is None else found


def _known(values: Any) -> np.ndarray:
    return np.array([v for v in map(known, values) if v is not None], float)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
