"""The dataset encoding: the genome is a small set of state-action pairs.

Decoding trains a freshly initialized policy on the pairs by imitation; evolution looks
for pairs that make it act well. This is HaDES ("Behaviour Distillation", Lupu, Lu,
Liesen, Lange and Foerster, ICLR 2024, arXiv 2406.15042).
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neuroevo.core import keys
from neuroevo.errors import UserError, unknown
from neuroevo.spaces import Discrete, Spec
from neuroevo.types import Array, Encoding, Key, Params, Policy, Target

Genome = Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """State-action pairs that a fresh policy is trained on."""

    size: int | None = None
    """Number of state-action pairs, D; None for two, or one for each action if more."""
    labels: Literal["fixed", "learned"] = "fixed"
    """Discrete actions: balanced fixed labels, or evolved label probabilities."""
    init_scale: float = 0.0
    """Standard deviation of the pairs at the center of the first generation."""
    init: Literal["random", "fixed"] = "random"
    """Initial policy: a fresh one each time (HaDES-R) or always the same (HaDES-F)."""
    init_seed: int = 0
    """Seed of the initial policy when it is fixed."""
    steps: int = 64
    """Number of full-batch gradient steps."""
    loss: str = "auto"
    """Imitation loss, one of the policy's; auto takes its default."""
    optimizer: Literal["adam", "momentum", "sgd"] = "adam"
    """Optimizer of the policy."""
    learning_rate: float = 1e-2
    """Learning rate of the first step."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate over the steps: constant, or falling to zero after the last."""
    adam_eps: float = 1e-5
    """Adam's epsilon."""
    momentum: float = 0.9
    """Decay rate of momentum."""
    max_grad_norm: float | None = None
    """Clip the gradient to this global norm; none does not clip."""
    noise: float = 0.0
    """Standard deviation of the Gaussian noise on the states, fresh at every step."""

    # With the defaults above: CartPole-v1 in 16 to 34 generations.
    suggests: ClassVar[Mapping[str, object]] = {
        "strategy": "SNES",
        "strategy.std": 1.0,
        "population": 64,
        "policies": 4,
        "episodes": 2,
    }
    # Options that `decode` takes from the genome where that holds them, as scalars: one
    # compiled program then serves all of their values.
    traced: ClassVar[tuple[str, ...]] = ("learning_rate", "steps")

    def fit_to(
        self, arrays: Mapping[str, np.ndarray], spec: Spec | None = None
    ) -> "Dataset":
        """Return the options changed by what the arrays of a genome file determine.

        Raises:
            UserError: if the arrays are not those of a data set, or not of one for the
                observations and actions of `spec`, with all that differs.
        """
        if "states" not in arrays:
            raise UserError(
                "not a dataset genome: expected an array 'states', found "
                f"{', '.join(sorted(arrays)) or 'none'}"
            )
        if spec and (differing := list(_misfits(arrays, spec))):
            raise UserError(f"does not fit the environment: {'; '.join(differing)}")
        labels = "learned" if "action_logits" in arrays else self.labels
        labels = "fixed" if "labels" in arrays else labels
        return dataclasses.replace(self, size=len(arrays["states"]), labels=labels)

    def build(self, policy: Policy, spec: Spec) -> Encoding:
        """Return the encoding for a `policy`, whose `losses` it trains with.

        Raises:
            UserError: if an option is out of range or does not fit the policy.
        """
        if self.size is None:
            actions = spec.action.n if isinstance(spec.action, Discrete) else 1
            return dataclasses.replace(self, size=max(2, actions)).build(policy, spec)
        self._check(policy, spec)
        loss = policy.losses[
            next(iter(policy.losses)) if self.loss == "auto" else self.loss
        ]
        targets, shapes, constants = self._targets(spec)
        shapes = {"states": (self.size, *spec.observation), **shapes}

        def init(key: Key) -> Genome:
            each = jax.random.split(key, len(shapes))
            return {
                name: self.init_scale * jax.random.normal(key, shape)
                for key, (name, shape) in zip(each, shapes.items(), strict=True)
            }

        def start(key: Key) -> tuple[Params, Key]:
            init_key, noise_key = jax.random.split(key)
            if self.init == "fixed":
                init_key = keys.initial_policy(self.init_seed)
            return policy.init(init_key), noise_key

        def decode(genome: Genome, start: tuple[Params, Key]) -> Params:
            params, noise_key = start
            # A file may hold images as flat rows.
            states = genome["states"].reshape(-1, *spec.observation)
            target = targets(genome)
            steps = genome.get("steps", self.steps)
            rate = genome.get("learning_rate", self.learning_rate)
            optimizer = self._optimizer(rate, steps)

            def imitation_loss(params: Params, step: Array) -> Array:
                inputs = states
                if self.noise:
                    key = jax.random.fold_in(noise_key, step)
                    inputs += self.noise * jax.random.normal(key, states.shape)
                outputs = jax.vmap(policy.apply, (None, 0))(params, inputs)
                return loss(outputs, target)

            def train(step: Array, carry: tuple[Params, optax.OptState]):
                params, state = carry
                grads = jax.grad(imitation_loss)(params, step)
                updates, state = optimizer.update(grads, state, params)
                return optax.apply_updates(params, updates), state

            carry = params, optimizer.init(params)
            return jax.lax.fori_loop(0, steps, train, carry)[0]

        return Encoding(init, decode, start, constants)

    def _targets(
        self, spec: Spec
    ) -> tuple[
        Callable[[Genome], Target], dict[str, tuple[int, ...]], dict[str, np.ndarray]
    ]:
        """Return ``targets(genome)``, the shapes it adds to a genome, the constants."""
        if not isinstance(spec.action, Discrete):
            shapes = {"actions": (self.size, *spec.action.shape)}
            return lambda genome: genome["actions"], shapes, {}
        if self.labels == "learned":
            shapes = {"action_logits": (self.size, spec.action.n)}
            return lambda genome: jax.nn.softmax(genome["action_logits"]), shapes, {}
        labels = balanced_labels(self.size, spec.action.n)
        # The labels of a loaded file come before those made here.
        return lambda genome: genome.get("labels", labels), {}, {"labels": labels}

    def _optimizer(
        self, rate: float | Array, steps: int | Array
    ) -> optax.GradientTransformation:
        factor = {"linear": linear, "cosine": cosine}.get(self.schedule)
        # A callable makes optax count steps, which a constant can do without.
        schedule = rate if factor is None else lambda step: rate * factor(step / steps)
        optimizer = {
            "adam": optax.adam(schedule, eps=self.adam_eps),
            "momentum": optax.sgd(schedule, momentum=self.momentum),
            "sgd": optax.sgd(schedule),
        }[self.optimizer]
        if self.max_grad_norm is None:
            return optimizer
        return optax.chain(optax.clip_by_global_norm(self.max_grad_norm), optimizer)

    def _check(self, policy: Policy, spec: Spec) -> None:
        for name, least in (("size", 1), ("steps", 0), ("noise", 0), ("init_scale", 0)):
            value = getattr(self, name)
            if not value >= least:  # nan is wrong too
                raise UserError(
                    f"encoding.{name} must be at least {least}, got {value}"
                )
            if value > _MOST and name != "steps":
                raise UserError(f"encoding.{name} must be at most {_MOST}, got {value}")
        for name in ("learning_rate", "adam_eps", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(
                    f"encoding.{name} must be greater than 0 and finite, got {value}"
                )
        if not 0 <= self.init_seed < 2**32:
            raise UserError(
                f"encoding.init_seed must be from 0 to 2^32 - 1, got {self.init_seed}"
            )
        if not 0 <= self.momentum < 1:
            raise UserError(f"encoding.momentum must be in [0, 1), got {self.momentum}")
        if self.loss not in ("auto", *policy.losses):
            raise unknown("encoding.loss", self.loss, ["auto", *policy.losses])
        if isinstance(spec.action, Discrete) and self.labels == "fixed":
            if self.size < spec.action.n:
                raise UserError(
                    f"encoding.size {self.size} leaves some of the {spec.action.n} "
                    f"actions without a pair: use --encoding.size {spec.action.n} or "
                    "--encoding.labels learned"
                )


_MOST = 2**24  # of pairs, and a bound on their scale and noise


def linear(progress: Array) -> Array:
    """Return the factor on the learning rate after a share `progress` of the steps.

    That of ``optax.linear_schedule`` to zero, which takes no traced number of steps.
    """
    return 1 - progress


def cosine(progress: Array) -> Array:
    """Return the factor on the learning rate after a share `progress` of the steps.

    That of ``optax.cosine_decay_schedule`` (Loshchilov and Hutter, "SGDR", ICLR 2017,
    arXiv 1608.03983), which takes no traced number of steps.
    """
    return 0.5 * (1 + jnp.cos(jnp.pi * progress))


def _misfits(arrays: Mapping[str, np.ndarray], spec: Spec) -> Iterator[str]:
    """Yield what keeps the arrays of a data set from being one for `spec`."""
    shape = arrays["states"].shape[1:]
    if math.prod(shape) != math.prod(spec.observation):
        yield (
            f"its states have shape {shape} each, and observations have shape "
            f"{spec.observation}"
        )
    action = spec.action
    if isinstance(action, Discrete):
        if "actions" in arrays:
            yield (
                "it holds continuous actions, and the environment has "
                f"{action.n} discrete ones"
            )
        logits = arrays.get("action_logits")
        if logits is not None and logits.shape[1:] != (action.n,):
            yield (
                f"its action_logits have shape {logits.shape[1:]} each, and the "
                f"environment has {action.n} actions"
            )
    elif found := arrays.keys() & {"labels", "action_logits"}:
        yield (
            f"it holds {' and '.join(sorted(found))} of discrete actions, and the "
            f"environment has continuous ones of shape {action.shape}"
        )
    elif "actions" in arrays and arrays["actions"].shape[1:] != action.shape:
        yield (
            f"its actions have shape {arrays['actions'].shape[1:]} each, and the "
            f"environment's have shape {action.shape}"
        )


def balanced_labels(size: int, n: int) -> np.ndarray:
    """Return (size,) int32 labels, sorted, that use every row.

    Where `size` is not a multiple of `n` the first ``size % n`` actions get one row
    more than the others: 16 rows for 3 actions are six 0, five 1 and five 2.
    """
    return np.sort(np.arange(size, dtype=np.int32) % n)
