"""Sweeps: many runs from one file, each an ordinary run in its own directory.

A sweep file is a configuration of ``train`` with a key ``sweep`` that says what varies.
`sweep_jobs` has what runs them.
"""

import functools
import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neuroevo import returns
from neuroevo.config import resolve
from neuroevo.config.layers import Layer, read_layers
from neuroevo.config.schema import group_of
from neuroevo.errors import UserError, unknown
from neuroevo.store.checkpoints import OWN_FILES
from neuroevo.store.directory import (
    check_new,
    is_run,
    read_config,
    read_summary,
)
from neuroevo.store.files import flatten
from neuroevo.store.metrics import read_metrics

KEY = "sweep"
_PLAN = {"grid", "list", "seeds", "submit"}
LIMITS = ("generations", "max_env_steps", "max_seconds")
_FINAL = "final_return_mean"
_COMPARED = {"search", "evaluation"}  # groups that may not change in an existing run


class Trial(NamedTuple):
    """One run of a sweep."""

    variant: str  # the name that it shares with runs that differ only in the seed
    path: Path
    config: Mapping[str, Any]  # resolved, as in config.yaml

    @property
    def file(self) -> Path:
        """The file of its configuration."""
        return self.path.with_name(f"{self.path.name}.yaml")


class Sweep(NamedTuple):
    """The content of a sweep file."""

    path: Path
    trials: Sequence[Trial]
    submit: Mapping[str, Any]  # parameters of submitit's executor


def read(file: Path, out: Path | None = None) -> Sweep:
    """Return the sweep that `file` describes, of runs in `out` (or ``runs/STEM``).

    The options of every run are resolved; nothing is written.

    Raises:
        UserError: for a mistake in the options, or a run in `out` with other options.
    """
    *layers, (source, values) = read_layers(None, file)
    common = {key: value for key, value in values.items() if key != KEY}
    plan = values.get(KEY)
    if not isinstance(plan, Mapping):
        raise UserError(f"{file}: {KEY}: expected a mapping like {{grid: {{…}}}}")
    for key in plan.keys() - _PLAN:
        raise unknown(f"key of {KEY} in {file}", str(key), _PLAN)
    out = out or Path("runs") / file.stem

    @functools.cache
    def known_seed(seed: Any) -> dict[str, int]:
        """Return the option as it is resolved, which takes time, alone."""
        resolved = resolve.resolve([Layer(source, {"seed": seed})]).to_dict()
        return {"seed": resolved["seed"]}

    trials: dict[str, Trial] = {}
    for changes, seeds in _plan(file, plan):
        label = _label(changes)
        layer = Layer(f"{source}: {label or KEY}", changes)
        variant = resolve.resolve([*layers, Layer(source, common), layer]).to_dict()
        if "seed" in changes and seeds != [None]:
            raise UserError(f"{file}: {KEY}: expected seed or seeds, got both")
        for seed in seeds:
            resolved = variant | ({} if seed is None else known_seed(seed))
            name = ",".join(filter(None, [label, f"seed={resolved['seed']}"]))
            if name in trials:
                raise UserError(f"{file}: {KEY}: the variant {name} occurs twice")
            trials[name] = Trial(label, out / _file_name(name), resolved)
    for trial in trials.values():
        _check(trial)
    return Sweep(out, list(trials.values()), plan.get("submit") or {})


def _plan(
    file: Path, plan: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], Sequence[int | None]]]:
    """Yield the options that each variant changes, with its seeds."""
    grid, lists = plan.get("grid") or {}, _lists(file, plan.get("list") or [{}])
    if not isinstance(grid, Mapping):
        raise UserError(f"{file}: {KEY}.grid: expected options with lists of values")
    for key, each in grid.items():
        if not isinstance(each, list) or not each:
            raise UserError(f"{file}: {KEY}.grid.{key}: expected a list, got {each!r}")
    seeds = plan.get("seeds", [None])
    seeds = list(range(seeds)) if isinstance(seeds, int) else seeds
    nested = isinstance(seeds, list) and any(isinstance(x, list | dict) for x in seeds)
    if not isinstance(seeds, list) or not seeds or nested:
        raise UserError(f"{file}: {KEY}.seeds: expected a number or a list of seeds")
    for variant in itertools.product(*lists):
        together = {key: value for part in variant for key, value in part.items()}
        for values in itertools.product(*grid.values()):
            yield {**together, **dict(zip(grid, values, strict=True))}, seeds


def _lists(file: Path, found: Any) -> list[list[Mapping[str, Any]]]:
    """Return the lists of overrides of which every combination is a variant."""
    several = isinstance(found, list) and all(isinstance(each, list) for each in found)
    lists = found if several else [found]
    for each in lists:
        good = isinstance(each, list) and each
        if not good or not all(isinstance(variant, Mapping) for variant in each):
            raise UserError(
                f"{file}: {KEY}.list: expected a list of mappings of options, or "
                "several of them to combine"
            )
    return lists


def _label(changes: Mapping[str, Any]) -> str:
    """Return the name of a variant, such as ``encoding=dataset,strategy.std=0.1``."""
    words = []
    for name, value in flatten(changes):
        many = isinstance(value, list | tuple)
        text = "x".join(map(str, value)) if many else str(value)
        words.append(f"{name}={text}".replace(".name=", "="))
    return ",".join(words)


def _file_name(label: str) -> str:
    name = re.sub(r"[^\w.,=+-]", "_", label)
    if len(name) > 120 or name != label:  # keep the names of different labels different
        name = f"{name[:100]}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"
    return name


def _check(trial: Trial) -> None:
    """Raise a `UserError` if its directory contains a different run."""
    if not is_run(trial.path):
        return check_new(trial.path)
    was, now = (dict(flatten(each)) for each in (read_config(trial.path), trial.config))
    for key, value in now.items():
        if group_of(key) not in _COMPARED or value == "auto" or key in OWN_FILES:
            continue
        if was.get(key) != value:
            raise UserError(
                f"{trial.path}: contains a run with {key} {was.get(key)!r}, not "
                f"{value!r}; expected the same sweep, or another --out"
            )
    for limit in LIMITS:
        if now[limit] is None and was.get(limit) is not None:
            raise UserError(
                f"{trial.path}: contains a run with {limit} {was[limit]}, which a "
                "resumed run keeps; expected a number, or another --out"
            )


# The state of a run


DONE, FAILED, MISSING = "done", "failed", "missing"


def state(trial: Trial) -> str:
    """Return the state of a run.

    Returns:
        ``missing``; ``at N``, where N is the generation at which it has stopped or is
        now; ``done``; or ``failed`` if it is done but its final return is not finite.
    """
    if not is_run(trial.path):
        return MISSING
    rows = read_metrics(trial.path)
    generation = rows[-1]["generation"] if rows else 0
    summary, was = read_summary(trial.path), read_config(trial.path)
    same = all(was.get(limit) == trial.config[limit] for limit in LIMITS)
    if not same or summary.get("generations") != generation:
        return f"at {generation}"
    measured = _FINAL in summary
    return FAILED if measured and returns.known(summary[_FINAL]) is None else DONE


def is_finished(trial: Trial) -> bool:
    """Return whether a run is complete."""
    return state(trial) in (DONE, FAILED)


def table(sweep: Sweep) -> list[dict[str, Any]]:
    """Return a row for each variant of a sweep, with the results of its finished runs.

    The keys are `variant`, `runs`, `done` and `states` by seed (see `state`). If a run
    is done, there are also `return_mean`, `return_std` and `return_interval` over the
    runs' final returns, `best_return_mean`, and the mean `env_steps` and `seconds`. A
    mean is None if no run has the number.
    """
    rows: dict[str, dict[str, Any]] = {}
    finished: dict[str, list[Mapping[str, Any]]] = {}
    for trial in sweep.trials:
        empty = {"variant": trial.variant, "runs": 0, "done": 0, "states": {}}
        row = rows.setdefault(trial.variant, empty)
        reached = row["states"][str(trial.config["seed"])] = state(trial)
        row["runs"] += 1
        row["done"] += reached == DONE
        if reached == DONE:
            finished.setdefault(trial.variant, []).append(read_summary(trial.path))
    for variant, summaries in finished.items():
        rows[variant] |= _statistics(summaries)
    return list(rows.values())


def _statistics(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def values(key: str) -> list[float]:
        found = [returns.known(summary.get(key)) for summary in summaries]
        return [value for value in found if value is not None]

    def mean(key: str) -> float | None:
        return float(np.mean(found)) if (found := values(key)) else None

    row: dict[str, Any] = {"env_steps": mean("env_steps"), "seconds": mean("seconds")}
    if final := values(_FINAL):
        row |= {
            "return_mean": mean(_FINAL),
            "return_std": float(np.std(final)),
            "return_interval": returns.interval(np.array(final)[:, None]),
            "best_return_mean": mean("best_return_mean"),
        }
    return row
