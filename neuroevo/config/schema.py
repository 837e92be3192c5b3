"""The schema of a run: its parts by name, and its settings in groups by subject.

Groups are dataclasses without nesting: YAML keys and flags stay flat. Which options
define a search, and which only say how long, where and how it is measured, is asked of
`group_of` by everything that compares runs: resume, sweeps, learning curves.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from neuroevo import registry
from neuroevo.config.ranges import Count, CountOrZero, Limit, Positive, Seed

PARTS = {
    "env": registry.envs,
    "encoding": registry.encodings,
    "policy": registry.policies,
    "normalization": registry.normalizations,
    "strategy": registry.strategies,
}
CACHE = "compilation_cache"


# What a part is if nobody names one, and what --help says of naming one.
DEFAULT_PARTS = {
    "env": "CartPole-v1",
    "encoding": "dataset",
    "policy": "mlp",
    "normalization": "none",
    "strategy": "SNES",
}
PARTS_HELP = {
    "env": "Environment (neuroevo list envs).",
    "encoding": "How a genome becomes a policy (neuroevo list encodings).",
    "policy": "Policy network (neuroevo list policies).",
    "normalization": "Observation normalization (neuroevo list normalizations).",
    "strategy": "Evolution strategy (neuroevo list strategies).",
}


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """When a run writes a checkpoint, and how many it keeps."""

    every_seconds: Positive = 60.0
    """Seconds between checkpoints."""
    every_generations: Count | None = None
    """Generations between checkpoints, besides those by time."""
    keep: Count = 3
    """Latest checkpoints kept, besides the one with the best held-out return."""


@dataclasses.dataclass(frozen=True)
class Search:
    """How wide to search; together with the parts, these options define a search."""

    TITLE: ClassVar[str] = "search"

    population: Count = 64
    """Candidates in a generation."""
    policies: Count = 1
    """Fresh policies decoded from each candidate."""
    episodes: Count = 4
    """Episodes of each policy."""
    seed: Seed = 0
    """Seed of all randomness of the run."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How thoroughly the strategy's center is measured."""

    TITLE: ClassVar[str] = "evaluation"

    center_every: Count = 5
    """Generations between held-out evaluations of the strategy's center."""
    center_policies: Count = 8
    """Fresh policies decoded from the center for such an evaluation."""
    final_policies: CountOrZero = 8
    """Fresh policies for the evaluation at the end of the run; 0 for none."""
    final_episodes: Count = 8
    """Episodes of each policy in the evaluation at the end of the run."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """When a run stops: at whichever limit comes first."""

    TITLE: ClassVar[str] = "limit"

    generations: Limit | None = 100
    """Generations to run; none for no limit."""
    max_env_steps: Limit | None = None
    """Stop after this many environment steps."""
    max_seconds: Positive | None = None
    """Stop after this many seconds, compilation included."""
    target: float | None = None
    """Stop when the center's held-out return meets this in two evaluations in a row."""


@dataclasses.dataclass(frozen=True)
class Output:
    """What a run writes besides its directory."""

    TITLE: ClassVar[str] = "output"

    log: tuple[str, ...] = ()
    """Loggers that metrics go to (neuroevo list loggers)."""


@dataclasses.dataclass(frozen=True)
class Saving:
    """What a run saves to be resumed from."""

    checkpoint: Checkpoints = dataclasses.field(default_factory=Checkpoints)


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a command uses of the machine that it runs on."""

    TITLE: ClassVar[str] = "machine"

    devices: Count | Literal["auto"] = "auto"
    """Devices of each process to use; auto for all (on a CPU, one per core)."""
    chunk: Count | Literal["auto"] = "auto"
    """Policies rolled out together; bounds memory."""
    decode_chunk: Count | Literal["auto"] = "auto"
    """Policies trained together, at most as many as are rolled out together."""
    compilation_cache: Literal["auto"] | Path | None = "auto"
    """Folder for compiled programs; auto for the user's cache folder, none for none."""


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

    The parts and their options define a search, as the settings of its group do; the
    options of loggers belong to the output. None for what is no option of a run.
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
