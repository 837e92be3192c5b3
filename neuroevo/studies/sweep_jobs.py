"""Runs the runs of a sweep: one after the other in a process, or as jobs of a cluster.

A crash or lack of memory affects only one run: the next begins in a new process. Runs
that differ only in their seed share a process and its compiled programs.
"""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from neuroevo.config.yaml import to_yaml
from neuroevo.errors import UserError, in_one_line
from neuroevo.store.directory import (
    is_run,
)
from neuroevo.store.files import atomic_write
from neuroevo.studies.sweep import LIMITS, Sweep, Trial, is_finished


def words_of(trial: Trial, quiet: bool = False) -> list[str]:
    """Return the words after ``neuroevo`` that start or resume a run."""
    if is_run(trial.path):
        words = ["resume", str(trial.path)]
        for limit in LIMITS:
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
