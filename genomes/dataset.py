"""The dataset encoding: the genome is a small set of state-action pairs.

Decoding trains a freshly initialized policy on the pairs by imitation (behavior
cloning). HaDES is the search for pairs that make it act well ("Behaviour Distillation",
Lupu, Lu, Liesen, Lange and Foerster, ICLR 2024, arXiv 2406.15042). A policy with memory
is trained on sequences of pairs.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval

from genomes import examples
from genomes.labels import fixed_labels
from genomes.latents import with_latents
from neuroevo.core import keys
from neuroevo.core.bounds import bounded
from neuroevo.errors import UserError
from neuroevo.policies import imitation
from neuroevo.spaces import Box, Spec, choices, data_shape, outputs
from neuroevo.types import Array, Encoding, Key, Params, Policy, Rows, Target

Genome = Mapping[str, Any]  # arrays by name; log_rates: a mapping of them by layer
_Steps = Annotated[int, Interval(ge=1, le=2**31 - 1)]
Learned = Literal["learning_rate", "layer_rates"]
# The genes for what is learned beside the pairs: logarithms of factors.
RATES: Mapping[Learned, str] = {
    "learning_rate": "log_rate",
    "layer_rates": "log_rates",
}


_LENGTH = 8  # pairs in a sequence


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Options of the pairs; the options for training on them follow."""

    size: Annotated[int, Interval(ge=1, le=2**24)] | None = None
    """Number of state-action pairs, D, or for a policy with memory of sequences of
    pairs; none: two, or one per action if that is more."""
    length: Annotated[int, Interval(ge=1, le=2**24)] | None = None
    """For a policy with memory: number of pairs in each sequence, L; none: eight."""
    labels: Literal["fixed", "learned"] = "fixed"
    """Discrete actions: balanced fixed labels, or evolved label probabilities."""
    learn: tuple[Learned, ...] = ()
    """What else is evolved: a factor on the learning rate, or one for each layer."""
    init_from: Literal["sample", "kmeans", "mean"] | None = None
    """Center of the first generation: random rows of the run, centers of clusters of
    them, or means by action; none: noise."""
    init_scale: Annotated[float, Interval(ge=0, le=2**24)] = 0.0
    """Standard deviation of the pairs at the center of the first generation."""
    latent: Annotated[int, Interval(ge=1, le=2**16)] | None = None
    """Of images, evolve as many waves of low frequency along each axis instead of the
    pixels; none: the pixels."""
    bounds: tuple[float, float] | None = None
    """Lowest and highest number in a state as the policy sees it, such as 0 1 for
    images; none: no bounds."""
    init: Literal["random", "fixed"] = "random"
    """Initial policy: a fresh one each time (HaDES-R) or always the same (HaDES-F)."""
    init_seed: Annotated[int, Interval(ge=0, le=2**32 - 1)] = 0
    """Seed of the initial policy when it is fixed."""


@dataclasses.dataclass(frozen=True)
class _Varied:
    """Options for training every policy of a search in another way."""

    vary_learning_rate: tuple[imitation.Rate, imitation.Rate] | None = None
    """In a search, draw each policy's learning rate from this range, evenly on a
    logarithmic scale."""
    vary_steps: tuple[_Steps, _Steps] | None = None
    """In a search, draw each policy's number of steps from this range, likewise."""
    vary_optimizers: tuple[imitation.Optimizer, ...] = ()
    """In a search, train each policy with one of these optimizers."""


@dataclasses.dataclass(frozen=True)
class Dataset(_Varied, imitation.Training, _Pairs):
    """State-action pairs that a fresh policy is trained on (Lupu et al., 2024)."""

    # With the defaults above: CartPole-v1 in 16 to 34 generations.
    suggests: ClassVar[Mapping[str, object]] = {
        "strategy": "SNES",
        "strategy.std": 1.0,
        "population": 64,
        "policies": 4,
        "episodes": 2,
    }

    def fit_to(
        self, arrays: Mapping[str, np.ndarray], spec: Spec | None = None
    ) -> "Dataset":
        """Return the options, adjusted to the arrays of a genome file.

        Args:
            arrays: the arrays of the file by name.
            spec: observations and actions to check the arrays against, if given.

        Raises:
            UserError: if the arrays are not a data set, or if they do not fit the
                observations and actions of `spec`; the message lists all differences.
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
        held = {name.partition("/")[0] for name in arrays}
        learn = tuple(
            name for name, gene in RATES.items() if name in self.learn or gene in held
        )
        lead = data_shape(arrays, spec and spec.action)
        length = lead[1] if lead[1:] else None
        return dataclasses.replace(
            self,
            size=lead[0],
            length=length,
            labels=labels,
            learn=learn,
            latent=None,  # a file has the images
        )

    def settled(self) -> "Dataset":
        """Return the options without what varies in a search, for images."""
        return dataclasses.replace(
            self,
            vary_learning_rate=None,
            vary_steps=None,
            vary_optimizers=(),
            latent=None,
        )

    def build(
        self,
        policy: Policy,
        spec: Spec,
        *,
        labels: np.ndarray | None = None,
        rows: Rows | None = None,
    ) -> Encoding:
        """Return the encoding for a policy.

        Args:
            policy: the policy to train, with one of its losses.
            spec: observations and actions.
            labels: integer labels from a genome file, instead of balanced ones.
            rows: what the pairs start from, with `init_from`.

        Raises:
            UserError: if an option does not fit the policy or the actions.
        """
        imitation.find_loss(policy, self.loss)  # an error now rather than in `decode`
        for name in ("vary_learning_rate", "vary_steps", "bounds"):
            low, high = getattr(self, name) or (1, 1)
            if low > high:
                raise UserError(
                    f"encoding.{name}: expected a range from low to high, got {low} "
                    f"to {high}"
                )
        encoding = self._of_states(policy, spec, labels, rows)
        if self.bounds is not None:
            genome = jax.eval_shape(encoding.init, keys.abstract())
            ends = zip((-math.inf, math.inf), self.bounds, strict=True)
            low, high = (
                {**jax.tree.map(lambda _, end=end: end, genome), "states": bound}
                for end, bound in ends
            )
            encoding = encoding._replace(bounds=(low, high))
        if self.latent is None:
            return encoding
        return with_latents(bounded(encoding), spec.observation, self.latent)

    def _of_states(
        self, policy: Policy, spec: Spec, labels: np.ndarray | None, rows: Rows | None
    ) -> Encoding:
        """Return the encoding whose genome has the states themselves."""
        lead = self._shape(policy, spec)
        pairs, constants = self._contents(spec, lead, labels)
        layers = self._layers(policy)

        def noise(key: Key) -> Genome:
            each = jax.random.split(key, len(pairs))
            drawn = {
                name: self.init_scale * jax.random.normal(key, shape)
                for key, (name, shape) in zip(each, pairs.items(), strict=True)
            }
            rates = {
                "log_rate": jnp.zeros(()),
                "log_rates": {name: jnp.zeros(()) for name in layers},
            }
            return drawn | {RATES[name]: rates[RATES[name]] for name in self.learn}

        init = noise
        if rows is not None:
            if lead[1:]:
                raise UserError(
                    "encoding.init_from: expected a policy without memory; rows are no "
                    "sequences"
                )
            draw = examples.drawer(
                self.init_from, rows, spec, pairs, constants.get("labels")
            )

            def init(key: Key) -> Genome:
                at, around = jax.random.split(key)
                drawn = noise(around)
                found = {name: x + drawn[name] for name, x in draw(at).items()}
                return {**drawn, **found}

        def start(key: Key) -> _Start:
            init_key, noise_key, draw_key = jax.random.split(key, 3)
            if self.init == "fixed":
                init_key = keys.initial_policy(self.init_seed)
            return _Start(policy.init(init_key), noise_key, self._draw(draw_key))

        def decode(genome: Genome, start: _Start) -> Params:
            params, noise_key, drawn = start
            # A file may hold images as flat rows.
            states = genome["states"].reshape(*lead, *spec.observation)
            targets = _targets({**genome, **constants})
            factors = _factors(genome, params)

            def train(optimizer: imitation.Optimizer) -> Params:
                options = dataclasses.replace(
                    self, optimizer=optimizer, **drawn.numbers
                )
                most = self.vary_steps[1] if self.vary_steps else None
                return imitation.train(
                    policy, params, states, targets, options, noise_key, factors, most
                )

            if drawn.optimizer is None:
                return train(self.optimizer)
            each = [functools.partial(train, name) for name in self.vary_optimizers]
            return jax.lax.switch(drawn.optimizer, each)

        return Encoding(init, decode, start, constants)

    def _draw(self, key: Key) -> "_Drawn":
        """Return how to train one policy, where that varies."""
        rate_key, steps_key, optimizer_key = jax.random.split(key, 3)
        numbers: dict[str, Any] = {}
        if self.vary_learning_rate:
            numbers["learning_rate"] = _log_uniform(rate_key, *self.vary_learning_rate)
        if self.vary_steps:
            low, high = self.vary_steps
            steps = jnp.floor(_log_uniform(steps_key, low, high + 1))
            numbers["steps"] = jnp.clip(steps, low, high).astype(jnp.int32)
        optimizer = None
        if count := len(self.vary_optimizers):
            optimizer = jax.random.randint(optimizer_key, (), 0, count)
        return _Drawn(numbers, optimizer)

    def _layers(self, policy: Policy) -> tuple[str, ...]:
        """Return the layers that have learning rates of their own, by name."""
        if "layer_rates" not in self.learn:
            return ()
        network = policy.member or policy
        params = jax.eval_shape(network.init, keys.abstract())
        if not isinstance(params, Mapping):
            raise UserError(
                "encoding.learn layer_rates: expected a policy whose parameters are a "
                f"mapping by layer, not a {type(params).__name__}; use learning_rate"
            )
        # A single number is a setting, such as the kind of network, and not a layer.
        return tuple(
            name
            for name, part in params.items()
            if any(leaf.shape for leaf in jax.tree.leaves(part))
        )

    def _shape(self, policy: Policy, spec: Spec) -> tuple[int, ...]:
        """Return the first axes of all arrays: (D,) pairs, or sequences (D, L)."""
        action = spec.action
        default = max(2, *choices(action), 1)
        size = default if self.size is None else self.size
        if policy.init_memory is not None:
            return size, _LENGTH if self.length is None else self.length
        if self.length is not None:
            raise UserError(
                f"encoding.length {self.length}: sequences are for a policy with "
                "memory, such as --policy gru; this one has none"
            )
        return (size,)

    def _contents(
        self, spec: Spec, lead: tuple[int, ...], labels: np.ndarray | None
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
        """Return the shapes of the evolved arrays, and the constants beside them."""
        action = spec.action
        pairs = {"states": (*lead, *spec.observation)}
        if isinstance(action, Box):
            return pairs | {"actions": (*lead, *action.shape)}, {}
        if self.labels == "learned":
            return pairs | {"action_logits": (*lead, *outputs(spec))}, {}
        if math.prod(lead) < (most := max(choices(action))):
            raise UserError(
                f"encoding.size {lead[0]} leaves some of the {most} actions "
                f"without a pair: use --encoding.size {most} or "
                "--encoding.labels learned"
            )
        if labels is None:  # most sequences have the same label all along
            labels = fixed_labels(math.prod(lead), action)
            labels = labels.reshape(*lead, *labels.shape[1:])
        return pairs, {"labels": labels}


class _Drawn(NamedTuple):
    """How to train one policy of a search."""

    numbers: Mapping[str, Any]  # traced options of `imitation.Training`
    optimizer: Array | None  # index into `Dataset.vary_optimizers`


class _Start(NamedTuple):
    """What decoding starts from."""

    params: Params
    noise_key: Key
    drawn: _Drawn


def _log_uniform(key: Key, low: float, high: float) -> Array:
    """Return a number between `low` and `high`, evenly on a logarithmic scale."""
    ends = math.log(low), math.log(high)
    return jnp.exp(jax.random.uniform(key, minval=ends[0], maxval=ends[1]))


def _factors(genome: Genome, params: Params) -> Any:
    """Return the factors on the learning rate that a genome holds, or None."""
    rate, layers = genome.get("log_rate"), genome.get("log_rates")
    if layers is None:
        return None if rate is None else jnp.exp(rate)
    rate = jnp.zeros(()) if rate is None else rate
    # A deeper network than the genome's has layers without a factor of their own.
    return {name: jnp.exp(rate + layers.get(name, 0.0)) for name in params}


def _targets(arrays: Mapping[str, Array]) -> Target:
    """Return the targets that a policy is trained on, one for each state."""
    if "actions" in arrays:
        return arrays["actions"]
    if "action_logits" in arrays:
        return jax.nn.softmax(arrays["action_logits"])
    return jnp.asarray(arrays["labels"])


def _misfits(arrays: Mapping[str, np.ndarray], spec: Spec) -> Iterator[str]:
    """Yield the ways in which the arrays of a data set do not fit `spec`."""
    axes = len(data_shape(arrays, spec.action))
    shape = arrays["states"].shape[axes:]
    if math.prod(shape) != math.prod(spec.observation):
        yield (
            f"its states have shape {shape} each, but observations have shape "
            f"{spec.observation}"
        )
    action = spec.action
    if not isinstance(action, Box):
        (n,) = outputs(spec)
        if "actions" in arrays:
            yield (
                "it holds continuous actions, but the environment has "
                f"{n} discrete ones"
            )
        logits = arrays.get("action_logits")
        if logits is not None and logits.shape[axes:] != (n,):
            yield (
                f"its action_logits have shape {logits.shape[axes:]} each, but the "
                f"environment has {n} actions"
            )
    elif found := arrays.keys() & {"labels", "action_logits"}:
        yield (
            f"it holds {' and '.join(sorted(found))} of discrete actions, but the "
            f"environment has continuous ones of shape {action.shape}"
        )
    elif "actions" in arrays and arrays["actions"].shape[axes:] != action.shape:
        yield (
            f"its actions have shape {arrays['actions'].shape[axes:]} each, but the "
            f"environment's have shape {action.shape}"
        )
