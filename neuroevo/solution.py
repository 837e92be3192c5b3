"""A genome together with the parts that decode, evaluate and save it."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from neuroevo import multihost
from neuroevo.config import ranges
from neuroevo.config.command import DECODING
from neuroevo.config.schema import Config, Which
from neuroevo.core import keys
from neuroevo.core.acting import act_with
from neuroevo.core.engine import Engine
from neuroevo.core.state import Answer
from neuroevo.core.trees import is_finite
from neuroevo.errors import UserError
from neuroevo.progress import Role
from neuroevo.returns import summarize
from neuroevo.run import switches
from neuroevo.run.parts import Parts
from neuroevo.store import genome_file
from neuroevo.types import Actor, Genome, Outcome, Params, Trajectory

P = ParamSpec("P")
T = TypeVar("T")


def drawn(seed: int | None) -> int:
    """Return `seed`, or if it is None a new one, the same in every process.

    Raises:
        UserError: if `seed` is not a valid seed.
    """
    if seed is None:
        return multihost.from_main(keys.fresh_seed)
    return ranges.argument("seed", seed, ranges.Seed)


def without_seeds(function: Callable[P, T]) -> Callable[P, T]:
    """Refuse the argument ``seeds`` of version 0.1, with its new name."""

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        if "seeds" in kwargs:
            raise UserError("unknown argument 'seeds': expected 'policies'")
        return function(*args, **kwargs)

    return checked


@dataclasses.dataclass(frozen=True)
class Solution:
    """A genome of a run or a genome file, with its parts.

    Attributes:
        config: names and options of the parts.
        parts: the built environment, task, policy and encoding.
        engine: the engine that evaluates genomes.
        answer: the genome, and the observation statistics that belong to it.
        which: for a run, whether this is its best or its last center.
        about: further facts for the description in its file.

    Example:
        >>> solution = neuroevo.load("zoo:cartpole-d2")
        >>> {name: array.shape for name, array in solution.genome.items()}
        {'states': (2, 4)}
    """

    config: Config
    parts: Parts
    engine: Engine
    answer: Answer
    which: Which | None = None
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def genome(self) -> Genome:
        """The genome: a pytree of arrays."""
        return self.answer.genome

    @property
    def ensemble(self) -> int:
        """The number of networks whose outputs a policy averages, most often one."""
        return getattr(self.config.parts["policy"], "ensemble", 1)

    @switches.pinned()
    def decode(self, seed: int = 0) -> Params:
        """Return the parameters of a policy decoded from the genome.

        Args:
            seed: which of the genome's policies to return: the one that ``neuroevo
                render`` and ``neuroevo train-policy`` use with this seed.

        Returns:
            A pytree of arrays, as `Policy.apply` takes it.

        Example:
            >>> run.decode(seed=3)["output"]["kernel"].shape
            (4, 2)
        """
        start, decode = self._programs
        return decode(self.genome, start(keys.policy(drawn(seed))))

    @switches.pinned()
    def record(
        self,
        seed: int = 0,
        policies: int = 1,
        *,
        keep: int | None = None,
        pictures: bool = False,
    ) -> list[Trajectory]:
        """Record an episode of each of several policies, to be shown.

        Args:
            seed: seed of the first policy; the policies are those of ``decode(seed)``,
                ``decode(seed + 1)`` and so on.
            policies: number of policies.
            keep: approximate number of evenly spaced steps to keep of an episode; None
                keeps all steps. The rewards of all steps are kept.
            pictures: whether the states of the trajectories are to be pictures, if the
                environment makes any (those of Gymnasium).

        Returns:
            One trajectory for each policy.

        Raises:
            UserError: if the parameters of a policy are not finite, or if there are no
                episodes to record.

        Example:
            >>> (trajectory,) = run.best.record()
            >>> trajectory.observations.shape[1:]
            (4,)
        """
        policies = ranges.argument("policies", policies, ranges.Count)
        record = self.parts.task.record
        if record is None:
            raise UserError(
                f"env {self.config.names['env']} has no episodes to show: expected an "
                "environment"
            )
        if pictures and self.parts.task.host is not None:
            record = self.parts.task.host.picture
        record = functools.partial(record, keep=keep)
        state, first = self.answer.task, drawn(seed)
        return [
            record(self._actor, self._decode_finite(s), state, keys.recording(s))
            for s in range(first, first + policies)
        ]

    @functools.cached_property
    def _programs(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """How decoding starts, and how it goes on; always the same, see `_actor`."""
        encoding = self.parts.encoding
        return jax.jit(encoding.start), jax.jit(encoding.decode)

    @functools.cached_property
    def _actor(self) -> Actor:
        """How the policy acts; always the same one, so that it compiles once."""
        return act_with(self.parts.policy)

    @without_seeds
    @switches.pinned()
    def evaluate(
        self, policies: int = 8, episodes: int = 8, *, seed: int | None = None
    ) -> dict[str, Any]:
        """Measure fresh policies in fresh episodes.

        No search has used these policies and episodes. With the seed of a run, they are
        those of its final evaluation.

        Args:
            policies: number of policies, S.
            episodes: number of episodes of each policy, E.
            seed: seed of the policies and episodes; None draws a new one.

        Returns:
            The statistics of the returns from `neuroevo.returns.summarize`, and
            ``env``, ``episode_length_mean`` (in steps), ``truncated`` (share of the
            episodes that the time limit ended; the others ended by themselves),
            ``policies``, ``episodes`` and ``seed``. For a run, also ``which`` center
            was measured; for ensembles, also their size ``ensemble``. If an episode
            failed, also ``failures``: the number of policies without a finite return.
            If the environment has a descriptor, also its mean over all episodes by name
            as ``descriptor``.

        Raises:
            UserError: for arguments that are out of range.

        Example:
            >>> result = run.evaluate(policies=2, episodes=3, seed=1)
            >>> result["which"], result["policies"], len(result["return_per_policy"])
            ('best', 2, 2)
        """
        policies = ranges.argument("policies", policies, ranges.Count)
        episodes = ranges.argument("episodes", episodes, ranges.Count)
        seed = drawn(seed)
        policy_keys = keys.policy_keys(keys.evaluation(seed), policies)
        genomes = jax.tree.map(lambda x: x[None], self.genome)
        outcome = self.engine.evaluate(
            genomes, self.answer.task, policy_keys, episodes=episodes
        )
        failures = int((~np.isfinite(outcome.returns[0]).all(axis=1)).sum())
        truncated = outcome.truncated
        return {
            "env": self.config.names["env"],
            **({"which": self.which} if self.which else {}),
            **summarize(outcome.returns[0]),
            "episode_length_mean": float(np.mean(outcome.lengths)),
            **({} if truncated is None else {"truncated": float(truncated.mean())}),
            **({"ensemble": self.ensemble} if self.ensemble > 1 else {}),
            "policies": policies,
            "episodes": episodes,
            "seed": seed,
            **({"failures": failures} if failures else {}),
            **self._described(outcome),
        }

    def _described(self, outcome: Outcome) -> dict[str, Any]:
        """Return what describes the episodes of an evaluation, if something does."""
        descriptor = self.parts.task.descriptor
        if descriptor is None:
            return {}
        means = np.mean(outcome.descriptors, axis=(0, 1, 2)).tolist()
        return {"descriptor": dict(zip(descriptor.names, means, strict=True))}

    @switches.pinned()
    def validate(self, policies: int, episodes: int, *, seed: int) -> float:
        """Return the mean return of the policies of `evaluate` as during a run.

        For labeled data, that is on the validation split instead of the test split.
        """
        policy_keys = keys.policy_keys(keys.evaluation(seed), policies)
        outcome = self.engine.evaluate(
            jax.tree.map(lambda x: x[None], self.genome),
            self.answer.task,
            policy_keys,
            episodes=episodes,
            role=Role.CENTER,
        )
        return float(np.mean(outcome.returns))

    def trained(self, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arrays of a policy file by name, and their description.

        Args:
            seed: which of the genome's policies to return; see `decode`.

        Raises:
            UserError: if the policy's parameters are not finite.
        """
        params = self._decode_finite(seed)
        arrays = {
            **genome_file.to_arrays(params),
            **self.parts.task.constants(self.answer.task),
        }
        meta = {
            **self.meta(),
            "encoding": {"name": "direct"},
            **genome_file.from_spec(self.parts.network_spec),
            "trained_from": self.config.to_dict()["encoding"] | {"seed": seed},
        }
        return arrays, meta

    def _decode_finite(self, seed: int) -> Params:
        """Return ``decode(seed)``, or raise a `UserError` if it is not finite."""
        params = self.decode(seed)
        if not is_finite(params):
            raise UserError(
                f"the policy that this genome decodes to with seed {seed} has "
                "parameters that are not finite (nan, inf); expected another genome, "
                "or a smaller learning rate"
            )
        return params

    def arrays(self) -> dict[str, Any]:
        """Return the arrays of its genome file by name."""
        return {
            **self.parts.encoding.constants,
            **genome_file.to_arrays(self.genome),
            **self.parts.task.constants(self.answer.task),
        }

    def shared_arrays(self) -> dict[str, Any]:
        """Return the arrays of its genome file that are not the genome itself."""
        return {
            **self.parts.encoding.constants,
            **self.parts.task.constants(self.answer.task),
        }

    def meta(self) -> Mapping[str, Any]:
        """Return the description in its genome file: how to decode the arrays."""
        described = self.config.to_dict()
        meta = {part: described[part] for part in DECODING}
        if self.parts.spec is not None:
            meta["spec"] = genome_file.from_spec(self.parts.spec)
        return {**meta, **self.about}

    def save(self, path: str | Path) -> None:
        """Write a genome file that `neuroevo.load` and ``neuroevo evaluate`` can read.

        Args:
            path: a file name ending in .npz; an existing file is replaced.

        Example:
            >>> run.best.save("genome.npz")
            >>> neuroevo.load("genome.npz").config.names["env"]
            'CartPole-v1'
        """
        genome_file.save(Path(path), self.arrays(), self.meta())
