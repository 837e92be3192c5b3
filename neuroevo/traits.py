"""What options of a part may have besides ``build``, with what holds if they do not.

An attribute of a trait's name, on the options' class or object, is all it takes: a
package that provides a part inherits nothing.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from neuroevo.spaces import Spec
from neuroevo.types import Array, EnvState


class FitTo(Protocol):
    """Return an encoding's options, changed by what a genome file determines.

    Args:
        arrays: those of the file, by name.
        spec: what the genome is to be decoded for, if that is known.

    Raises:
        UserError: if they are no genome of the encoding, or none for `spec`.
    """

    def __call__(
        self, arrays: Mapping[str, Any], spec: Spec | None = None, /
    ) -> Any: ...


class Draw(Protocol):
    """Draw one observation, a numpy array, into matplotlib `axes`.

    Returns:
        Arrows ``(start, by)``, each of two (x, y), to where things would be a little
        later; or None if there is no more to draw.
    """

    def __call__(
        self, axes: Any, observation: Any, /
    ) -> Sequence[tuple[Any, Any]] | None: ...


class CheckLogger(Protocol):
    """Raise a `UserError` if a run in `path` cannot be logged; None is nowhere."""

    def __call__(self, path: Path | None, /) -> None: ...


class Bodies(NamedTuple):
    """The rigid bodies of an environment, for those who draw them.

    Attributes:
        model: a ``mujoco.MjModel``, with the shapes of the bodies.
        coordinates: takes a state of the environment (or many) to its generalized
            coordinates, as MuJoCo orders them: (…, nq), in m and rad.
        pose: takes an observation to the coordinates (nq,) that it shows, zero where
            it does not show the robot's place; None where it leaves the pose open.
        seconds: how long an environment step takes.
    """

    model: Any
    coordinates: Callable[[EnvState], Array]
    pose: Callable[[Any], Any] | None  # (*observation,) -> (nq,), of numpy
    seconds: float


@dataclasses.dataclass(frozen=True)
class PartTraits:
    """What options of any part may have.

    Attributes:
        name: of a part made in Python; None for the name of its class.
        suggests: defaults for other options of a run (``{"population": 64}``).
    """

    name: str | None = None
    suggests: Mapping[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class EnvironmentTraits(PartTraits):
    """What options of an environment may have.

    Attributes:
        slow: whether a step costs as much as in a physics engine.
        features: names of what is in an observation, along its last axis.
        actions: names of the actions, or of the numbers in one.
        draw: draws an observation.
        bodies: returns the rigid bodies to draw.
    """

    slow: bool = False
    features: tuple[str, ...] | None = None
    actions: tuple[str, ...] | None = None
    draw: Draw | None = None
    bodies: Callable[[], Bodies] | None = None


@dataclasses.dataclass(frozen=True)
class EncodingTraits(PartTraits):
    """What options of an encoding may have.

    Attributes:
        fit_to: makes the options fit a genome file; by default they fit any.
    """

    fit_to: FitTo | None = None


@dataclasses.dataclass(frozen=True)
class NormalizationTraits(PartTraits):
    """What options of a normalization may have.

    Attributes:
        var_floor: the smallest variance to divide by, in squared observation units.
    """

    var_floor: float = 0.0


@dataclasses.dataclass(frozen=True)
class LoggerTraits(PartTraits):
    """What options of a logger may have.

    Attributes:
        check: looks whether a run can be logged, before it starts.
    """

    check: CheckLogger = lambda path: None


Traits = TypeVar("Traits", bound=PartTraits)


def traits(kind: type[Traits], options: Any) -> Traits:
    """Return what `options`, a part's options or their class, have of `kind`.

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
