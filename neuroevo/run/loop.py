"""The run loop: generations until a limit, with the disk and the display kept up."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from neuroevo import multihost
from neuroevo.core import engine
from neuroevo.errors import UserError
from neuroevo.run import debugging, results
from neuroevo.run.events import Display, Header, Silent
from neuroevo.run.recorder import Recorder
from neuroevo.run.run import Counters, Run
from neuroevo.store.directory import RunDirectory

INTERRUPTED = "interrupted"
_INT32_MAX = np.iinfo(np.int32).max
_CALL_SECONDS = 1.0  # how long the host aims to be away from the display


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

    The best center is the one with the best held-out return during the run or, if the
    final evaluation finds it to be no worse than that one, the last center.

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
            before stays the latest checkpoint. If no candidate of any generation had a
            finite return; there are no results then.
    """
    show = display(results.header(run)) if display else Silent()
    session = _Session(run, directory, show, recorder or Recorder(), debug_nans)
    with show:
        session.begin()
        while True:
            # Clocks and signals differ between processes.
            reason, run.signal, generations = multihost.agree(session.decide, stop())
            if reason:
                break
            rows = session.advance(generations)
            session.report(rows)
            if callback:
                for row in rows:
                    callback(row)
        session.end(reason)


class _Session:
    """One process' work on a run: from where it stands to a limit or a signal."""

    def __init__(
        self,
        run: Run,
        directory: RunDirectory | None,
        show: Display,
        recorder: Recorder,
        debug_nans: bool,
    ):
        self.run, self.directory, self.show = run, directory, show
        self.recorder, self.debug_nans = recorder, debug_nans
        self.pace = _Pace(run.config.settings)
        self.began = time.monotonic() - run.counters.seconds

    def begin(self) -> None:
        """Say what is remarkable about how the run was restored, and compile it."""
        self.warn(self.run.notes if multihost.is_main() else ())
        self.warn(self.recorder.catch_up())
        self.show.compiling("the generation")
        before = self.run.counters.seconds
        self.compute(0)  # compiles without running anything
        self.run.counters.compile_seconds += self.run.counters.seconds - before

    def decide(self, signals: Sequence[int | None]) -> list[Any]:
        """Return why the run ends here, if it does, or how far it goes on."""
        signal = next(filter(None, signals), None)
        reason = limit_reached(self.run) or (INTERRUPTED if signal else None)
        return [reason, signal, self.pace.generations(self.run.generation)]

    def advance(self, generations: int) -> list[dict[str, Any]]:
        """Run at most so many generations, and return their metrics."""
        before = self.run.counters.seconds
        rows = self.compute(generations)
        self.pace.measure(len(rows), self.run.counters.seconds - before)
        return rows

    def compute(self, generations: int) -> list[dict[str, Any]]:
        """Call the compiled program for so many generations."""
        run = self.run
        limits = call_limits(run.config.settings, run.counters, generations)
        before = run.state
        run.state, done, log = run.engine.advance(before, limits)
        _check_finite(run, before, int(done), log, self.debug_nans)
        now = time.monotonic() - self.began
        rows = results.metrics(run, int(done), log, now)
        run.counters.seconds = now
        if rows:
            run.counters.env_steps = rows[-1]["env_steps"]
        return rows

    def report(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the metrics of further generations, and show them."""
        self.run.take_in(rows)
        if self.directory:
            self.directory.append_metrics(rows)
        self.warn(self.recorder.update(rows))
        if self.directory and self.directory.due(self.run.generation):
            self.checkpoint(self.directory)
        self.show.update(rows)
        self.warn(self.run.watch.news())

    def checkpoint(self, directory: RunDirectory) -> None:
        """Write all that a later session needs."""
        run = self.run
        facts = (dataclasses.asdict(run.counters), run.config.to_dict())
        directory.save(run.state, *facts, run.collapse.last)
        directory.save_genomes(run.center, run.best)

    def end(self, reason: str) -> None:
        """Write the last checkpoint and, unless interrupted, the results."""
        run, directory = self.run, self.directory
        if directory:
            self.checkpoint(directory)
        if reason == INTERRUPTED:
            run.summary = results.summary(run, {}, reason)
            return
        if 0 < run.generation == run.watch.failed:
            raise UserError(f"nothing was learned: {run.watch.failures()}")
        evaluations = self.evaluate() if run.config.settings.final_policies else {}
        if directory:
            directory.save_genomes(run.center, run.best)
        run.summary = results.summary(run, evaluations, reason)
        if directory:
            directory.write_summary(run.summary)
        self.warn(self.recorder.finish(run.summary))

    def evaluate(self) -> dict[str, dict[str, Any]]:
        """Evaluate the last center and the best one, which may be the last after it."""
        run, settings = self.run, self.run.config.settings
        self.show.compiling("the final evaluation")
        shape = (settings.final_policies, settings.final_episodes)
        centers = (run.center, run.best)
        final, best = (c.evaluate(*shape, seed=settings.seed) for c in centers)
        worse = final["return_mean"] < best["return_mean"]
        if np.isfinite(final["return_mean"]) and not worse:
            run.choose_center()
            best = final
        run.counters.seconds = time.monotonic() - self.began
        return {"final": final, "best": best}

    def warn(self, problems: Sequence[str]) -> None:
        """Show what went wrong without ending the run."""
        for problem in problems:
            self.show.note(problem, warning=True)


def _check_finite(
    run: Run, before: engine.State, done: int, log: engine.Report, debug_nans: bool
) -> None:
    """Raise a `UserError` if `done` generations since `before` broke the strategy.

    For `debug_nans`, if they broke anything at all.
    """
    failed = (np.asarray(log.failures[:done]) > 0) & debug_nans
    indices = np.flatnonzero(np.asarray(log.diverged[:done]) | failed)
    if not len(indices):
        return
    if debug_nans:
        limits = call_limits(run.config.settings, Counters(), int(indices[0]))
        state, _, _ = run.engine.advance(before, limits)
        raise UserError(debugging.explain(run.config.settings, run.parts, state))
    raise UserError(
        f"strategy {run.config.names['strategy']} has diverged: in generation "
        f"{int(before.generation) + indices[0] + 1} all of its candidates or its new "
        "center are not finite; expected a smaller std or learning rate of it, or a "
        "bounded fitness (--debug-nans finds the first value that is not finite)"
    )


def limit_reached(run: Run) -> str | None:
    """Return the name of the limit that the run has reached, if any."""
    settings, counters = run.config.settings, run.counters
    used = {
        "generations": (run.generation, settings.generations),
        "environment steps": (counters.env_steps, settings.max_env_steps),
        "time": (counters.seconds, settings.max_seconds),
    }
    for name, (amount, limit) in used.items():
        if limit is not None and amount >= limit:
            return name
    return "target" if int(run.state.streak) >= engine.TARGET_STREAK else None


def call_limits(settings: Any, counters: Counters, generations: int) -> engine.Budget:
    """Return the limits of one compiled call of so many generations."""
    steps = _INT32_MAX
    if settings.max_env_steps is not None:
        steps = min(steps, max(settings.max_env_steps - counters.env_steps, 0))
    target = np.inf if settings.target is None else settings.target
    return engine.Budget(jnp.int32(generations), jnp.int32(steps), jnp.float32(target))


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
        affordable = _CALL_SECONDS * generations / max(seconds, 1e-6)
        self._next = max(1, min(int(affordable), 2 * self._next))
