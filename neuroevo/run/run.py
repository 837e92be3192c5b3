"""A live run: its parts, its engine, its state, and its results so far."""

import dataclasses
import functools
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from neuroevo import devices, multihost
from neuroevo.config.schema import Config, Which
from neuroevo.core import engine, keys
from neuroevo.core.state import Answer, State
from neuroevo.errors import UserError
from neuroevo.returns import Collapse
from neuroevo.run import build, checks, restarts, reuse, switches, tuning
from neuroevo.run.parts import Parts
from neuroevo.run.relabeling import make_relabeling
from neuroevo.run.restarts import Attempt
from neuroevo.run.teaching import Teacher
from neuroevo.run.watch import Watch
from neuroevo.solution import Solution, without_seeds
from neuroevo.store import archive_file, genome_file
from neuroevo.store.archive_file import ArchiveFile
from neuroevo.store.checkpoints import from_host
from neuroevo.store.directory import RunDirectory
from neuroevo.store.genome_file import GenomeFile
from neuroevo.store.metrics import METRICS
from neuroevo.types import Genome, Params


class Times(NamedTuple):
    """What a run takes: wall-clock time, and that of all threads of this process."""

    seconds: float
    cpu_seconds: float

    @classmethod
    def now(cls) -> "Times":
        """Return the present state of the clocks."""
        return cls(time.monotonic(), time.process_time())

    def __sub__(self, other: "Times") -> "Times":
        return Times(*(a - b for a, b in zip(self, other, strict=True)))


@dataclasses.dataclass
class Counters:
    """Steps and time that a run has used so far, over all its sessions."""

    env_steps: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    compile_seconds: float = 0.0
    compile_cpu_seconds: float = 0.0
    attempts: list[Attempt] = dataclasses.field(default_factory=list)

    @classmethod
    def restore(cls, saved: Mapping[str, Any]) -> "Counters":
        """Return the counters that were saved as a mapping."""
        attempts = [Attempt(**attempt) for attempt in saved.get("attempts", ())]
        return cls(**{**saved, "attempts": attempts})

    @property
    def times(self) -> Times:
        """The time so far."""
        return Times(self.seconds, self.cpu_seconds)

    @times.setter
    def times(self, times: Times) -> None:
        self.seconds, self.cpu_seconds = times


class Run:
    """A run of evolution: what `neuroevo.evolve` returns.

    Attributes:
        config: the resolved configuration.
        parts: environment, task, policy, encoding and strategy.
        path: the run's directory, or None.
        metrics: a mapping for each generation, as in ``metrics.jsonl``; empty if the
            metrics are not kept.
        counters: environment steps and seconds so far.
        memory: estimated memory of the run in bytes.
        summary: the results, as in ``summary.json``; empty before the end.
        signal: the number of the signal that asked the run to end, or None.
        collapse: whether the center has fallen far below its best.
        watch: detects candidates that no longer differ, and counts the generations in
            which no candidate had a finite return.
        best_generation: the generation in which the best center was found, or None.
        ended_before: the limit that the run had already reached before this session, so
            that there was nothing to do; or None.
        notes: messages about how the run was restored.
        relabeling: adds rows between generations, or None.

    Example:
        >>> run.generation, run.counters.env_steps > 0, run.path.name
        (2, True, 'first')
        >>> run.metrics[-1]["generation"], run.summary["stopped_by"]
        (2, 'generations')
    """

    def __init__(
        self,
        config: Config,
        path: Path | None = None,
        start: GenomeFile | None = None,
        keep_metrics: bool = True,
        teacher: Teacher | None = None,
    ):
        """Build the parts that `config` describes; nothing is compiled or written.

        The search starts from the genome in `start`, with its observation statistics
        and labels, or else from the encoding's initial genome. Keeping the metrics
        takes half a kilobyte per generation. A `teacher` made in Python replaces the
        configured one.

        Raises:
            UserError: if the parts do not fit together, or do not fit into memory.
        """
        build.set_up_jax(config)
        self.devices = devices.select(config.devices)
        key = None if start else reuse.key_of(config)
        kept = reuse.find(key)
        self.parts = kept.parts if kept else build.build_parts(config, file=start)
        self._first = build.genome_in(start, self.parts) if start else None
        if start:
            checks.check_genome(str(start.path), self._first)
        self.config = tuning.resolve_auto(config, self.parts, kept and kept.config)
        restarts.check(config)
        self._settled = build.settle(self.config, self.parts)
        export = self.parts.encoding.export
        self._export = jax.jit(export) if export else None
        self.path = path
        sharing = devices.memory(self.devices)
        self.memory = tuning.check_memory(self.config, self.parts, *sharing)
        self.engine = self._make_engine(key, self.config, self.parts)
        self._attempt = Attempt(config.settings.population)  # that `engine` is for
        self.attempted = self.config, self.parts  # with the population of the attempt
        self.relabeling = make_relabeling(self.config, self.parts, teacher)
        self.metrics: list[dict[str, Any]] = []
        self._keep_metrics = keep_metrics
        self.collapse = Collapse()
        descends = tuning.descends(config)
        self.watch = Watch(config.settings.population, selects=not descends)
        self.best_generation: int | None = None
        self._highest = -math.inf  # held-out return of the center
        self._seen = 0  # the attempt that the latest metrics belong to
        self.counters = Counters(attempts=[self._attempt])
        self._best: Answer | None = None  # if a final evaluation chose another
        self.ended_before: str | None = None
        self.summary: dict[str, Any] = {}
        self.signal: int | None = None
        self.notes: list[str] = []
        self.state: State  # from `initialize` on

    def initialize(self, directory: RunDirectory | None = None) -> None:
        """Start at generation 0, or at the newest checkpoint in `directory`."""
        search = keys.search(self.config.settings.seed)
        self.state = self.engine.init(search, self._first)
        described, usual = self.config.to_dict(), self.config.defaults()

        def like(counters: Mapping[str, Any]) -> State:
            """Return a state like that of the last attempt."""
            *_, attempt = Counters.restore(counters).attempts or [self._attempt]
            self._adapt(attempt)
            return self.engine.init(search, self._first)

        restored = multihost.from_main(
            lambda: directory and directory.restore(like, described, usual)
        )
        if restored:
            arrays, counters, self.notes = restored
            self.state = from_host(arrays, like(counters))
            self.counters = Counters.restore(counters)
        rows = multihost.from_main(
            lambda: directory.trim_metrics(self.generation) if directory else []
        )
        if missing := self.generation - len(rows):
            self.notes.append(f"{METRICS} lacks {missing} generations")
        self.take_in(rows)

    def relabel(self) -> None:
        """Let the teacher label what students of the current center see, if it is time.

        This belongs to the generation before: it comes before a checkpoint.
        """
        if self.relabeling is None or not self.relabeling.due(self.generation):
            return
        strategy, steps = self.relabeling(
            self.generation, self.state.strategy, self.state.task
        )
        self.state = self.state._replace(strategy=strategy)
        self.counters.env_steps += steps

    @property
    def is_stuck(self) -> bool:
        """Whether it is time for a restart."""
        after = getattr(self.config.settings, "restart_after", None)
        return after is not None and int(self.state.attempt.stale) >= after

    def restart(self) -> str:
        """Begin the search anew, perhaps with another population; return a message.

        If there is no memory for more candidates, or the strategy does not take their
        number, there are as many as before.
        """
        attempts, seed = self.counters.attempts, self.config.settings.seed
        attempt = restarts.following(self.config, attempts, self.generation)
        if not multihost.from_main(lambda: self._can(attempt)):
            now = self._attempt
            attempt = dataclasses.replace(
                attempt, population=now.population, std=now.std
            )
        self._adapt(attempt)
        drawn = keys.restart(seed, len(attempts))
        self.state = self.engine.restart(self.state, drawn)
        attempts.append(attempt)
        return (
            f"restart {len(attempts) - 1} after generation {self.generation}, with "
            f"{attempt.population} candidates"
        )

    def _can(self, attempt: Attempt) -> bool:
        """Return whether the strategy and the memory allow an attempt."""
        try:
            adapted = restarts.adapt(self.config, self.parts, attempt)
            tuning.check_memory(*adapted, *devices.memory(self.devices))
        except UserError:
            return False
        return True

    def _adapt(self, attempt: Attempt) -> None:
        """Make the engine one for `attempt`."""
        now = self._attempt
        if (attempt.population, attempt.std) != (now.population, now.std):
            self.attempted = restarts.adapt(self.config, self.parts, attempt)
            key = reuse.key_of(self.attempted[0]) if self._first is None else None
            self.engine = self._make_engine(key, *self.attempted)
        self._attempt = attempt

    def _make_engine(
        self, key: reuse.Key | None, config: Config, parts: Parts
    ) -> engine.Engine:
        """Return an engine, the one that was kept under `key` if there is one."""
        kept = reuse.find(key)
        made = kept.engine if kept else build.build_engine(config, parts, self.devices)
        reuse.keep(key, reuse.Kept(config, parts, made))
        return made

    def take_in(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Process the metrics of new generations."""
        for row in rows:
            center_return = row.get("center_return")
            if self._keep_metrics:
                self.metrics.append({**row, "center_return": center_return})
            if (attempt := row.get("attempt", 0)) != self._seen:
                self._seen, self.collapse = attempt, Collapse()
                self.watch.begin_again(row["population"])
            self.collapse.update(center_return, row.get("fitness_std"))
            self.watch.update(row)
            if center_return is not None and center_return >= self._highest:
                self._highest = center_return
                self.best_generation = row["generation"]  # among equals the later

    @property
    def generation(self) -> int:
        """The number of completed generations."""
        return int(self.state.generation)

    @property
    def center(self) -> Solution:
        """The strategy's current center.

        Example:
            >>> run.center.genome["states"].shape
            (2, 4)
        """
        with switches.pinned():
            return self._solution(self.engine.center(self.state), "center")

    @property
    def best(self) -> Solution:
        """The center with the best held-out return so far.

        Example:
            >>> run.best.which
            'best'
        """
        return self._solution(self._best or self.state.best, "best")

    @property
    def archive(self) -> ArchiveFile | None:
        """The elites and their descriptors, if the strategy keeps an archive.

        Example:
            >>> run.archive is None
            True
        """
        strategy, descriptor = self.parts.strategy, self.parts.task.descriptor
        if strategy is None or strategy.archive is None or descriptor is None:
            return None
        center, elites = self.center, strategy.archive.elites(self.state.strategy)
        if export := self.parts.encoding.export:
            genomes = jax.jit(jax.vmap(export))(elites.genomes)
            elites = elites._replace(genomes=genomes)
        return archive_file.collect(
            elites,
            archive_file.Grid.of(descriptor, strategy.archive),
            center.shared_arrays(),
            center.meta(),
        )

    def elite(self, *descriptor: float) -> Solution:
        """Return the elite that does nearly what a descriptor says.

        Args:
            *descriptor: one number for each dimension of the archive.

        Raises:
            UserError: if there is no such elite.
        """
        archive = self.archive
        if archive is None:
            raise archive_file.missing(self.config.names["strategy"])
        index = archive.nearest(descriptor)
        found, constants = archive.elite(index), self.parts.encoding.constants
        genome = genome_file.to_genome(found, self.genome, constants)
        answer = Answer(genome, self.state.task)
        return Solution(*self._measuring, answer, about=archive.about(index))

    @property
    def best_is_final(self) -> bool:
        """Whether the last center became the best one in the final evaluation."""
        return self._best is not None

    def choose_center(self) -> None:
        """Make the current center the best one."""
        with switches.pinned():
            self._best = self.engine.center(self.state)
        self.best_generation = self.generation

    def _solution(self, answer: Answer, which: Which) -> Solution:
        if self._export:
            answer = answer._replace(genome=self._export(answer.genome))
        return Solution(*self._measuring, answer, which)

    @functools.cached_property
    def _measuring(self) -> tuple[Config, Parts, engine.Engine]:
        """What solutions are measured with: what varies in the search does not here."""
        if self._settled is None:
            return self.config, self.parts, self.engine
        return *self._settled, build.build_engine(*self._settled, self.devices)

    @property
    def genome(self) -> Genome:
        """The genome of the best center: a pytree of arrays.

        Example:
            >>> {name: array.shape for name, array in run.genome.items()}
            {'states': (2, 4)}
        """
        return self.best.genome

    def decode(self, seed: int = 0) -> Params:
        """Return the parameters of a fresh policy, decoded from the best center.

        Args:
            seed: which of the genome's policies to return; see `Solution.decode`.

        Returns:
            A pytree of arrays, as `Policy.apply` takes it. For the last center, use
            ``run.center.decode()``.

        Example:
            >>> run.decode()["hidden_0"]["bias"].shape
            (4,)
        """
        return self.best.decode(seed)

    @without_seeds
    def evaluate(
        self, policies: int = 8, episodes: int = 8, *, seed: int | None = None
    ) -> dict[str, Any]:
        """Measure fresh policies that are decoded from the best center.

        Args:
            policies: number of policies.
            episodes: number of episodes of each policy.
            seed: seed of the policies and episodes; None draws a new one.

        Returns:
            The held-out result; see `Solution.evaluate`. For the last center, use
            ``run.center.evaluate()``.

        Example:
            >>> result = run.evaluate(policies=2, episodes=3, seed=1)
            >>> len(result["return_per_policy"]), result["seed"]
            (2, 1)
        """
        return self.best.evaluate(policies, episodes, seed=seed)
