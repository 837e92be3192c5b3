"""From a configuration to the parts of a run: the composition root."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from neuroevo import devices
from neuroevo.config.resolve import Config
from neuroevo.core import engine, keys
from neuroevo.core.rollout import make_task
from neuroevo.errors import UserError
from neuroevo.policies.restrict import restrict
from neuroevo.run import compilation, tuning
from neuroevo.run.parts import Parts, shapes
from neuroevo.spaces import Spec
from neuroevo.store import genome_file
from neuroevo.types import Environment


def set_up_jax(config: Config) -> None:
    """Prepare JAX for what `config` asks of it; call it before anything is compiled."""
    devices.configure(config.devices, lengthy=tuning.is_lengthy(config))
    compilation.use_cache(config.settings.compilation_cache)
    keys.pin()


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
    `policies.restrict`. Without a strategy in `config`, there is none in the parts.

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
        jax.eval_shape(strategy.init, keys.abstract(), shapes(encoding.init))
    return Parts(environment, task, policy, encoding, strategy, spec)


def build_engine(
    config: Config, parts: Parts, where: Sequence[jax.Device]
) -> engine.Engine:
    """Return the engine for `parts` on the devices `where`.

    `config` has no ``auto`` chunk: see `tuning.resolve_auto`. Without a strategy the
    engine can only evaluate.
    """
    compilation.make_room()
    settings = config.settings
    fields = {name: getattr(settings, name, 1) for name in engine.Plan._fields}
    plan = engine.Plan(**{**fields, "width": tuning.row_width(config)})
    return engine.make_engine(
        parts.encoding, parts.policy, parts.task, parts.strategy, plan, where
    )


def answer(parts: Parts, genome: Any) -> engine.Answer:
    """Return `genome` with the task's initial state, as for a genome from a file."""
    return engine.Answer(genome, jax.jit(parts.task.init)(keys.warm_up(0)))


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
