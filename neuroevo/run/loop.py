"""The run loop: drive the compiled engine, and tell the disk and the display."""

import _thread
import contextlib
import dataclasses
import resource
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from neuroevo import devices as sharding
from neuroevo import multihost as processes
from neuroevo import returns as measures
from neuroevo.config.resolve import Config
from neuroevo.core import engine
from neuroevo.errors import UserError
from neuroevo.loggers import recorder as recording
from neuroevo.loggers.recorder import Recorder
from neuroevo.run import build, debugging
from neuroevo.run import tuning as memory
from neuroevo.solution import Solution
from neuroevo.store import directory as runs
from neuroevo.store import genome_file
from neuroevo.store.directory import RunDirectory
from neuroevo.store.files import jsonable
from neuroevo.store.genome_file import GenomeFile
from neuroevo.terminal.live import Display, Header

INTERRUPTED = "interrupted"
_INT32_MAX = np.iinfo(np.int32).max
_SEGMENT_SECONDS = 1.0  # how long the host aims to be away from the display


@dataclasses.dataclass
class Progress:
    """The host's counters of a run, over all its sessions."""

    env_steps: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0


class Run:
    """A run of evolution: what `neuroevo.evolve` returns.

    Attributes:
        config: the resolved configuration.
        parts: environment, task, policy, encoding and strategy.
        path: the run's directory, or None.
        metrics: a mapping for each generation, as in ``metrics.jsonl``, unless these
            are not kept.
        progress: environment steps and seconds so far.
        memory: estimate of the bytes that the run needs.
        summary: the results, as in ``summary.json``; empty before the end.
        signal: the number of the signal that asked the run to end, or None.
        collapse: whether the center has fallen far below its best.
        best_generation: whose center had the best held-out return, or None.
        notes: what is remarkable about how the run was restored.
    """

    def __init__(
        self,
        config: Config,
        path: Path | None = None,
        start: GenomeFile | None = None,
        keep_metrics: bool = True,
    ):
        """Build the parts that `config` describes; nothing is compiled or written.

        The search begins at the genome in `start`, with its observation statistics, or
        where the encoding says. To keep the metrics takes half a kilobyte a generation.

        Raises:
            UserError: if they do not go together, or do not fit into memory.
        """
        build.set_up_jax(config)
        self.devices = sharding.select(config.devices)
        observation = None
        if start and config.names["normalization"] in ("constant", "running"):
            observation = genome_file.statistics(start.arrays)
        self.parts = build.build_parts(config, observation=observation)
        self._first = build.first_genome(self.parts, start) if start else None
        self.config = build.resolve_auto(config, self.parts)
        self.path = path
        shared = sharding.memory(self.devices)
        self.memory = memory.check(self.config, self.parts, *shared)
        self.engine = build.build_engine(self.config, self.parts, self.devices)
        self.metrics: list[dict[str, Any]] = []
        self._keep_metrics = keep_metrics
        self.collapse = measures.Collapse()
        self.best_generation: int | None = None
        self.progress = Progress()
        self.summary: dict[str, Any] = {}
        self.signal: int | None = None
        self.notes: list[str] = []
        # Evaluations draw from a key of their own: none that the search ever sees.
        keys = jax.random.split(jax.random.key(config.settings.seed))
        self._search_key, self._evaluation_key = keys
        self.state: engine.State | None = None

    def initialize(self, directory: RunDirectory | None = None) -> None:
        """Start at generation 0, or at the newest checkpoint in `directory`."""
        self.state = self.engine.init(self._search_key, self._first)
        described = self.config.to_dict()
        restored = processes.from_main(
            lambda: directory and directory.restore(self.state, described)
        )
        if restored:
            arrays, counters, self.notes = restored
            self.state = runs.from_host(arrays, self.state)
            self.progress = Progress(**counters)
        rows = processes.from_main(
            lambda: directory.trim_metrics(self.generation) if directory else []
        )
        if missing := self.generation - len(rows):
            self.notes.append(f"{runs.METRICS} lacks {missing} generations")
        self.take_in(rows)

    def take_in(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take in the metrics of further generations."""
        if self._keep_metrics:
            self.metrics += rows
        for row in rows:
            center_return = row.get("center_return")
            self.collapse.update(center_return, row.get("fitness_std"))
            if center_return is not None and center_return == self.collapse.best:
                self.best_generation = row["generation"]  # among equals the later

    @property
    def generation(self) -> int:
        """Generations completed."""
        return int(self.state.generation)

    @property
    def center(self) -> Solution:
        """The strategy's present center."""
        return self._solution(self.engine.center(self.state))

    @property
    def best(self) -> Solution:
        """The center with the best held-out return so far."""
        return self._solution(self.state.best)

    def _solution(self, answer: engine.Answer) -> Solution:
        key = self._evaluation_key
        return Solution(self.config, self.parts, self.engine, answer, key)

    @property
    def genome(self) -> Any:
        """The genome of the strategy's present center."""
        return self.center.genome

    def decode(self, seed: int = 0) -> Any:
        """Return the parameters of a fresh policy decoded from the present center."""
        return self.center.decode(seed)

    def evaluate(self, policies: int = 8, episodes: int = 8, *, seed: int = 0) -> dict:
        """Return the held-out result of the present center; see `Solution.evaluate`."""
        return self.center.evaluate(policies, episodes, seed=seed)


def train(
    run: Run,
    directory: RunDirectory | None = None,
    *,
    display: Callable[[Header], Display] | None = None,
    stop: Callable[[], int | None] = lambda: None,
    callback: Callable[[Mapping[str, Any]], None] | None = None,
    recorder: Recorder | None = None,
    debug_nans: bool = False,
) -> None:
    """Run generations until a limit of the configuration is met; fill `run.summary`.

    Args:
        run: an initialized run.
        directory: where metrics, checkpoints and results go, if anywhere.
        display: makes what shows the run, if anything does.
        stop: asked after every compiled call; returns the signal that ends the run
            there, if any.
        callback: called with the metrics of each generation.
        recorder: the open loggers, if there are any.
        debug_nans: end at the first value that is not finite, and find it.

    Raises:
        UserError: if the strategy has diverged, or for `debug_nans`; what was written
            before stays the latest checkpoint.
    """
    settings, progress = run.config.settings, run.progress
    began = time.monotonic() - progress.seconds
    pace = _Pace(settings)
    show = display(header(run)) if display else _Silent()
    recorder = recorder or Recorder()

    def warn(problems: Sequence[str]) -> None:
        for problem in problems:
            show.note(problem, warning=True)

    def advance(generations: int) -> list[dict[str, Any]]:
        limits = _limits(settings, progress, generations)
        before = run.state
        run.state, done, log = run.engine.advance(before, limits)
        _check_finite(run, before, int(done), log, debug_nans)
        now = time.monotonic() - began
        rows = _rows(run, int(done), log, now)
        progress.seconds = now
        progress.env_steps = rows[-1]["env_steps"] if rows else progress.env_steps
        return rows

    def checkpoint() -> None:
        facts = (dataclasses.asdict(progress), run.config.to_dict())
        directory.save(run.state, *facts, run.collapse.last)
        directory.save_genomes(run.center, run.best)

    def decide(signals: Sequence[int | None]) -> list[Any]:
        """Return why the run ends here, if it does, or how far it goes on."""
        signal = next(filter(None, signals), None)
        reason = _limit_reached(run) or (INTERRUPTED if signal else None)
        return [reason, signal, pace.generations(run.generation)]

    with show:
        warn([*(run.notes if processes.is_main() else ()), *recorder.catch_up()])
        show.compiling("the generation")
        before = progress.seconds
        advance(0)  # compiles without running anything
        progress.compile_seconds += progress.seconds - before

        while True:
            # Clocks and signals differ between processes.
            reason, run.signal, generations = processes.agree(decide, stop())
            if reason:
                break
            before = progress.seconds
            rows = advance(generations)
            pace.measure(len(rows), progress.seconds - before)
            run.take_in(rows)
            if directory:
                directory.append_metrics(rows)
            warn(recorder.update(rows))
            if directory and directory.due(run.generation):
                checkpoint()
            show.update(rows)
            for row in rows if callback else ():
                callback(row)
        if directory:
            checkpoint()

        results = {}
        if reason != INTERRUPTED and settings.final_policies:
            show.compiling("the final evaluation")
            shape = {
                "policies": settings.final_policies,
                "episodes": settings.final_episodes,
            }
            for name, solution in (("final", run.center), ("best", run.best)):
                results[name] = solution.evaluate(**shape)
            progress.seconds = time.monotonic() - began
        run.summary = _summary(run, results, reason)
        if reason != INTERRUPTED:
            if directory:
                directory.write_summary(run.summary)
            warn(recorder.finish(run.summary))


def _check_finite(
    run: Run, before: engine.State, done: int, log: engine.Report, debug_nans: bool
) -> None:
    """Raise a `UserError` if `done` generations since `before` broke the strategy.

    For `debug_nans`, if they broke anything at all.
    """
    failed = (np.asarray(log.failures[:done]) > 0) & debug_nans
    failed = np.flatnonzero(np.asarray(log.diverged[:done]) | failed)
    if not len(failed):
        return
    if debug_nans:
        limits = _limits(run.config.settings, Progress(), int(failed[0]))
        state, _, _ = run.engine.advance(before, limits)
        raise UserError(debugging.explain(run.config.settings, run.parts, state))
    raise UserError(
        f"strategy {run.config.names['strategy']} has diverged: in generation "
        f"{int(before.generation) + failed[0] + 1} all of its candidates or its new "
        "center are not finite; expected a smaller std or learning rate of it, or a "
        "bounded fitness (--debug-nans finds the first value that is not finite)"
    )


def launch(
    config: Config,
    path: Path | None = None,
    *,
    start: GenomeFile | None = None,
    resume: bool = False,
    debug_nans: bool = False,
    keep_metrics: bool = True,
    leave: Callable[[int], None] | None = None,
    loggers: Mapping[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Train the run that `config` describes, in `path` if given; return it.

    `start` is a genome to begin with. `resume` continues from the newest checkpoint in
    `path`. A second signal interrupts the main thread, once no compiled program runs in
    it, and calls `leave` at once: see `interruptible`. `loggers` are those made in
    Python, besides the configured ones. Further options are those of `train`. Nothing
    is written before the parts have been built.

    Raises:
        UserError: if the parts do not go together, or `path` is not fit for the run.
    """

    def describe() -> None:
        directory.write_config(run.config.to_dict())
        directory.write_environment(sharding.describe(run.devices))

    with contextlib.ExitStack() as stack:
        stack.enter_context(processes.together())
        if path and not resume:
            processes.from_main(lambda: runs.check_new(path))
        if resume:
            start = _read_start(path)
        run = Run(config, path, start, keep_metrics)
        loggers = {**config.loggers, **(loggers or {})}
        processes.from_main(lambda: recording.check(loggers, path))
        stop = stack.enter_context(interruptible(leave))
        directory = None
        if path and processes.is_main():
            directory = stack.enter_context(
                RunDirectory(path, config.settings.checkpoint, new=not resume)
            )
        if directory and not resume:
            if start:
                directory.write_start(start)
            describe()  # from here on the run can be resumed
        run.initialize(directory)
        if directory and resume:  # one that could not be restored keeps what it had
            describe()
        if processes.is_main():
            options["recorder"] = stack.enter_context(_open(run, loggers))
        options = options if processes.is_main() else {}
        train(run, directory, stop=stop, debug_nans=debug_nans, **options)
    return run


def _open(run: Run, loggers: Mapping[str, Any]) -> Recorder:
    """Return the open `loggers` of a run, options by name."""
    names = run.config.names
    name = run.path.name if run.path else f"{names['env']}-{names['encoding']}"
    return Recorder(loggers, run.path, run.config.to_dict(), name)


def _read_start(path: Path) -> GenomeFile | None:
    """Return the genome that the run in `path` started at, if it was given one."""

    def read():
        if (path / runs.START).exists():
            file = genome_file.load(path / runs.START)
            return [file.arrays, dict(file.meta)]

    found = processes.from_main(read)
    return found and GenomeFile(path / runs.START, *found)


def _limit_reached(run: Run) -> str | None:
    """Return the name of the limit that the run has reached, if any."""
    settings, progress = run.config.settings, run.progress
    counters = {
        "generations": (run.generation, settings.generations),
        "environment steps": (progress.env_steps, settings.max_env_steps),
        "time": (progress.seconds, settings.max_seconds),
    }
    for name, (count, limit) in counters.items():
        if limit is not None and count >= limit:
            return name
    return "target" if int(run.state.streak) >= engine.TARGET_STREAK else None


def _limits(settings: Any, progress: Progress, generations: int) -> engine.Limits:
    """Return the limits of one compiled call."""
    steps = _INT32_MAX
    if settings.max_env_steps is not None:
        steps = min(steps, max(settings.max_env_steps - progress.env_steps, 0))
    target = np.inf if settings.target is None else settings.target
    return engine.Limits(np.int32(generations), np.int32(steps), np.float32(target))


class _Pace:
    """How many generations to run in one call: about a second's worth.

    It affects no result, only how often the host sees one.
    """

    def __init__(self, settings: Any):
        self._settings = settings
        self._next = 1

    def generations(self, generation: int) -> int:
        bounds = [self._next, engine.LOG_SIZE]
        if self._settings.generations is not None:
            bounds.append(self._settings.generations - generation)
        if every := self._settings.checkpoint.every_generations:
            bounds.append(every - generation % every)
        return min(bounds)

    def measure(self, generations: int, seconds: float) -> None:
        affordable = _SEGMENT_SECONDS * generations / max(seconds, 1e-6)
        self._next = max(1, min(int(affordable), 2 * self._next))


def _rows(run: Run, done: int, log: engine.Report, now: float) -> list[dict[str, Any]]:
    """Return the metrics of the generations of one compiled call."""
    log = jax.tree.map(lambda x: np.asarray(x)[:done], log)
    first = run.generation - done
    steps = run.progress.env_steps + np.cumsum(log.steps, dtype=np.int64)
    seconds = np.linspace(run.progress.seconds, now, done + 1)[1:]
    rows = []
    for i in range(done):
        row = {
            "generation": first + i + 1,
            "env_steps": int(steps[i]),
            "seconds": round(float(seconds[i]), 3),
            "fitness_mean": float(log.fitness_mean[i]),
            "fitness_std": float(log.fitness_std[i]),
            "fitness_max": float(log.fitness_max[i]),
            "failures": int(log.failures[i]),
        }
        if np.isfinite(log.center_return[i]):
            row["center_return"] = float(log.center_return[i])
        rows.append(jsonable(row))
    return rows


def _summary(
    run: Run, results: Mapping[str, Mapping[str, Any]], stopped_by: str
) -> dict[str, Any]:
    """Return what ``summary.json`` holds."""
    figures = {
        f"{name}_{key}": value
        for name, result in results.items()
        for key, value in result.items()
        if key.startswith("return")
    }
    return figures | {
        "env": run.config.names["env"],
        "best_generation": run.best_generation,
        "collapsed": bool(run.collapse),
        "generations": run.generation,
        "env_steps": run.progress.env_steps,
        "seconds": round(run.progress.seconds, 3),
        "compile_seconds": round(run.progress.compile_seconds, 3),
        "peak_memory_bytes": _peak_memory(),
        "stopped_by": stopped_by,
        "run_dir": str(run.path) if run.path else None,
    }


def _peak_memory() -> int:
    """Return the largest resident memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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
        genome_size=build.count(build.shapes(run.parts.encoding.init)),
        parameters=build.count(build.shapes(run.parts.policy.init)),
        devices=sharding.describe(run.devices),
        memory=run.memory,
        run_dir=str(run.path) if run.path else None,
        **{limit: getattr(settings, limit) for limit in limits},
    )


class _Silent(contextlib.nullcontext):
    """A display that shows nothing but warnings, as Python does."""

    def compiling(self, what: str) -> None:
        """Show nothing."""

    def update(self, rows: Any) -> None:
        """Show nothing."""

    def note(self, message: str, warning: bool = False) -> None:
        """Show a warning."""
        if warning:
            warnings.warn(message, stacklevel=2)


@contextlib.contextmanager
def interruptible(
    leave: Callable[[int], None] | None = None,
) -> Iterator[Callable[[], int | None]]:
    """Let SIGINT and SIGTERM ask for an orderly end; a second one ends at once.

    Yields a function that returns the signal received, or None. The second signal
    raises a KeyboardInterrupt in the main thread, with its number. As Python waits with
    that until a compiled program ends, `leave` is called with the number at once, in
    another thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    received: list[int] = []
    repeated: list[int] = []

    def handle(number, frame):
        if repeated:
            raise KeyboardInterrupt(repeated.pop())

    def watch():
        first = None
        for number in iter(lambda: reader.recv(1), b""):
            number, now = number[0], time.monotonic()
            if number not in before:
                continue
            if first is None:
                first = now
                received.append(number)
                if processes.is_main():
                    print(_STOPPING, file=sys.stderr, flush=True)
            elif now - first > _ONE_SIGNAL:
                repeated.append(number)
                _thread.interrupt_main(number)
                if leave:
                    leave(number)
                return

    # Python's own handlers wait for compiled programs; what it writes here does not.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    threading.Thread(target=watch, name="signals", daemon=True).start()
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        writer.close()


_ONE_SIGNAL = 0.5  # seconds in which a signal may arrive twice: `timeout` sends two
_STOPPING = (
    "neuroevo: finishing the generation that runs, then a checkpoint; once more to "
    "stop at once"
)
