"""Optional attributes of a part's options besides ``build``, with their defaults.

To use a trait, define an attribute of its name on the options' class or object; no base
class is needed.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from neuroevo.spaces import Spec
from neuroevo.types import Array, EnvState


class FitTo(Protocol):
    """Return an encoding's options, adjusted to a genome file.

    Args:
        arrays: the arrays of the file, by name.
        spec: the spec for which the genome is decoded, if known.

    Raises:
        UserError: if the arrays are not a genome of the encoding, or do not fit `spec`.
    """

    def __call__(
        self, arrays: Mapping[str, Any], spec: Spec | None = None, /
    ) -> Any: ...


class Draw(Protocol):
    """Draw one observation, a numpy array, into matplotlib `axes`.

    Returns:
        Arrows ``(start, by)``, both (x, y) in the coordinates of the axes, that show
        where things will be a moment later; or None for no arrows.
    """

    def __call__(
        self, axes: Any, observation: Any, /
    ) -> Sequence[tuple[Any, Any]] | None: ...


class CheckLogger(Protocol):
    """Raise a `UserError` if a run in `path` (None: no directory) cannot be logged."""

    def __call__(self, path: Path | None, /) -> None: ...


class Bodies(NamedTuple):
    """The rigid bodies of an environment, for drawing.

    Attributes:
        model: a ``mujoco.MjModel`` with the shapes of the bodies.
        coordinates: returns the generalized coordinates of one state or several states
            of the environment in MuJoCo's order: (…, nq), in m and rad.
        pose: returns the coordinates (nq,) for an observation, with zeros for those
            that it does not contain; None if an observation does not determine the
            pose.
        seconds: duration of an environment step in seconds of simulated time.
    """

    model: Any
    coordinates: Callable[[EnvState], Array]
    pose: Callable[[Any], Any] | None  # (*observation,) -> (nq,), of numpy
    seconds: float


@dataclasses.dataclass(frozen=True)
class PartTraits:
    """Optional attributes of any part's options.

    Attributes:
        name: name of a part made in Python; None for the name of its class.
        suggests: defaults for other options of a run (``{"population": 64}``).
        settled: returns the options with which results are measured and saved, if not
            those of the search, in which something may vary from policy to policy.
    """

    name: str | None = None
    suggests: Mapping[str, object] = dataclasses.field(default_factory=dict)
    settled: Callable[[], Any] | None = None


@dataclasses.dataclass(frozen=True)
class EnvironmentTraits(PartTraits):
    """Optional attributes of an environment's options.

    Attributes:
        slow: whether a step is as expensive as in a physics engine.
        features: names of the features in an observation, along its last axis.
        actions: names of the actions, or of the numbers in one.
        draw: draws an observation.
        bodies: returns the rigid bodies to draw.
        measures: returns what can describe an episode besides what it shows, by name:
            see `neuroevo.environments.descriptors.Measure`.
    """

    slow: bool = False
    features: tuple[str, ...] | None = None
    actions: tuple[str, ...] | None = None
    draw: Draw | None = None
    bodies: Callable[[], Bodies] | None = None
    measures: Callable[[], Mapping[str, Any]] | None = None


@dataclasses.dataclass(frozen=True)
class EncodingTraits(PartTraits):
    """Optional attributes of an encoding's options.

    Attributes:
        fit_to: adjusts the options to a genome file; by default they stay as they are.
        init_from: how the search starts from the rows of a run. If it is not None,
            ``build`` gets them as `rows`, with observations as policies see them.
    """

    fit_to: FitTo | None = None
    init_from: str | None = None


@dataclasses.dataclass(frozen=True)
class StrategyTraits(PartTraits):
    """Optional attributes of a strategy's options.

    Attributes:
        learns_from_rows: whether ``build`` takes a `types.OuterLoss` as well.
        needs_descriptor: whether ``build`` takes the task's `types.Descriptor` as well.
    """

    learns_from_rows: bool = False
    needs_descriptor: bool = False


@dataclasses.dataclass(frozen=True)
class NormalizationTraits(PartTraits):
    """Optional attributes of a normalization's options.

    Attributes:
        var_floor: the smallest variance to divide by, in squared observation units.
    """

    var_floor: float = 0.0


@dataclasses.dataclass(frozen=True)
class LoggerTraits(PartTraits):
    """Optional attributes of a logger's options.

    Attributes:
        check: checks that a run can be logged, before it starts.
    """

    check: CheckLogger = lambda path: None


Traits = TypeVar("Traits", bound=PartTraits)


def traits(kind: type[Traits], options: Any) -> Traits:
    """Return the traits of `kind` that a part's `options`, or their class, have.

    Example:
        >>> class Maze:
        ...     actions = ("left", "right")
        ...
        >>> traits(EnvironmentTraits, Maze()).actions
        ('left', 'right')
        >>> traits(EnvironmentTraits, Maze()).slow
        False
    """
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{n: getattr(options, n) for n in names if hasattr(options, n)})
