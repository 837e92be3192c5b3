"""The output of a run: its facts, the metrics of each generation, and its summary."""

import resource
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from neuroevo import devices
from neuroevo.core import counting
from neuroevo.core.state import Report
from neuroevo.run.events import Header
from neuroevo.run.parts import count, shapes
from neuroevo.run.run import Run, Times
from neuroevo.store.files import jsonable


def header(run: Run) -> Header:
    """Return the facts that a display shows throughout the run."""
    settings, names = run.config.settings, run.config.names
    limits = ("generations", "max_env_steps", "max_seconds", "target")
    return Header(
        env=names["env"],
        encoding=names["encoding"],
        strategy=names["strategy"],
        population=settings.population,
        policies=settings.policies,
        episodes=settings.episodes,
        genome_size=count(shapes(run.parts.encoding.init)),
        parameters=count(shapes(run.parts.policy.init)),
        devices=devices.label(run.devices),
        memory=run.memory,
        run_dir=str(run.path) if run.path else None,
        completed=run.generation,
        **{limit: getattr(settings, limit) for limit in limits},
    )


def metrics(run: Run, done: int, log: Report, now: Times) -> list[dict[str, Any]]:
    """Return the metrics of the generations of one compiled call.

    Args:
        run: the run after the call, with the counters from before it.
        done: the number of generations.
        log: their reports.
        now: time from the start of the run to the end of the call.
    """
    log = jax.tree.map(lambda x: np.asarray(x)[:done], log)
    first = run.generation - done
    steps = run.counters.env_steps + np.cumsum(counting.to_int(log.steps))
    times = np.linspace(run.counters.times, now, done + 1)[1:]
    rows = []
    for i in range(done):
        row = {
            "generation": first + i + 1,
            "env_steps": int(steps[i]),
            "seconds": round(float(times[i, 0]), 3),
            "cpu_seconds": round(float(times[i, 1]), 3),
            "fitness_mean": float(log.fitness_mean[i]),
            "fitness_std": float(log.fitness_std[i]),
            "fitness_max": float(log.fitness_max[i]),
            "failures": int(log.failures[i]),
            "spread": float(log.spread[i]),
            "center_return": float(log.center_return[i]),
        }
        if np.isfinite(log.loss[i]):  # of a strategy that has one
            row["loss"] = float(log.loss[i])
        if np.isfinite(log.truncated[i]):  # of episodes
            row["truncated"] = round(float(log.truncated[i]), 6)
        if log.diversity is not None:  # of a strategy with an archive
            row["coverage"] = round(float(log.diversity.coverage[i]), 6)
            row["qd_score"] = float(log.diversity.qd_score[i])
        if run.config.settings.restart_after is not None:
            row["attempt"] = len(run.counters.attempts) - 1
            row["population"] = run.counters.attempts[-1].population
        rows.append(jsonable(row))
    return rows


def summary(
    run: Run, evaluations: Mapping[str, Mapping[str, Any]], stopped_by: str
) -> dict[str, Any]:
    """Return what ``summary.json`` holds.

    Args:
        run: the run at its end.
        evaluations: the results of `Solution.evaluate` for its ``final`` and ``best``
            centers; empty without a final evaluation.
        stopped_by: the limit that ended the run.
    """
    returns = {
        f"{name}_{key}": value
        for name, result in evaluations.items()
        for key, value in result.items()
        if key.startswith("return")
    }
    return returns | {
        "env": run.config.names["env"],
        "best_generation": run.best_generation,
        "best_is_final": run.best_is_final,
        "collapsed": bool(run.collapse),
        "failed_generations": run.watch.failed,
        "generations": run.generation,
        "env_steps": run.counters.env_steps,
        "seconds": round(run.counters.seconds, 3),
        "cpu_seconds": round(run.counters.cpu_seconds, 3),
        "compile_seconds": round(run.counters.compile_seconds, 3),
        "compile_cpu_seconds": round(run.counters.compile_cpu_seconds, 3),
        "peak_memory_bytes": _peak_memory(),
        "stopped_by": stopped_by,
        "run_dir": str(run.path) if run.path else None,
    }


def _peak_memory() -> int:
    """Return the peak resident memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
