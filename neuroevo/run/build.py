"""From a configuration to the parts of a run: the composition root."""

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from neuroevo import devices as sharding
from neuroevo.config.resolve import Config
from neuroevo.core import engine
from neuroevo.core.rollout import make_task
from neuroevo.errors import UserError
from neuroevo.policies.restrict import restrict
from neuroevo.run import compilation
from neuroevo.spaces import Spec
from neuroevo.store import genome_file
from neuroevo.traits import EnvironmentTraits, traits
from neuroevo.types import Encoding, Environment, Policy, Strategy, Task


class Parts(NamedTuple):
    """What a run is made of."""

    environment: Environment
    task: Task
    policy: Policy
    encoding: Encoding
    strategy: Strategy | None
    spec: Spec | None = None  # what networks are made for, if not for the environment


# Episodes of a generation that make it lengthy: some 20 s or more on two cores.
_SLOW = 1024  # in a physics engine
_FAST = 8192  # elsewhere


def set_up_jax(config: Config) -> None:
    """Prepare JAX for what `config` asks of it; call it before anything is compiled."""
    settings = config.settings
    names = ("population", "policies", "episodes")
    episodes = math.prod(getattr(settings, name, 1) for name in names)
    lengthy = episodes > (_SLOW if _is_slow(config) else _FAST)
    sharding.configure(config.devices, lengthy=lengthy)
    compilation.use_cache(config.settings.compilation_cache)


def build_parts(
    config: Config,
    environment: Environment | None = None,
    *,
    observation: Mapping[str, Any] | None = None,
    spec: Spec | None = None,
) -> Parts:
    """Return the parts that `config` describes; nothing is compiled.

    An `environment` that is built already takes the place of its. `observation` holds
    the constants of a genome file's observation normalization (``obs_mean``,
    ``obs_var``), which replace the configured one. With a `spec`, which the
    environment's must fit into, networks are made for that one; see
    `padding.restrict`. Without a strategy in `config`, there is none in the parts.

    Raises:
        UserError: if the parts do not go together.
    """
    options = config.parts
    environment = environment or options["env"].build()
    policy = options["policy"].build(spec or environment.spec)
    encoding = options["encoding"].build(policy, spec or environment.spec)
    if spec:
        own = options["policy"].build(environment.spec)
        policy = restrict(policy, spec, own, environment.spec)
    shape = environment.spec.observation
    normalizer = options["normalization"].build(shape, **(observation or {}))
    task = make_task(environment, normalizer)
    strategy = None
    if "strategy" in options:
        strategy = options["strategy"].build(config.settings.population)
        jax.eval_shape(strategy.init, jax.random.key(0), shapes(encoding.init))
    return Parts(environment, task, policy, encoding, strategy, spec)


def resolve_auto(config: Config, parts: Parts) -> Config:
    """Return `config` with what depends on the machine made definite.

    The size of chunks can change the last digits of results; recorded, a run repeats.
    """
    parameters = count(shapes(parts.policy.init))
    automatic = {
        "chunk": _chunk(config, parameters),
        "decode_chunk": _decode_chunk(parameters),
    }
    sizes = {
        name: size
        for name, size in automatic.items()
        if getattr(config.settings, name) == "auto"
    }
    settings = dataclasses.replace(config.settings, **sizes)
    return dataclasses.replace(config, settings=settings)


# Episodes in a chunk on a CPU: with fewer a processor idles; with more, physics engines
# are hardly faster, and more of them stand still while one goes on.
_FEWEST, _MOST = 8, 32


def _chunk(config: Config, parameters: int) -> int:
    """Return how many policies to roll out together.

    On a CPU so many that their `parameters` stay in its cache; on an accelerator many
    more, to hide latency, but no more than a device's part of them.
    """
    settings = config.settings
    episodes = getattr(settings, "episodes", _FEWEST)
    if jax.default_backend() != "cpu":
        policies = math.prod(
            getattr(settings, n, 64) for n in ("population", "policies")
        )
        part = -(-policies // len(sharding.select(config.devices)))
        chunk = max(1, min(4096, part, 2**30 // parameters))
    else:
        most = max(1, _MOST // episodes) if _is_slow(config) else 64
        chunk = max(-(-_FEWEST // episodes), min(most, 2**17 // parameters))
    if chunk < engine.WIDTH or _is_slow(config):
        return chunk
    return chunk // engine.WIDTH * engine.WIDTH


def _width(config: Config) -> int:
    """Return how many policies to evaluate with the same random numbers, in a row.

    Where an episode costs more than its random numbers, each ends by itself.
    """
    small = config.settings.chunk < engine.WIDTH
    return 1 if small or _is_slow(config) else engine.WIDTH


def _is_slow(config: Config) -> bool:
    """Return whether the environment is a physics engine, or as slow as one."""
    return traits(EnvironmentTraits, config.parts["env"]).slow


def _decode_chunk(parameters: int) -> int:
    """Return how many policies with as many `parameters` to train together.

    On a CPU large ones one by one: an optimizer's statistics leave less of them in the
    cache, and matrix products are fast alone.
    """
    floats, most = (2**15, 16) if jax.default_backend() == "cpu" else (2**30, 4096)
    return max(1, min(most, floats // parameters))


def build_engine(
    config: Config, parts: Parts, devices: Sequence[jax.Device]
) -> engine.Engine:
    """Return the engine for `parts` on `devices`; `config` has no ``auto`` chunk.

    Without a strategy it can only evaluate.
    """
    compilation.make_room()
    settings = config.settings
    fields = {name: getattr(settings, name, 1) for name in engine.Plan._fields}
    plan = engine.Plan(**{**fields, "width": _width(config)})
    return engine.make_engine(
        parts.encoding, parts.policy, parts.task, parts.strategy, plan, devices
    )


def answer(parts: Parts, genome: Any, key: jax.Array) -> engine.Answer:
    """Return `genome` with the task's initial state, as for a genome from a file."""
    return engine.Answer(genome, jax.jit(parts.task.init)(key))


def first_genome(parts: Parts, file: genome_file.GenomeFile) -> Any:
    """Return the genome in `file` as one to start a search of `parts` from.

    Raises:
        UserError: if it does not fit, or its constants (labels) are others.
    """
    constants = parts.encoding.constants
    for name in constants.keys() & file.arrays.keys():
        if not np.array_equal(constants[name], file.arrays[name]):
            raise UserError(
                f"{file.path}: its {name} are not those that this encoding fixes: "
                f"expected {np.asarray(constants[name]).tolist()}"
            )
    searched = {k: v for k, v in file.arrays.items() if k not in constants}
    file = file._replace(arrays=searched)
    return genome_file.to_genome(file, shapes(parts.encoding.init), {})


def shapes(init: Callable) -> Any:
    """Return the shapes of what ``init(key)`` makes, computing nothing.

    Raises:
        UserError: if no device could hold it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of integers that it cannot hold, either
            return jax.eval_shape(init, jax.random.key(0))
    except OverflowError:
        raise UserError(
            "the network is too large: one of its arrays would have more than 2^31 "
            "numbers in a row; expected fewer units"
        ) from None


def count(tree: Any) -> int:
    """Return the number of numbers in a pytree of arrays or shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
