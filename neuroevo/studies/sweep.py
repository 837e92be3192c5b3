"""Sweeps: many runs from one file, each an ordinary run in its own directory.

A sweep file is a configuration of ``train`` with a key ``sweep`` that says what varies.
A crash or lack of memory affects only one run: the next begins in a new process. Runs
that differ only in their seed share a process and its compiled programs.
"""

import contextlib
import functools
import hashlib
import importlib.util
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neuroevo import returns
from neuroevo.config import resolve
from neuroevo.config.layers import Layer, read_layers
from neuroevo.config.schema import group_of
from neuroevo.config.yaml import to_yaml
from neuroevo.errors import UserError, in_one_line, unknown
from neuroevo.store.checkpoints import OWN_FILES
from neuroevo.store.directory import (
    check_new,
    is_run,
    read_config,
    read_summary,
)
from neuroevo.store.files import atomic_write, flatten
from neuroevo.store.metrics import read_metrics

KEY = "sweep"
_PLAN = {"grid", "list", "seeds", "submit"}
_LIMITS = ("generations", "max_env_steps", "max_seconds")
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
    for limit in _LIMITS:
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
    same = all(was.get(limit) == trial.config[limit] for limit in _LIMITS)
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


# Running


def words_of(trial: Trial, quiet: bool = False) -> list[str]:
    """Return the words after ``neuroevo`` that start or resume a run."""
    if is_run(trial.path):
        words = ["resume", str(trial.path)]
        for limit in _LIMITS:
            if (value := trial.config[limit]) is not None:
                words += [f"--{limit.replace('_', '-')}", str(value)]
    else:
        words = ["train", "--config", str(trial.file), "--run-dir", str(trial.path)]
    return [*words, *(["--quiet"] if quiet else [])]


class Worker:
    """A process that trains one run after another.

    Runs that differ only in their seed share its compiled programs.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def command(self, replies: int) -> list[str]:
        """Return the command that starts the process: see `neuroevo.worker`."""
        return [sys.executable, "-m", "neuroevo.worker", str(replies)]

    def __call__(self, words: Sequence[str]) -> int:
        """Run ``neuroevo`` with these words, and return the exit code."""
        with _forwarding(self.signal):
            process = self._process or self._start()
            try:
                print(json.dumps(words), file=process.stdin, flush=True)
                reply = self._replies.readline()
            except BrokenPipeError:  # it has ended
                reply = ""
            code = int(reply) if reply else process.wait()
        if code:
            self.close()
        return code

    def _start(self) -> subprocess.Popen:
        read, write = os.pipe()
        self._replies = os.fdopen(read, encoding="ascii")
        # In a group of its own a terminal's Ctrl-C reaches it once: from here.
        self._process = subprocess.Popen(
            self.command(write),
            stdin=subprocess.PIPE,
            pass_fds=[write],
            process_group=0,
            text=True,
        )
        os.close(write)
        return self._process

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        if self._process:
            self._process.send_signal(number)

    def close(self) -> None:
        """Let the process end, and wait for it."""
        if self._process:
            self._process.communicate()
            self._replies.close()
            self._process = None


class Job:
    """A run on a cluster, started or resumed: what submitit submits."""

    def __init__(self, trial: Trial):
        self._trial = trial
        self._worker: Worker | None = None

    def __call__(self) -> int:
        """Train the run, and return the exit code."""
        self._worker = Worker()
        with contextlib.closing(self._worker) as worker:
            return worker(words_of(self._trial, quiet=True))

    def checkpoint(self, *args: Any) -> Any:
        """Let the run write a checkpoint, and return the job for submitit's queue."""
        from submitit.helpers import DelayedSubmission

        if self._worker:
            self._worker.signal(signal.SIGTERM)
            self._worker.close()
            self._worker = None
        return DelayedSubmission(self)


@contextlib.contextmanager
def _forwarding(send: Callable[[int], None]) -> Iterator[None]:
    """Forward signals that ask this process to end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {n: signal.signal(n, lambda number, frame: send(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def prepare(sweep: Sweep) -> list[Trial]:
    """Write the configurations of unfinished runs, and return these runs."""
    missing = [trial for trial in sweep.trials if not is_finished(trial)]
    for trial in missing:
        sweep.path.mkdir(parents=True, exist_ok=True)
        atomic_write(trial.file, to_yaml(trial.config))
    return missing


def run(sweep: Sweep, tell: Callable[[str], None], *, quiet: bool = False) -> int:
    """Train unfinished runs, one after the other, and return the exit code.

    A failed run does not end the sweep; it is named at the end. Only a signal ends it.
    """
    failed: dict[Path, int] = {}
    missing = prepare(sweep)
    with contextlib.closing(Worker()) as worker:
        variant = None
        for number, trial in enumerate(missing, 1):
            if trial.variant != variant:
                worker.close()  # and release its memory
                variant = trial.variant
            tell(f"run {number} of {len(missing)}: {trial.path}")
            code = worker(words_of(trial, quiet))
            if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
                return code
            if code:
                tell(
                    f"{trial.path} failed with exit code {code}; continuing without it"
                )
                failed[trial.path] = code
    if not failed:
        return 0
    paths = ", ".join(map(str, failed))
    tell(f"{len(failed)} of {len(missing)} runs failed: {paths}")
    return 2 if {*failed.values()} == {2} else 1


def submit(sweep: Sweep, cluster: str) -> list[Any]:
    """Submit each unfinished run as a job, and return submitit's jobs.

    Raises:
        UserError: if submitit or the cluster is missing, or for unknown parameters.
    """
    if importlib.util.find_spec("submitit") is None:
        raise UserError(
            "submitit is not installed: expected no --submit, or "
            "pip install 'neuroevo[slurm]'"
        )
    import submitit

    try:
        executor = submitit.AutoExecutor(sweep.path / "jobs", cluster=cluster)
        executor.update_parameters(
            **{"name": sweep.path.name, "timeout_min": 24 * 60} | dict(sweep.submit)
        )
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise UserError(f"--submit {cluster}: {in_one_line(error)}") from None
    missing = [
        Job(trial._replace(path=trial.path.absolute())) for trial in prepare(sweep)
    ]
    with executor.batch() if missing else contextlib.nullcontext():
        return [executor.submit(job) for job in missing]
