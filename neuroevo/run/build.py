"""Builds the parts of a run from its configuration."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
import numpy as np

from neuroevo import devices
from neuroevo.config.schema import Config
from neuroevo.core import engine, evaluation, keys
from neuroevo.core.bounds import bounded
from neuroevo.core.state import Answer, Plan
from neuroevo.environments import descriptors
from neuroevo.errors import UserError
from neuroevo.policies.restrict import restrict
from neuroevo.progress import Role
from neuroevo.registry import envs, is_bundled
from neuroevo.run import checks, compilation, outer_loss, tuning
from neuroevo.run.parts import Parts, shapes
from neuroevo.spaces import Spec
from neuroevo.store import genome_file
from neuroevo.store.genome_file import GenomeFile
from neuroevo.tasks.growth import Growth
from neuroevo.tasks.host import make_host_task
from neuroevo.tasks.normalization import Normalizer
from neuroevo.tasks.objective import make_objective_task
from neuroevo.tasks.task import make_task
from neuroevo.traits import (
    EncodingTraits,
    EnvironmentTraits,
    PartTraits,
    StrategyTraits,
    traits,
)
from neuroevo.types import (
    Descriptor,
    Encoding,
    Environment,
    Genome,
    HostEnvironment,
    Objective,
    Policy,
    Rows,
    Strategy,
    Task,
)


def set_up_jax(config: Config) -> None:
    """Configure JAX as `config` requires; call it before anything is compiled."""
    physics, training = tuning.is_slow(config), tuning.trains_much(config)
    devices.configure(config.devices, physics=physics, training=training)
    compilation.use_cache(config.settings.compilation_cache)
    devices.start()


def build_parts(
    config: Config,
    environment: Environment | HostEnvironment | Objective | Task | None = None,
    *,
    file: GenomeFile | None = None,
    spec: Spec | None = None,
) -> Parts:
    """Return the parts that `config` describes; nothing is compiled.

    Args:
        config: names and options; without a strategy, the parts have none either.
        environment: what the part `env` is, if it has already been built.
        file: a genome; its constants (labels, observation statistics) replace the
            initial ones of the encoding and the normalization.
        spec: the spec that networks are made for, if it is not the environment's; see
            `policies.restrict`.

    Raises:
        UserError: if the parts do not fit together.
    """
    options = config.parts
    environment = environment or build_environment(options["env"])
    seen = spec or environment.spec
    if file:
        fit(options["encoding"], file, seen)
    policy = options["policy"].build(seen)
    if not is_bundled(options["policy"]):
        masked = getattr(environment, "legal", None) is not None
        checks.check_policy(policy, seen, legal=masked)
    if isinstance(environment, Objective) and policy.init_memory is not None:
        raise UserError(
            f"policy {config.names['policy']} has a memory, but env "
            f"{config.names['env']} shows single observations; expected a policy "
            "without memory, such as mlp"
        )
    acting = policy
    if spec:
        own = options["policy"].build(environment.spec)
        acting = restrict(policy, spec, own, environment.spec)
    rows = outer_loss.read_rows(config.settings, environment.spec)
    task = _build_task(config, environment, acting, file, rows)
    rows = outer_loss.seen(rows, task) if rows else None
    given = _rows_for(options["encoding"], rows, environment, needed=file is None)
    encoding = options["encoding"].build(policy, seen, **given)
    if not is_bundled(options["encoding"]):
        checks.check_encoding(encoding, shapes(policy.init))
    constants = genome_file.to_constants(file, encoding.constants) if file else {}
    encoding = build_encoding(options["encoding"], policy, seen, constants, **given)
    parts = Parts(environment, task, acting, encoding, strategy=None, spec=spec)
    if "strategy" in options:
        parts = parts._replace(strategy=build_strategy(config, parts, rows))
    return parts


def _build_task(
    config: Config,
    environment: Environment | HostEnvironment | Objective | Task,
    policy: Policy,
    file: GenomeFile | None,
    rows: Rows | None,
) -> Task:
    """Return the task for policies with the network of `policy`.

    A constant normalization has the statistics of the genome file, or of the rows.
    """
    normalization, name = config.parts["normalization"], config.names["normalization"]
    growth = getattr(config.settings, "episode_growth", None)
    if growth and not isinstance(environment, Environment):
        raise UserError(
            f"episode_growth: expected an environment in JAX, and {config.names['env']}"
            " is none"
        )
    if isinstance(environment, Objective | Task):
        if name != "none":
            raise UserError(
                f"normalization {name}: expected none for env {config.names['env']}, "
                "which is not an environment and shows its observations as they are"
            )
        if isinstance(environment, Objective):
            if not is_bundled(config.parts["env"]):
                checks.check_objective(environment, policy)
            return make_objective_task(environment, policy.apply)
        checks.check_task(environment, policy)
        return environment
    observation: Mapping[str, Any] = {}
    if file and name in ("constant", "running"):
        observation = genome_file.statistics(file.arrays)
    if rows and not observation and name == "constant" and normalization.file is None:
        observation = outer_loss.statistics(rows)
    normalizer = normalization.build(environment.spec.observation, **observation)
    checks.check_part("normalization", normalizer, Normalizer)
    if isinstance(environment, HostEnvironment):
        return make_host_task(environment, normalizer)
    return make_task(environment, normalizer, Growth(*growth) if growth else None)


def with_policy(parts: Parts, policy: Policy) -> Parts:
    """Return `parts` with another `policy`, whose networks their task measures, too."""
    task = parts.task
    if isinstance(parts.environment, Objective):
        task = make_objective_task(parts.environment, policy.apply)
    return parts._replace(policy=policy, task=task)


def settle(config: Config, parts: Parts) -> tuple[Config, Parts] | None:
    """Return the configuration and parts with which a search's results are measured.

    Returns:
        None if they are `config` and `parts`, those of the search.

    Raises:
        UserError: if they need another genome.
    """
    made = {
        part: settled()
        for part, each in config.parts.items()
        if (settled := traits(PartTraits, each).settled)
    }
    if all(each == config.parts[part] for part, each in made.items()):
        return None
    options = {**config.parts, **made}
    seen, own = parts.network_spec, parts.environment.spec
    policy = options["policy"].build(seen)
    constants = parts.encoding.constants
    encoding = build_encoding(options["encoding"], policy, seen, constants)
    if shapes(encoding.init) != exported(parts.encoding):
        raise UserError(
            "the genome of a policy that varies in the search does not fit the policy "
            f"{config.names['policy']} by which it is measured; expected genes that do "
            "not depend on the layers, such as encoding.learn learning_rate"
        )
    if parts.spec:
        policy = restrict(policy, seen, options["policy"].build(own), own)
    config = dataclasses.replace(config, parts=options)
    return config, with_policy(parts._replace(encoding=encoding), policy)


def build_strategy(config: Config, parts: Parts, rows: Rows | None = None) -> Strategy:
    """Return the strategy for `parts`, which need not have one yet.

    Args:
        config: the configuration, with the population.
        parts: the other parts.
        rows: examples, if the search learns from them.

    Raises:
        UserError: if it does not fit the genome, or lacks examples.
    """
    _, task, policy, encoding, *_ = parts
    options, population = config.parts["strategy"], config.settings.population
    genome = shapes(encoding.init)
    if traits(StrategyTraits, options).learns_from_rows:
        if rows is None and task.batch is None:
            raise UserError(
                f"strategy {config.names['strategy']} follows gradients and needs "
                "examples; expected --rows FILE (neuroevo collect writes one), or "
                "neuroevo distill TEACHER"
            )
        given = None if task.batch else rows
        loss = outer_loss.make_outer_loss(options, encoding, policy, task.spec, given)
        strategy = options.build(population, loss)
    elif traits(StrategyTraits, options).needs_descriptor:
        strategy = options.build(population, _descriptor(config, task))
    else:
        strategy = options.build(population)
    if not is_bundled(options):
        checks.check_strategy(strategy, genome, population, task.descriptor)
    jax.eval_shape(strategy.init, keys.abstract(), genome)
    return strategy


def _descriptor(config: Config, task: Task) -> Descriptor:
    """Return what describes the behavior in a task, for a strategy that needs it."""
    if task.descriptor is not None:
        return task.descriptor
    strategy, name = config.names["strategy"], config.names["env"]
    options = config.parts["env"]
    if hasattr(options, "descriptor"):
        example = descriptors.suggestion(options, task.spec.observation)
        expected = f"--env.descriptor, such as --env.descriptor {example}"
    else:
        expected = "an environment of gymnax or brax by name, or one with a descriptor"
    raise UserError(
        f"strategy {strategy} needs a descriptor of what policies do, and env {name} "
        f"has none: expected {expected}"
    )


def build_environment(options: Any) -> Environment | HostEnvironment | Objective | Task:
    """Return what `options` make as the part `env`: most often, an environment.

    Raises:
        UserError: if it violates its contract.
    """
    environment = options.build()
    kinds = Environment | HostEnvironment | Objective | Task
    if not isinstance(environment, kinds):
        make = getattr(options, "function", options.build)
        adapted = envs.adapt_made(environment, make)
        environment = adapted.build() if adapted else environment
    if isinstance(environment, HostEnvironment | Objective | Task):
        checks.check_spec(environment.spec)
        return environment
    # A physics engine takes two seconds to trace: those of brax are tested.
    tested = is_bundled(options) and traits(EnvironmentTraits, options).slow
    checks.check_environment(environment, step=not tested)
    return environment


def _rows_for(
    options: Any,
    rows: Rows | None,
    environment: Environment | HostEnvironment | Objective | Task,
    *,
    needed: bool,
) -> dict[str, Rows]:
    """Return the rows for an encoding's ``build``, if the search starts from them."""
    if traits(EncodingTraits, options).init_from is None:
        return {}
    labeled = getattr(environment, "rows", None)
    if rows is None and labeled:
        rows = labeled(Role.SEARCH)
    if rows is None and needed:
        raise UserError(
            "encoding.init_from: expected --rows FILE as well, to start from (neuroevo "
            "collect writes one)"
        )
    return {"rows": rows} if rows else {}


def build_encoding(
    options: Any,
    policy: Policy,
    spec: Spec,
    constants: Mapping[str, Any],
    **given: Rows,
) -> Encoding:
    """Return an encoding with the `constants` of a genome file instead of its own.

    Its ``build`` gets the constants that differ as keyword arguments, with what else is
    `given`. Genes count within its bounds.
    """
    encoding = options.build(policy, spec, **given)
    differing = {
        name: value
        for name, value in constants.items()
        if not np.array_equal(value, encoding.constants[name])
    }
    if differing:
        encoding = options.build(policy, spec, **differing, **given)
    encoding = bounded(encoding)
    return encoding._replace(start=_once(encoding.start), decode=_once(encoding.decode))


# A function that is traced once for all programs, not in each of them.
_once = functools.partial(jax.jit, inline=True)


def build_engine(
    config: Config, parts: Parts, where: Sequence[jax.Device]
) -> engine.Engine:
    """Return the engine for `parts` on the devices `where`.

    In `config`, chunks must be numbers: see `tuning.resolve_auto`. Without a strategy,
    the engine can only evaluate.
    """
    compilation.make_room()
    settings = config.settings
    fields = {name: getattr(settings, name, 1) for name in Plan._fields}
    sizes = evaluation.Sizes(
        settings.chunk,
        settings.decode_chunk,
        tuning.group_width(config, hosted=parts.task.host is not None),
        tuning.stride(),
    )
    sharing = None
    if parts.shares:
        sharing, sizes = sizes, tuning.of_whole_policies(sizes, config, parts)
    evaluator = evaluation.Evaluator(parts.encoding, parts.policy, parts.task, sizes)
    strategy = cast(Strategy, parts.strategy)  # only a search asks for it
    plan = Plan(**fields)
    return engine.make_engine(evaluator, strategy, plan, where, sharing)


def answer(parts: Parts, genome: Genome) -> Answer:
    """Return `genome` with the task's initial state, as for a genome from a file."""
    init = parts.task.init if parts.task.host else jax.jit(parts.task.init)
    return Answer(genome, init(keys.warm_up(0)))


def fit(encoding: Any, file: GenomeFile, spec: Spec | None = None) -> Any:
    """Return an encoding's options, adjusted to a genome file.

    Raises:
        UserError: if it has no genome of the encoding, or one that does not fit `spec`.
    """
    fit_to = traits(EncodingTraits, encoding).fit_to
    try:
        return fit_to(file.arrays, spec) if fit_to else encoding
    except UserError as error:
        raise UserError(f"{file.path}: {error}") from None


def genome_in(file: GenomeFile, parts: Parts) -> Genome:
    """Return the genome in `file` for `parts`, which were built with it.

    Raises:
        UserError: if it does not fit the parts.
    """
    encoding = parts.encoding
    like = exported(encoding)
    genome = genome_file.to_genome(file, like, encoding.constants)
    return encoding.adopt(genome) if encoding.adopt else genome


def exported(encoding: Encoding) -> Genome:
    """Return the shapes of the genomes of results."""
    genome = shapes(encoding.init)
    return jax.eval_shape(encoding.export, genome) if encoding.export else genome
