"""Measures how well an evolved data set trains other networks.

This is the generalization experiment of "Behaviour Distillation" (HaDES, Lupu et al.,
ICLR 2024, arXiv 2406.15042): a data set that was evolved for one network and one way of
training also trains others. All combinations of several settings are measured.

There are two stages, because compilation takes most of the time. First, policies are
trained one by one, in one program for each shape and optimizer. Then their parameters
are padded with zeros to the widest network, which does not change their outputs, and
one program plays the episodes of all of them.
"""

import dataclasses
import functools
import itertools
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo import devices
from neuroevo.config import ranges
from neuroevo.config.schema import Config
from neuroevo.core import keys
from neuroevo.core.engine import Engine
from neuroevo.errors import UserError, unknown
from neuroevo.policies.imitation import Training
from neuroevo.policies.networks import MLP, Activation, flexible
from neuroevo.policies.restrict import restrict
from neuroevo.returns import summarize
from neuroevo.run import build, switches, tuning
from neuroevo.run.parts import count, shapes
from neuroevo.solution import Solution, drawn
from neuroevo.spaces import pad
from neuroevo.studies.axes import ACTIVATIONS, AXES, NUMBERS
from neuroevo.types import Encoding, Key, Params, Policy

_TRAINING = ("optimizer", "learning_rate", "steps")  # the encoding's options
_MOST = 2**26  # numbers in the parameters of the policies that play together

Variant = Mapping[str, Any]  # a value for each of the axes
Grid = Mapping[str, tuple]  # the values of each axis


def make_grid(resolved: Config, **values: Sequence[Any] | None) -> Grid:
    """Return the values of each axis: those given, or the one in `resolved`.

    Args:
        resolved: the configuration that a genome is decoded with.
        **values: the values by the options in `AXES`; None for the genome's own. Widths
            must be given, because the layers of the genome's network may differ.

    Raises:
        UserError: for a value out of range, or a configuration with nothing to vary.
    """
    policy, encoding = resolved.parts["policy"], resolved.parts["encoding"]
    lacking = [name for name in _TRAINING if not hasattr(encoding, name)]
    if lacking:
        raise UserError(
            f"encoding {resolved.names['encoding']} has no {', '.join(lacking)}: "
            "expected an encoding that trains policies, such as --encoding dataset"
        )
    if not isinstance(policy, MLP):
        raise UserError(
            f"policy {resolved.names['policy']} cannot be made wider or deeper here: "
            "expected --policy mlp"
        )
    own = {name: getattr(encoding, name) for name in _TRAINING}
    own |= {"depth": max(1, len(policy.hidden)), "activation": policy.activation}
    choices = {
        "activation": typing.get_args(Activation),
        "optimizer": _choices(encoding, "optimizer"),
    }
    grid = {}
    for axis, option in AXES.items():
        given = values.get(option)
        given = own.get(axis, ()) if given is None else given
        given = np.atleast_1d(given).tolist()  # plain values, whatever came
        if not given:
            raise UserError(f"{option}: expected one or more values, got none")
        for value in given:
            if axis in NUMBERS:
                ranges.argument(option, value, NUMBERS[axis])
            elif choices[axis] and value not in choices[axis]:
                raise unknown(axis, value, choices[axis])
        grid[axis] = tuple(dict.fromkeys(given))
    return grid


@switches.pinned()
def measure(
    solution: Solution,
    grid: Grid,
    *,
    policies: int,
    episodes: int,
    seed: int | None = None,
) -> dict[str, Any]:
    """Measure fresh policies of all kinds in `grid`.

    The i-th policies of all kinds share the randomness of their episodes, and those of
    the same shape also share their initial parameters. They are the policies and
    episodes that `Solution.evaluate` draws with the same seed.

    Args:
        solution: the genome with its parts.
        grid: the result of `make_grid`.
        policies: number of policies of each kind, S.
        episodes: number of episodes of each policy, E.
        seed: seed of all randomness; None draws a new one.

    Returns:
        A mapping with ``env``, ``policies``, ``episodes``, ``seed``, ``axes`` (the
        grid) and ``rows``. Each row has the settings of one combination, and the
        statistics of its returns from `neuroevo.returns.summarize`.
    """
    rows = [
        dict(zip(grid, values, strict=True))
        for values in itertools.product(*grid.values())
    ]
    seed = drawn(seed)
    policy_keys = keys.policy_keys(keys.evaluation(seed), policies)
    by_depth = itertools.groupby(rows, key=lambda row: row["depth"])
    returns = [
        _play(solution, list(some), policy_keys, episodes) for _, some in by_depth
    ]
    described = map(summarize, itertools.chain(*returns))
    return {
        "env": solution.config.names["env"],
        "policies": policies,
        "episodes": episodes,
        "seed": seed,
        "axes": {axis: list(values) for axis, values in grid.items()},
        "rows": [row | each for row, each in zip(rows, described, strict=True)],
    }


def _play(
    solution: Solution, variants: Sequence[Variant], policy_keys: Key, episodes: int
) -> np.ndarray:
    """Return the returns (G, S, E) of G variants, all of one depth, and S keys."""
    hidden = (max(v["width"] for v in variants),) * variants[0]["depth"]
    activations = tuple(dict.fromkeys(v["activation"] for v in variants))
    policy = _player(solution, hidden, activations)
    like = shapes(policy.init)
    starts = [keys.of_policy(key).start for key in policy_keys]
    decode = _make_decoder(solution, like, starts)

    def gather(variants: Sequence[Variant], s: int) -> Params:
        """Return the parameters of the s-th policies of `variants`, stacked."""

        def policy(variant: Variant) -> Params:
            index = activations.index(variant["activation"])
            selecting = {"activation": index, "depth": variant["depth"]}
            return decode(variant, s) | {
                name: np.full(like[name].shape, value, np.float32)
                for name, value in selecting.items()
            }

        policies = map(policy, variants)
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *policies)

    # Equal groups, the last one filled up: one program plays them all.
    groups = math.ceil(len(variants) * count(like) / _MOST)
    size = math.ceil(len(variants) / groups)
    groups = math.ceil(len(variants) / size)
    filled = [*variants, *[variants[-1]] * (groups * size - len(variants))]
    engine = _build_engine(solution, policy, size)
    evaluate = functools.partial(engine.evaluate, episodes=episodes)

    returns = np.empty((len(filled), len(policy_keys), episodes))
    for first in range(0, len(filled), size):
        rows = slice(first, first + size)
        for s in range(len(policy_keys)):
            genomes, key = gather(filled[rows], s), policy_keys[s : s + 1]
            outcome = evaluate(genomes, solution.answer.task, key)
            returns[rows, s] = outcome.returns[:, 0]
    return returns[: len(variants)]


def _make_decoder(
    solution: Solution, like: Params, starts: Sequence[Key]
) -> Callable[[Variant, int], Params]:
    """Return ``decode(variant, s)``: a policy from the s-th key, padded as `like`.

    The numbers among the options of a `Training` are traced: all their values share a
    program.
    """
    options, spec = solution.config.parts, solution.parts.network_spec
    constants = solution.parts.encoding.constants
    traced = isinstance(options["encoding"], Training)
    numbers = ("learning_rate", "steps") if traced else ()

    def make_policy(hidden: tuple[int, ...], activation: str) -> Policy:
        changes = {"hidden": hidden, "activation": activation}
        settled = options["policy"].settled()
        return dataclasses.replace(settled, **changes).build(spec)

    @functools.cache
    def make_init(hidden: tuple[int, ...]) -> Callable[[Key], Params]:
        return jax.jit(make_policy(hidden, ACTIVATIONS[0]).init)  # any will do

    @functools.cache
    def make_program(hidden, activation, fixed):
        policy = make_policy(hidden, activation)._replace(init=make_init(hidden))

        def make_encoding(**changes):
            encoding = dataclasses.replace(
                options["encoding"], **dict(fixed), **changes
            )
            return build.build_encoding(encoding, policy, spec, constants)

        def decode(genome, start, free):
            params = make_encoding(**free).decode(genome, start)
            to = {name: like[name] for name in params}
            return jax.tree.map(lambda x, to: pad(x, to.shape), dict(params), to)

        return make_encoding().start, jax.jit(decode)

    @functools.lru_cache(maxsize=1)  # the next variant often begins with the same
    def begin(program, s):
        start, _ = make_program(*program)
        return start(starts[s])

    def decode(variant: Variant, s: int) -> Params:
        hidden = (variant["width"],) * variant["depth"]
        fixed = tuple((n, variant[n]) for n in _TRAINING if n not in numbers)
        program = hidden, variant["activation"], fixed
        free = {n: jnp.asarray(variant[n]) for n in numbers}
        start = begin(program, s)
        return make_program(*program)[1](solution.genome, start, free)

    return decode


def _player(
    solution: Solution, hidden: tuple[int, ...], activations: Sequence[Activation]
) -> Policy:
    """Return a policy that can act as any variant no wider than `hidden`."""
    spec, own = solution.parts.network_spec, solution.parts.environment.spec
    settled = solution.config.parts["policy"].settled()
    options = dataclasses.replace(settled, hidden=hidden)
    policy = flexible(options, activations, spec)
    if spec == own:
        return policy
    return restrict(policy, spec, options.build(own), own)


def _build_engine(solution: Solution, policy: Policy, count: int) -> Engine:
    """Return an engine that plays `count` parameters of `policy` in the task.

    A chunk is no larger than the solution's own, which a user may have chosen to limit
    memory. Wide policies need smaller chunks.
    """
    encoding = Encoding(policy.init, decode=lambda genome, start: genome)
    parts = build.with_policy(solution.parts, policy)
    parts = parts._replace(encoding=encoding, strategy=None)
    settings = solution.config.settings
    automatic = dataclasses.replace(settings, chunk="auto")
    resolved = dataclasses.replace(solution.config, settings=automatic)
    chunk = tuning.resolve_auto(resolved, parts).settings.chunk
    chunk = min(chunk, settings.chunk, count)
    settings = dataclasses.replace(settings, chunk=chunk, decode_chunk=chunk)
    resolved = dataclasses.replace(resolved, settings=settings)
    return build.build_engine(resolved, parts, devices.select(resolved.devices))


def _choices(options: Any, name: str) -> tuple[str, ...]:
    """Return the values that a field of a dataclass may have, if it names them."""
    return typing.get_args(typing.get_type_hints(type(options)).get(name))
