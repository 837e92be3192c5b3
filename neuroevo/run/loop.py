"""The run loop: runs generations until a limit; updates the disk and the display."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo import multihost
from neuroevo.core.pace import CALL_SECONDS, Pace
from neuroevo.core.state import FOREVER, LOG_SIZE, TARGET_STREAK, Budget, Report, State
from neuroevo.core.steps import Stopped
from neuroevo.errors import EnvironmentFailure, UserError
from neuroevo.run import debugging, results, tuning
from neuroevo.run.events import Display, Header, Silent
from neuroevo.run.recorder import Recorder
from neuroevo.run.run import Counters, Run, Times
from neuroevo.solution import Solution
from neuroevo.store.directory import RunDirectory

INTERRUPTED = "interrupted"
_SLOW = 4  # seconds of a generation that is better run in several calls


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

    The best center is the one with the best held-out return during the run. The last
    center replaces it if it is at least as good in the final evaluation.

    Args:
        run: an initialized run.
        directory: directory for metrics, checkpoints and results, if any.
        display: makes the display of the run, if any.
        stop: called after every compiled call; returns a signal that ends the run, or
            None.
        callback: called with the metrics of each generation.
        recorder: the open loggers, if there are any.
        debug_nans: stop at the first value that is not finite, and find its origin.

    Raises:
        UserError: if the strategy has diverged, or at a value that `debug_nans` looks
            for; the latest checkpoint stays as it was. Also if no candidate of any
            generation had a finite return; then there are no results.
    """
    show = display(results.header(run)) if display else Silent()
    session = _Session(run, directory, show, recorder or Recorder(), debug_nans, stop)
    with show:
        session.begin()
        while True:
            # Clocks and signals differ between processes.
            reason, run.signal, *plan = multihost.agree(session.decide, stop())
            if reason:
                break
            try:
                rows = session.advance(*plan)
            except EnvironmentFailure:  # after which everything is as it was before
                if directory:
                    session.checkpoint(directory)
                raise
            session.report(rows)
            if callback:
                for row in rows:
                    callback(row)
        session.end(reason)


class _Session:
    """The work of one process on a run: from its current state to a limit or signal.

    Quick generations take place several in a compiled call, and long ones in several
    calls. What has begun of a long one is dropped when the run ends: a later session
    begins it again.
    """

    def __init__(
        self,
        run: Run,
        directory: RunDirectory | None,
        show: Display,
        recorder: Recorder,
        debug_nans: bool,
        stop: Callable[[], int | None],
    ):
        self.run, self.directory, self.show, self.stop = run, directory, show, stop
        self.recorder, self.debug_nans = recorder, debug_nans
        self.pace = _Pace(run)
        self.stepwise = tuning.is_lengthy(run.config, run.parts)
        self.long = LongGeneration(run)
        self.began = Times.now() - run.counters.times

    def begin(self) -> None:
        """Show notes about how the run was restored, and compile it."""
        self.warn(self.run.notes if multihost.is_main() else ())
        self.warn(self.recorder.catch_up())
        self.compile()

    def compile(self) -> None:
        """Compile a generation, so that its first call takes no longer than others."""
        self.show.compiling("the generation")
        counters = self.run.counters
        before = counters.times
        if self.stepwise:
            self.long.compile()
            counters.times = self.elapsed()
        else:
            self.compute(0)  # compiles without running anything
        compiling = counters.times - before
        counters.compile_seconds += compiling.seconds
        counters.compile_cpu_seconds += compiling.cpu_seconds

    def decide(self, signals: Sequence[int | None]) -> list[Any]:
        """Return why the run ends here, or else what the next call is to do."""
        signal = next(filter(None, signals), None)
        reason = limit_reached(self.run) or (INTERRUPTED if signal else None)
        stepwise = self.stepwise or self.pace.is_slow
        return [reason, signal, stepwise, self.pace.generations(self.run.generation)]

    def advance(self, stepwise: bool, generations: int) -> list[dict[str, Any]]:
        """Run some generations, or a part of one, and return new metrics."""
        if self.run.is_stuck:
            self.restart()
            stepwise, generations = self.stepwise, 1
        self.stepwise = stepwise
        if stepwise:
            return self.step()
        before = self.run.counters.seconds
        rows = self.compute(generations)
        self.pace.measure(len(rows), self.run.counters.seconds - before)
        return rows

    def restart(self) -> None:
        """Begin the search anew, perhaps with another population."""
        self.show.note(self.run.restart())
        self.pace, self.long = _Pace(self.run), LongGeneration(self.run)
        self.stepwise = tuning.is_lengthy(*self.run.attempted)
        self.compile()

    def step(self) -> list[dict[str, Any]]:
        """Run a part of a generation; return its metrics at its end."""
        share, told = self.long.step()
        if told is None:
            self.run.counters.times = self.elapsed()
            self.show.progress(share)
            return []
        return self.take(*told)

    def compute(self, generations: int) -> list[dict[str, Any]]:
        """Run at most this many generations in one call, and return their metrics."""
        run = self.run
        limits = call_limits(run.config.settings, run.counters, generations)
        return self.take(*run.engine.advance(run.state, limits))

    def take(self, state: State, done: jax.Array, log: Report) -> list[dict[str, Any]]:
        """Go on to `state`, `done` generations later, and return their metrics."""
        run, before = self.run, self.run.state
        run.state = state
        _check_finite(run, before, int(done), log, self.debug_nans)
        now = self.elapsed()
        rows = results.metrics(run, int(done), log, now)
        run.counters.times = now
        if rows:
            run.counters.env_steps = rows[-1]["env_steps"]
        return rows

    def elapsed(self) -> Times:
        """Return the time since the run began, over all its sessions."""
        return Times.now() - self.began

    def report(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write and show the metrics of new generations, if there are any."""
        if not rows:
            return
        self.run.take_in(rows)
        if self.directory:
            self.directory.append_metrics(rows)
        self.run.relabel()
        self.warn(self.recorder.update(rows))
        if self.directory and self.directory.due(self.run.generation):
            self.checkpoint(self.directory)
        self.show.update(rows)
        self.warn(self.run.watch.news())

    def checkpoint(self, directory: RunDirectory) -> None:
        """Write everything that a later session needs."""
        run = self.run
        facts = (dataclasses.asdict(run.counters), run.config.to_dict())
        directory.save(run.state, *facts, run.collapse.last)
        directory.save_genomes(run.center, run.best, run.archive)

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
        try:
            evaluations = self.evaluate() if run.config.settings.final_policies else {}
        except Stopped:  # a later session begins the evaluation again
            run.signal, run.summary = self.stop(), results.summary(run, {}, INTERRUPTED)
            return
        if directory:
            directory.save_genomes(run.center, run.best)
        run.summary = results.summary(run, evaluations, reason)
        if directory:
            directory.write_summary(run.summary)
        self.warn(self.recorder.finish(run.summary))

    def evaluate(self) -> dict[str, dict[str, Any]]:
        """Evaluate the last center and the best one, and choose the best of the two."""
        run, settings = self.run, self.run.config.settings
        self.show.compiling("the final evaluation")
        shape = (settings.final_policies, settings.final_episodes)
        centers = [self.interruptible(each) for each in (run.center, run.best)]
        final, best = (c.evaluate(*shape, seed=settings.seed) for c in centers)
        last, earlier = final["return_mean"], best["return_mean"]
        if run.parts.task.by_role:  # test data must not choose
            last, earlier = (c.validate(*shape, seed=settings.seed) for c in centers)
        if np.isfinite(last) and not last < earlier:
            run.choose_center()
            best = final
        run.counters.times = self.elapsed()
        return {"final": final, "best": best}

    def interruptible(self, solution: Solution) -> Solution:
        """Return a solution whose evaluation ends at a signal."""
        if multihost.is_distributed():  # processes would not end it at the same time
            return solution
        evaluate = functools.partial(solution.engine.evaluate, stop=self.stop)
        engine = solution.engine._replace(evaluate=evaluate)
        return dataclasses.replace(solution, engine=engine)

    def warn(self, problems: Sequence[str]) -> None:
        """Show problems that do not end the run."""
        for problem in problems:
            self.show.warn(problem)


def _check_finite(
    run: Run, before: State, done: int, log: Report, debug_nans: bool
) -> None:
    """Raise a `UserError` if the strategy diverged in `done` generations from `before`.

    With `debug_nans`, raise it at any value that is not finite.
    """
    failed = (np.asarray(log.failures[:done]) > 0) & debug_nans
    indices = np.flatnonzero(np.asarray(log.diverged[:done]) | failed)
    if not len(indices):
        return
    if debug_nans:
        state = before
        if indices[0]:
            limits = call_limits(run.config.settings, Counters(), int(indices[0]))
            state, _, _ = run.engine.advance(before, limits)
        config, parts = run.attempted
        raise UserError(debugging.explain(config.settings, parts, state))
    raise UserError(
        f"strategy {run.config.names['strategy']} has diverged: in generation "
        f"{int(before.generation) + indices[0] + 1} all of its candidates or its new "
        "center are not finite; expected a smaller std or learning rate of the "
        "strategy, or a bounded fitness (--debug-nans finds the first value that is "
        "not finite)"
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
    if int(run.state.streak) >= TARGET_STREAK:
        return "target"
    patience = settings.patience
    return "patience" if patience and int(run.state.stale) >= patience else None


def call_limits(settings: Any, counters: Counters, generations: int) -> Budget:
    """Return the limits of one compiled call of this many generations."""
    steps = FOREVER
    if settings.max_env_steps is not None:
        steps = min(steps, max(settings.max_env_steps - counters.env_steps, 0))
    target = np.inf if settings.target is None else settings.target
    return Budget(
        generations=jnp.int32(generations),
        env_steps=jnp.int32(steps),
        target=jnp.float32(target),
        patience=jnp.int32(settings.patience or FOREVER),
        restart_after=jnp.int32(settings.restart_after or FOREVER),
    )


class _Pace:
    """Chooses how many generations to run in one call: about a second's worth.

    The number does not affect results, only how often the host sees them.
    """

    def __init__(self, run: Run):
        self._settings, self._relabeling = run.config.settings, run.relabeling
        self._next = 1
        self.is_slow = False  # whether one generation needs several calls

    def generations(self, generation: int) -> int:
        bounds = [self._next, LOG_SIZE]
        if self._settings.generations is not None:
            bounds.append(self._settings.generations - generation)
        if every := self._settings.checkpoint.every_generations:
            bounds.append(every - generation % every)
        if self._relabeling:
            every = self._relabeling.every
            bounds.append(every - generation % every)
        return min(bounds)

    def measure(self, generations: int, seconds: float) -> None:
        affordable = CALL_SECONDS * generations / max(seconds, 1e-6)
        self._next = max(1, min(int(affordable), 2 * self._next))
        self.is_slow = affordable < 1 / _SLOW


class LongGeneration:
    """Runs one generation after another, each in several compiled calls."""

    def __init__(self, run: Run):
        self._run, self._steps = run, run.engine.steps
        self._pace = Pace()
        self._going: tuple[Any, Any] | None = None  # progress and work

    def compile(self) -> None:
        """Compile what a generation needs, without playing anything."""
        state = self._run.state
        progress, work = self._steps.begin(None, state)
        nothing = self._pace.allowance()._replace(seconds=np.float32(0))
        progress, _ = self._steps.play(progress, work, state, nothing)
        self._steps.finish(progress, work, state, self._target())
        self._going = progress, work

    def step(self) -> tuple[float, tuple[State, Any, Report] | None]:
        """Return the share that is done and, at the end, what `advance` returns."""
        state = self._run.state
        progress, work = self._going or self._steps.begin(None, state)
        began = time.monotonic()
        progress, played = self._steps.play(
            progress, work, state, self._pace.allowance()
        )
        self._pace.measure(played.spent, time.monotonic() - began)
        self._going = progress, work
        if not played.is_over:
            return float(np.sum(played.ended) / played.groups), None
        self._going = None
        _, (state, report) = self._steps.finish(progress, work, state, self._target())
        log = jax.tree.map(lambda x: np.asarray(x)[None], report)
        return 1.0, (state, np.int32(1), log)

    def _target(self) -> jax.Array:
        return call_limits(self._run.config.settings, self._run.counters, 1).target
