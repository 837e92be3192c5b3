"""Checks the contracts of parts before anything is compiled.

The functions of parts are traced with abstract values (``jax.eval_shape``); nothing is
computed. A violation is reported in one line, with what was expected and what was
found, instead of the types of a compiled loop.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo import differences
from neuroevo.core import keys
from neuroevo.core.acting import act_with
from neuroevo.errors import type_in_words, with_fields
from neuroevo.progress import UNLIMITED, Group
from neuroevo.run.parts import shapes
from neuroevo.run.tracing import (
    Shapes,
    at_path,
    check_array,
    check_bounds,
    check_like,
    fail,
    integer,
    results,
    short,
    trace,
)
from neuroevo.spaces import (
    Box,
    Discrete,
    MultiDiscrete,
    Spec,
    choices,
    outputs,
)
from neuroevo.types import (
    Array,
    Descriptor,
    Encoding,
    Environment,
    Genome,
    Objective,
    Policy,
    Strategy,
    Task,
)

_MOST = 2**31 - 1


def check_part(part: str, value: Any, kind: type) -> None:
    """Raise a `UserError` unless `value` has the fields of `kind`, a part's type.

    Args:
        part: its name among the options of a run.
        value: the result of its ``build`` method.
        kind: `Environment`, `Policy`, `Encoding` or `Strategy`.
    """
    fields: Sequence[str] = kind._fields  # type: ignore[attr-defined]
    if isinstance(value, type) or not all(hasattr(value, name) for name in fields):
        fail(part, f"a {with_fields(kind)}", type_in_words(value))


# --- environments ---------------------------------------------------------------------


def check_environment(environment: Environment, *, step: bool = True) -> None:
    """Check an environment's spec, its time limit, and what it returns.

    Args:
        environment: the environment.
        step: whether to trace ``step``, too; with a physics engine this takes seconds.

    Raises:
        UserError: if a result does not fit the environment's spec.
    """
    check_part("env", environment, Environment)
    check_spec(environment.spec)
    limit = integer(environment.max_steps)
    if limit is None or not 1 <= limit <= _MOST:
        fail("env.max_steps", "an integer from 1 to 2^31 - 1", environment.max_steps)
    spec, key = environment.spec, keys.abstract()
    state, observation = results(
        "env.reset", environment.reset, ("state", "observation"), key
    )
    _check_observation("env.reset", observation, spec)
    _check_legal(environment, state)
    if not step:
        return
    after, observation, reward, done = results(
        "env.step",
        environment.step,
        ("state", "observation", "reward", "done"),
        key,
        state,
        _action(spec),
    )
    _check_observation("env.step", observation, spec)
    check_array("env.step", "a reward", reward, (), "real")
    check_array("env.step", "the end of the episode (done)", done, (), "boolean")
    check_like("env.step", "a state like env.reset's", state, after)
    _check_descriptor(environment, after, observation)


def _check_descriptor(environment: Environment, state: Any, observation: Any) -> None:
    """Check what describes the episodes of an environment, if it says so."""
    descriptor = environment.descriptor
    if descriptor is None:
        return
    check_ranges(descriptor)
    if not callable(descriptor.of):
        fail("env.descriptor", "a function as its of", type_in_words(descriptor.of))
    found = trace("env.descriptor", descriptor.of, state, observation)
    what = f"what describes an episode ({', '.join(descriptor.names)})"
    shape = (len(descriptor.names),)
    check_array("env.descriptor", what, found, shape, "real")


def check_ranges(descriptor: Descriptor) -> None:
    """Raise a `UserError` unless a descriptor names its numbers and their ranges."""
    check_part("env.descriptor", descriptor, Descriptor)
    names, low, high = descriptor.names, descriptor.low, descriptor.high
    named = isinstance(names, tuple) and all(isinstance(x, str) for x in names)
    if not named or not names or len(set(names)) < len(names):
        fail("env.descriptor.names", "a tuple of different names", repr(names))
    for end, values in (("low", low), ("high", high)):
        if np.shape(values) != (len(names),) or not np.isfinite(values).all():
            expected = f"{len(names)} finite numbers, one for each name"
            fail(f"env.descriptor.{end}", expected, repr(values))
    for name, least, most in zip(names, low, high, strict=True):
        if not least < most:
            expected = f"low below high for {name}"
            fail("env.descriptor", expected, f"{least:g} and {most:g}")


def _check_legal(environment: Environment, state: Any) -> None:
    """Check the mask of legal actions of an environment that has one."""
    legal, action = environment.legal, environment.spec.action
    if legal is None:
        return
    if isinstance(action, Box):
        fail("env.legal", "None unless actions are discrete", repr(action))
    mask, shape = trace("env.legal", legal, state), outputs(environment.spec)
    check_array("env.legal", "which actions are legal", mask, shape, "mask")


def check_spec(spec: Spec) -> None:
    """Raise a `UserError` unless policies support the observations and actions."""
    check_part("env.spec", spec, Spec)
    _check_shape("env.spec.observation", spec.observation)
    action = spec.action
    if isinstance(action, Discrete):
        n = integer(action.n)
        if n is None or not 1 <= n <= _MOST:
            fail("env.spec.action: Discrete", "an integer of at least 1", action.n)
    elif isinstance(action, MultiDiscrete):
        _check_shape("env.spec.action: MultiDiscrete", action.counts)
        if not action.counts:
            fail("env.spec.action: MultiDiscrete", "at least one choice", "none")
    elif isinstance(action, Box):
        _check_shape("env.spec.action: Box", action.shape)
    else:
        kind = f"{type(action).__module__}.{type(action).__qualname__}"
        expected = "neuroevo.Discrete(n), neuroevo.MultiDiscrete or neuroevo.Box(shape)"
        fail("env.spec.action", expected, kind)


def _check_shape(name: str, shape: Any) -> None:
    sizes = [integer(size) for size in shape] if isinstance(shape, tuple) else [None]
    if not all(size is not None and 1 <= size <= _MOST for size in sizes):
        fail(name, "a shape: a tuple of integers of at least 1, such as (4,)", shape)


def _check_observation(name: str, observation: Any, spec: Spec) -> None:
    expected = "an observation as in env.spec"
    check_array(name, expected, observation, spec.observation, "real")


def _action(spec: Spec) -> jax.ShapeDtypeStruct:
    """Return the shape and type of an action of `spec`."""
    if isinstance(spec.action, Discrete):
        return jax.ShapeDtypeStruct((), jnp.int32)
    if isinstance(spec.action, MultiDiscrete):
        return jax.ShapeDtypeStruct((len(choices(spec.action)),), jnp.int32)
    return jax.ShapeDtypeStruct(spec.action.shape, jnp.float32)


# --- objectives and tasks -------------------------------------------------------------


def check_objective(objective: Objective, policy: Policy) -> None:
    """Check that an objective returns a number for the networks of `policy`.

    Raises:
        UserError: if it does not.
    """

    def measure(params: Any, key: Any, role: Any, data: Any) -> Any:
        return objective.measure(policy.apply, params, key, role, data)

    params, role = shapes(policy.init), jax.ShapeDtypeStruct((), jnp.int32)
    number = trace("fitness", measure, params, keys.abstract(), role, objective.data)
    check_array("fitness", "a number", number, (), "real")


def check_task(task: Task, policy: Policy) -> None:
    """Check that a task made in Python returns the outcomes of policies.

    Raises:
        UserError: if its outcomes have other shapes.
    """
    key = keys.abstract()

    def play(params: Any, episodes: Any, key: Any) -> tuple[Any, ...]:
        def load(groups: Array) -> Group:
            count = len(groups)
            each = jax.tree.map(
                lambda x: jnp.broadcast_to(x, (count, 1, *x.shape)), params
            )
            own = episodes[jnp.zeros_like(groups)]
            return Group(each, own, jnp.ones((count, 1), bool))

        state, actor = task.init(key), act_with(policy)
        progress = task.begin(actor, load, state, 2, 1)
        progress, _ = task.play(actor, load, state, 2, progress, UNLIMITED)
        found = progress.outcomes
        described = () if task.descriptor is None else found.descriptors
        return found.returns, found.lengths, described

    episodes = jax.ShapeDtypeStruct((1, 3), key.dtype)
    returns, lengths, described = trace(
        "env.play", play, shapes(policy.init), episodes, key
    )
    what = "of 2 groups of 1 policy with 3 episodes"
    check_array("env.play", f"returns {what}", returns, (2, 1, 3), "real")
    check_array("env.play", f"lengths {what}", lengths, (2, 1, 3), "integer")
    if task.descriptor is not None:
        check_ranges(task.descriptor)
        shape = (2, 1, 3, len(task.descriptor.names))
        check_array("env.play", f"descriptors {what}", described, shape, "real")


# --- policies and encodings -----------------------------------------------------------


def check_policy(policy: Policy, spec: Spec, *, legal: bool = False) -> None:
    """Check that a policy's actions fit `spec`, and that its memory keeps its shape.

    Args:
        policy: the policy.
        spec: observations and actions.
        legal: whether the environment says which actions are legal.

    Raises:
        UserError: if its actions or its memory do not fit.
    """
    check_part("policy", policy, Policy)
    params = shapes(policy.init)
    observation = jax.ShapeDtypeStruct(spec.observation, jnp.float32)
    if policy.init_memory is None:
        output = trace("policy.apply", policy.apply, params, observation)
    else:
        memory = trace("policy.init_memory", policy.init_memory, params)
        output, after = results(
            "policy.apply",
            policy.apply,
            ("output", "memory"),
            params,
            observation,
            memory,
        )
        what = "a memory like policy.init_memory's"
        check_like("policy.apply", what, memory, after)
    if legal:
        logits = outputs(spec)
        what = "logits, because the environment has illegal actions"
        check_array("policy.apply", what, output, logits, "real")
    action = trace("policy.act", policy.act, output, keys.abstract())
    expected = _action(spec)
    kind = "real" if isinstance(spec.action, Box) else "integer"
    check_array("policy.act", "an action as in env.spec", action, expected.shape, kind)


def check_encoding(encoding: Encoding, params: Shapes) -> None:
    """Check that an encoding decodes its genomes to a policy's parameters.

    Args:
        encoding: the encoding.
        params: the shapes of the policy's parameters.

    Raises:
        UserError: if the genome is empty, if the initial genome is not finite, or if
            the decoded parameters have other shapes.
    """
    check_part("encoding", encoding, Encoding)
    genome = shapes(encoding.init)
    check_genome_shapes("encoding.init", genome)
    check_genome("encoding.init", encoding.init(keys.search(0).genome))
    start = trace("encoding.start", encoding.start, keys.abstract())
    decoded = trace("encoding.decode", encoding.decode, genome, start)
    check_like("encoding.decode", "parameters like policy.init's", params, decoded)
    if encoding.bounds is not None:
        check_bounds("encoding.bounds", encoding.bounds, genome)
    if encoding.export is not None:
        exported = trace("encoding.export", encoding.export, genome)
        check_genome_shapes("encoding.export", exported)
        if encoding.adopt is not None:
            adopted = trace("encoding.adopt", encoding.adopt, exported)
            like = "a genome like encoding.init's"
            check_like("encoding.adopt", like, genome, adopted)


def check_genome_shapes(name: str, genome: Shapes) -> None:
    """Raise a `UserError` unless a genome holds numbers, all of them real floats."""
    leaves = jax.tree_util.tree_leaves_with_path(genome)
    for path, leaf in leaves:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            fail(name, f"a genome of real floats{at_path(path)}", short(leaf))
    if not sum(np.prod(np.shape(leaf)) for _, leaf in leaves):
        found = short(leaves[0][1]) if leaves else "no array"
        fail(name, "a genome of at least one number", found)


def check_genome(name: str, genome: Genome) -> None:
    """Raise a `UserError` if a genome has a number that is not finite.

    Args:
        name: the origin of the genome, for the message.
        genome: a pytree of arrays of numpy or JAX.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(genome):
        numbers = np.asarray(leaf, np.float64)
        if bad := int((~np.isfinite(numbers)).sum()):
            found = f"{bad} of {numbers.size} that are NaN or infinite"
            fail(name, f"a genome of finite numbers{at_path(path)}", found)


# --- strategies -----------------------------------------------------------------------


def check_strategy(
    strategy: Strategy,
    genome: Shapes,
    population: int,
    descriptor: Descriptor | None = None,
) -> None:
    """Check that a strategy asks for genomes, and keeps the shapes of its state.

    Args:
        strategy: the strategy.
        genome: the shapes of a genome.
        population: the number of candidates.
        descriptor: what describes what they do, if something does.

    Raises:
        UserError: if it has an archive and nothing describes what candidates do; if its
            candidates, its center or its state have other shapes.
    """
    check_part("strategy", strategy, Strategy)
    key = keys.abstract()
    state = trace("strategy.init", strategy.init, key, genome)
    names = ("population", "state")
    candidates, asked = results("strategy.ask", strategy.ask, names, key, state)
    expected = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((population, *x.shape), x.dtype), genome
    )
    made, what = candidates, f"{population} genomes along a leading axis"
    if strategy.differences:
        what = f"{population} differences of genomes along a leading axis"
        added = jax.vmap(differences.add, in_axes=(None, 0))
        made = trace("strategy.ask", added, genome, candidates)
    check_like("strategy.ask", what, expected, made)
    given = [jax.ShapeDtypeStruct((population,), jnp.float32), asked]
    if strategy.archive is not None:
        if descriptor is None:
            fail("strategy", "an env with a descriptor, for its archive", "none")
        shape = (population, len(descriptor.names))
        given.append(jax.ShapeDtypeStruct(shape, jnp.float32))
    told = trace("strategy.tell", strategy.tell, key, candidates, *given)
    check_like("strategy.tell", "a state like strategy.init's", state, told)
    center = trace("strategy.center", strategy.center, told)
    check_like("strategy.center", "a genome like encoding.init's", genome, center)
