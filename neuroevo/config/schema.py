"""The schema of a run: its parts by name, and its settings in groups by subject.

Groups are flat dataclasses, so that YAML keys and flags stay flat. `group_of` says
which options define a search, and which only affect how long, where and how it is
measured. Everything that compares runs uses it: resume, sweeps and learning curves.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from typing_extensions import Doc

from neuroevo import registry
from neuroevo.config.ranges import Count, CountOrZero, Limit, Positive, Seed, Share

PARTS = {
    "env": registry.envs,
    "encoding": registry.encodings,
    "policy": registry.policies,
    "normalization": registry.normalizations,
    "strategy": registry.strategies,
}
CACHE = "compilation_cache"
Which = Literal["best", "center"]  # of a run: its best center, or the last one
CompilationCache = Annotated[
    Literal["auto"] | Path | None,
    Doc(
        "Folder for compiled programs; auto: the user's cache folder; none: keep none."
    ),
]

# The default of each part, and its line in --help.
DEFAULT_PARTS = {
    "env": "CartPole-v1",
    "encoding": "dataset",
    "policy": "mlp",
    "normalization": "none",
    "strategy": "SNES",
}
# What distill takes instead. A generation is a few seconds of gradient steps for each
# of several starts; what follows it, an episode of each of a few policies, is only to
# choose among them.
DISTILLATION = {
    "strategy": "gradients",
    "normalization": "constant",
    "encoding": {"name": "dataset", "init_from": "sample"},
    "policy": {"name": "mlp", "action": "greedy"},
    "population": 4,
    "policies": 4,
    "episodes": 1,
    "generations": 20,
}
PARTS_HELP = {
    "env": "Environment (neuroevo list envs).",
    "encoding": "How a genome becomes a policy (neuroevo list encodings).",
    "policy": "Policy network (neuroevo list policies).",
    "normalization": "Observation normalization (neuroevo list normalizations).",
    "strategy": "Evolution strategy (neuroevo list strategies).",
}


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When a run writes a checkpoint, and how many it keeps."""

    every_seconds: Positive = 60.0
    """Seconds between checkpoints."""
    every_generations: Count | None = None
    """Generations between checkpoints, in addition to those by time."""
    keep: Count = 3
    """Number of latest checkpoints to keep, in addition to the best one."""


@dataclasses.dataclass(frozen=True)
class Search:
    """Size of the search; together with the parts, these options define a search."""

    TITLE: ClassVar[str] = "search"

    population: Count = 64
    """Number of candidates in a generation."""
    policies: Count = 1
    """Number of fresh policies decoded from each candidate."""
    episodes: Count = 4
    """Number of episodes of each policy."""
    worst: Share = 1.0
    """Share of a candidate's policies, the worst ones, whose mean return is its
    fitness; 1: all."""
    episode_growth: tuple[Count, Count] | None = None
    """STEPS GENERATIONS: let the candidates' episodes grow from this many steps to the
    time limit, within this many generations; none: whole episodes from the start."""
    seed: Seed = 0
    """Seed of all randomness in the run."""
    restart_after: Count | None = None
    """Begin anew from another initial genome after this many held-out evaluations in a
    row without a better center than before; none: never."""
    restart_population: Literal["same", "ipop", "bipop"] = "same"
    """Candidates after a restart: as many as before; twice as many (IPOP); or by turns
    twice as many, and fewer that differ less (BIPOP)."""
    rows: Path | None = None
    """Examples of what to do (.npz), to start from or to imitate: see collect."""
    teacher: Path | None = None
    """Policy that labels what its students see: a genome file or a brax checkpoint."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """When and how to evaluate the strategy's center."""

    TITLE: ClassVar[str] = "evaluation"

    center_every: Count | Literal["auto"] = "auto"
    """Generations between held-out evaluations of the strategy's center; auto: 5, or,
    except in a distillation, as many as let them add at most a twentieth to the
    policies of a run."""
    center_policies: Count = 8
    """Number of fresh policies in each of these evaluations."""
    final_policies: CountOrZero = 8
    """Number of fresh policies in the final evaluation; 0: no final evaluation."""
    final_episodes: Count = 8
    """Number of episodes of each policy in the final evaluation."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """When a run stops: at whichever limit comes first."""

    TITLE: ClassVar[str] = "limit"

    generations: Limit | None = 100
    """Stop after this many generations; none: no limit."""
    max_env_steps: Limit | None = None
    """Stop after this many environment steps; none: no limit."""
    max_seconds: Positive | None = None
    """Stop after this many seconds, including compilation; none: no limit."""
    target: float | None = None
    """Stop when the held-out return reaches this in two consecutive evaluations."""
    patience: Count | None = None
    """Stop after this many held-out evaluations in a row without a new best; none:
    never."""


@dataclasses.dataclass(frozen=True)
class Output:
    """Output besides the run directory."""

    TITLE: ClassVar[str] = "output"

    log: tuple[str, ...] = ()
    """Loggers that receive the metrics (neuroevo list loggers)."""


@dataclasses.dataclass(frozen=True)
class Saving:
    """Checkpoints to resume from."""

    checkpoint: Schedule = dataclasses.field(default_factory=Schedule)


@dataclasses.dataclass(frozen=True)
class Machine:
    """Use of this machine."""

    TITLE: ClassVar[str] = "machine"

    devices: Count | Literal["auto"] = "auto"
    """Devices to use in each process; auto: all (on a CPU, one per core)."""
    chunk: Count | Literal["auto"] = "auto"
    """Number of policies that are rolled out together; limits memory."""
    decode_chunk: Count | Literal["auto"] = "auto"
    """Number of policies that are trained together, at most chunk."""
    compilation_cache: CompilationCache = "auto"


# Fields come in the order of the bases, last base first.
@dataclasses.dataclass(frozen=True)
class Settings(Machine, Saving, Output, Limits, Evaluation, Search):
    """The settings of a run, in groups by subject."""


GROUPS: Mapping[str, type] = {
    "search": Search,
    "evaluation": Evaluation,
    "limits": Limits,
    "output": Output,
    "machine": Machine,
}
_GROUP_OF = {
    field.name: group
    for group, cls in GROUPS.items()
    for field in dataclasses.fields(cls)
} | {field.name: "output" for field in dataclasses.fields(Saving)}


def group_of(option: str) -> str | None:
    """Return the group of an option, by its dotted name as in ``config.yaml``.

    Parts and their options belong to the search, options of loggers to the output. The
    result is None if a run has no such option.
    """
    first = option.partition(".")[0].replace("-", "_")
    if first in PARTS:
        return "search"
    if first in _GROUP_OF:
        return _GROUP_OF[first]
    return "output" if first in registry.loggers.names() else None


@dataclasses.dataclass(frozen=True)
class Config:
    """A resolved configuration: parts by name, their options, settings, loggers."""

    names: Mapping[str, str]
    parts: Mapping[str, Any]
    settings: Any
    loggers: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def devices(self) -> int | None:
        """The number of devices to use, or None for all."""
        devices = self.settings.devices
        return None if devices == "auto" else devices

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain nested data, ready for YAML."""
        parts = {
            part: {"name": self.names[part]} | _plain(options)
            for part, options in self.parts.items()
        }
        settings = _plain(self.settings)
        settings.pop(CACHE, None)  # a matter of this machine
        loggers = {name: _plain(logger) for name, logger in self.loggers.items()}
        return parts | settings | loggers

    def defaults(self) -> dict[str, Any]:
        """Return the defaults of the options in `to_dict`, of those that have one."""

        def of(options: Any) -> dict[str, Any]:
            described = dataclasses.is_dataclass(options)
            fields = dataclasses.fields(options) if described else ()
            found = {field.name: default_of(field) for field in fields}
            return {name: each for name, each in found.items() if each is not MISSING}

        parts = {part: of(options) for part, options in self.parts.items()}
        return parts | of(self.settings)


def default_of(field: dataclasses.Field, missing: Any = MISSING) -> Any:
    """Return the default of a field, or `missing` if it has none."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return missing if field.default is MISSING else field.default


def _plain(options: Any) -> dict[str, Any]:
    """Return a dataclass as nested mappings, lists and scalars."""
    if not dataclasses.is_dataclass(options) or isinstance(options, type):
        return {}

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return str(value) if isinstance(value, Path) else value

    return plain(dataclasses.asdict(options))
