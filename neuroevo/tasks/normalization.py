"""Observation normalization: turns an observation into what a policy sees.

A normalizer divides its work between two places. The *task state* is shared by all
policies of a generation and changes only in `update`, between generations. The *carry*
belongs to one evaluation (the E parallel episodes of one policy) and changes at every
step. Modes that need neither leave them empty and cost nothing.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt
from jax.typing import ArrayLike

from neuroevo.errors import UserError
from neuroevo.store import npz
from neuroevo.types import Array, Stats, TaskState

Carry = Any  # pytree of arrays: what one evaluation has gathered so far
WarmUp = Callable[["Normalizer", int], Stats]


class Normalizer(NamedTuple):
    """Pure functions over batches of E observations, one for each parallel episode.

    `init` is given ``warm_up(normalizer, episodes)``, which rolls out uniformly random
    actions and returns the statistics that `normalizer` gathers.
    """

    init: Callable[[WarmUp], TaskState]
    start: Callable[[TaskState], Carry]
    observe: Callable[[TaskState, Carry, Array, Array], Carry]  # obs (E, …), alive (E,)
    apply: Callable[[TaskState, Carry, Array], Array]
    stats: Callable[[Carry], Stats]  # summable over evaluations
    update: Callable[[TaskState, Stats], TaskState]
    constants: Callable[[TaskState], Mapping[str, Array]]
    per_episode: bool = False  # whether `apply` depends on the carry


class Moments(NamedTuple):
    """Mean and variance of observations."""

    count: Array  # type: ignore[assignment]  # () float; a tuple has a method count
    mean: Array  # observation's shape
    var: Array  # observation's shape


class Sums(NamedTuple):
    """Summable statistics about a fixed `shift`, the mean known beforehand."""

    count: Array  # type: ignore[assignment]  # () float; a tuple has a method count
    total: Array  # sum of (observation - shift)
    squares: Array  # sum of (observation - shift)^2


@dataclasses.dataclass(frozen=True)
class NoNormalization:
    """Observations as the environment gives them."""

    def build(self, shape: tuple[int, ...]) -> Normalizer:
        """Return the identity, at no cost."""
        return _IDENTITY


@dataclasses.dataclass(frozen=True)
class _Standardized:
    """Options of statistics that stay the same throughout a generation."""

    var_floor: Annotated[float, Ge(0)] = 1e-6
    """Smallest variance to divide by, in squared observation units."""
    clip: Annotated[float, Gt(0)] | None = 10.0
    """Bound on normalized observations; None for no bound."""

    def _apply(self, moments: Moments, carry: Carry, observation: Array) -> Array:
        var = jnp.maximum(moments.var, self.var_floor)
        return _clip((observation - moments.mean) / jnp.sqrt(var), self.clip)


@dataclasses.dataclass(frozen=True)
class Constant(_Standardized):
    """A mean and a variance that never change: given, or estimated beforehand.

    Without a file, they are estimated from episodes with uniformly random actions when
    the run starts, and are stored in its genome files. A dimension with an estimated
    variance below `var_floor` is centered but not scaled, so that it does not become
    huge when a better policy makes it vary.
    """

    file: str | None = None
    """An .npz file with obs_mean and obs_var, such as a genome file."""
    warmup_episodes: Annotated[int, Ge(1)] = 32
    """Number of random episodes for the estimate, if there is no file."""

    def build(
        self,
        shape: tuple[int, ...],
        obs_mean: ArrayLike | None = None,
        obs_var: ArrayLike | None = None,
    ) -> Normalizer:
        """Return the normalizer.

        Args:
            shape: shape of one observation.
            obs_mean: mean of the observations; takes precedence over `file`.
            obs_var: their variance, in squared observation units.

        Raises:
            UserError: if the file or the given arrays do not fit.
        """
        if obs_mean is None and obs_var is None and self.file is not None:
            obs_mean, obs_var = _load(self.file)
        given = _given(shape, obs_mean, obs_var)

        def init(warm_up: WarmUp) -> Moments:
            if given is not None:
                return _known(given)
            # About their own mean: squares about zero would cancel far away from it.
            gather = _IDENTITY._replace(
                start=lambda state: _unknown(shape),
                observe=lambda state, carry, observation, alive: _observe(
                    carry, observation, alive & _sane(observation)
                ),
                stats=lambda carry: carry,
            )
            estimated = warm_up(gather, self.warmup_episodes)
            dead = estimated.var < self.var_floor
            return estimated._replace(var=jnp.where(dead, 1.0, estimated.var))

        return _IDENTITY._replace(init=init, apply=self._apply, constants=_export)


@dataclasses.dataclass(frozen=True)
class Running(_Standardized):
    """Statistics of all observations of the population so far.

    As in "Evolution Strategies as a Scalable Alternative to Reinforcement Learning"
    (Salimans et al., 2017; arXiv 1703.03864): every policy of a generation is
    evaluated with the same statistics, and all their observations are merged into them
    afterward. The first generation uses mean 0 and variance 1 unless others are given.
    """

    def build(
        self,
        shape: tuple[int, ...],
        obs_mean: ArrayLike | None = None,
        obs_var: ArrayLike | None = None,
    ) -> Normalizer:
        """Return the normalizer.

        Args:
            shape: shape of one observation.
            obs_mean: initial mean of the observations, for example from a genome file.
            obs_var: their initial variance, in squared observation units.

        Raises:
            UserError: if the given arrays do not fit.
        """
        given = _given(shape, obs_mean, obs_var)

        def init(warm_up: WarmUp) -> Moments:
            return _unknown(shape) if given is None else _known(given)

        def observe(state: Moments, carry: Sums, observation, alive) -> Sums:
            deviation = observation - state.mean
            counted = alive & _sane(deviation)
            deviation = jnp.where(_expand(counted, deviation.ndim), deviation, 0.0)
            return Sums(
                count=carry.count + counted.sum(),
                total=carry.total + deviation.sum(0),
                squares=carry.squares + jnp.square(deviation).sum(0),
            )

        return Normalizer(
            init=init,
            start=lambda state: Sums(jnp.zeros(()), jnp.zeros(shape), jnp.zeros(shape)),
            observe=observe,
            apply=self._apply,
            stats=lambda carry: carry,
            update=_merge,
            constants=_export,
        )


@dataclasses.dataclass(frozen=True)
class Episode:
    """Statistics that each evaluation starts afresh and updates at every step.

    The statistics cover the parallel episodes of one policy and start from mean 0,
    variance 1 and a count of 1e-4, as in the code published with "Behaviour
    Distillation" (Lupu et al., ICLR 2024; arXiv 2406.15042). Each observation is
    normalized with statistics that include it, so what a policy sees depends on the
    number of parallel episodes.
    """

    clip: Annotated[float, Gt(0)] | None = None
    """Bound on normalized observations; None for no bound."""

    def build(self, shape: tuple[int, ...]) -> Normalizer:
        """Return the normalizer for observations of `shape`."""

        def observe(state: tuple, carry: Moments, observation, alive) -> Moments:
            return _observe(carry, observation, alive)

        def apply(state: tuple, carry: Moments, observation: Array) -> Array:
            scaled = (observation - carry.mean) / jnp.sqrt(carry.var + 1e-8)
            return _clip(scaled, self.clip)

        return _IDENTITY._replace(
            start=lambda state: _unknown(shape)._replace(count=jnp.float32(1e-4)),
            observe=observe,
            apply=apply,
            per_episode=True,
        )


_IDENTITY = Normalizer(
    init=lambda warm_up: (),
    start=lambda state: (),
    observe=lambda state, carry, observation, alive: carry,
    apply=lambda state, carry, observation: observation,
    stats=lambda carry: (),
    update=lambda state, stats: state,
    constants=lambda state: {},
)


def _given(
    shape: tuple[int, ...], mean: ArrayLike | None, var: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return given statistics as numpy arrays, which start no backend.

    Raises:
        UserError: if one of them is missing, or they do not fit.
    """
    if mean is None and var is None:
        return None
    if mean is None or var is None:
        raise UserError("normalization needs both obs_mean and obs_var, or neither")
    return _fit(mean, shape, "obs_mean"), _fit(var, shape, "obs_var")


def _known(given: tuple[np.ndarray, np.ndarray]) -> Moments:
    """Return given statistics as moments with an unknown count."""
    mean, var = given
    return Moments(jnp.zeros(()), jnp.asarray(mean), jnp.asarray(var))


def _unknown(shape: tuple[int, ...]) -> Moments:
    return Moments(jnp.zeros(()), jnp.zeros(shape), jnp.ones(shape))


def _clip(x: Array, bound: float | None) -> Array:
    return x if bound is None else jnp.clip(x, -bound, bound)


def _sane(observations: Array) -> Array:
    """Return which observations may count.

    A diverged simulation (NaN, infinite or absurd) must not poison the statistics of
    the whole population for the rest of the run.
    """
    sane = jnp.abs(observations) < 1e8
    return sane.all(tuple(range(1, sane.ndim)))


def _observe(carry: Moments, observations: Array, counted: Array) -> Moments:
    """Merge in those of the parallel observations that are counted."""
    mask = _expand(counted, observations.ndim)
    count = counted.sum().astype(jnp.float32)
    n = jnp.maximum(count, 1.0)
    mean = jnp.where(mask, observations, 0.0).sum(0) / n
    squares = jnp.square(jnp.where(mask, observations - mean, 0.0))
    return _chan(carry, Moments(count, mean, squares.sum(0) / n))


def _merge(moments: Moments, sums: Sums) -> Moments:
    """Merge in sums about ``moments.mean``."""
    n = jnp.maximum(sums.count, 1.0)
    offset = sums.total / n
    var = jnp.maximum(sums.squares / n - jnp.square(offset), 0.0)
    return _chan(moments, Moments(sums.count, moments.mean + offset, var))


def _chan(a: Moments, b: Moments) -> Moments:
    """Return the moments of the union of two samples (Chan et al., 1979).

    Only the relative *weight* of the second sample is used, so no sum grows with the
    run, and in float32 the result stays accurate long after the count has lost its last
    digits (beyond 2^24 times the size of a generation, the statistics no longer
    change).
    """
    count = a.count + b.count
    weight = b.count / jnp.maximum(count, jnp.finfo(jnp.float32).tiny)
    delta = b.mean - a.mean
    mean = a.mean + weight * delta
    var = (1 - weight) * (a.var + weight * jnp.square(delta)) + weight * b.var
    return Moments(count, mean, var)


def _export(moments: Moments) -> Mapping[str, Array]:
    return {"obs_mean": moments.mean, "obs_var": moments.var}


def _expand(mask: Array, ndim: int) -> Array:
    """Append axes to a mask (E,) so that it broadcasts against (E, …)."""
    return jax.lax.expand_dims(mask, range(1, ndim))


def _load(file: str) -> tuple[np.ndarray, np.ndarray]:
    """Read mean and variance.

    Raises:
        UserError: if there is no such file, or if it lacks an array.
    """
    expected = "an .npz file with obs_mean and obs_var as normalization.file"
    found = npz.read(Path(file), expected)
    found.pop("meta", None)  # of a genome file
    for name in ("obs_mean", "obs_var"):
        if name not in found:
            raise UserError(
                f"normalization.file {file!r} lacks {name!r}: it holds "
                f"{', '.join(found) or 'nothing'}"
            )
    return found["obs_mean"], found["obs_var"]


def _fit(values: ArrayLike, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return `values` in an observation's shape; flattened values are accepted.

    Raises:
        UserError: if the sizes differ, or if the values are invalid.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise UserError(f"{name}: expected numbers, got {array.dtype}")
    with np.errstate(over="ignore"):  # what is too large for float32 is not finite
        array = array.astype(np.float32)
    if array.size != np.prod(shape, dtype=int):
        raise UserError(
            f"{name} has shape {array.shape}, but observations have shape {shape}"
        )
    if not np.isfinite(array).all():
        raise UserError(f"{name} has values that are not finite")
    if name == "obs_var" and (array < 0).any():
        raise UserError(f"{name} has negative values")
    return array.reshape(shape)
