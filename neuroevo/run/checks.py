"""Checks the contracts of parts before anything is compiled.

The functions of parts are traced with abstract values (``jax.eval_shape``); nothing is
computed. A violation is reported in one line, with what was expected and what was
found, instead of the types of a compiled loop. Errors that a part's own code raises
pass through, with a note about the call.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo import differences
from neuroevo.core import keys
from neuroevo.core.acting import act_with
from neuroevo.errors import UserError, type_in_words, with_fields
from neuroevo.progress import UNLIMITED, Group
from neuroevo.run.parts import shapes
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
    Encoding,
    Environment,
    Genome,
    Objective,
    Policy,
    Strategy,
    Task,
)

Shapes = Any  # pytree of jax.ShapeDtypeStruct
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
        _fail(part, f"a {with_fields(kind)}", type_in_words(value))


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
    limit = _integer(environment.max_steps)
    if limit is None or not 1 <= limit <= _MOST:
        _fail("env.max_steps", "an integer from 1 to 2^31 - 1", environment.max_steps)
    spec, key = environment.spec, keys.abstract()
    state, observation = _results(
        "env.reset", environment.reset, ("state", "observation"), key
    )
    _check_observation("env.reset", observation, spec)
    _check_legal(environment, state)
    if not step:
        return
    after, observation, reward, done = _results(
        "env.step",
        environment.step,
        ("state", "observation", "reward", "done"),
        key,
        state,
        _action(spec),
    )
    _check_observation("env.step", observation, spec)
    _check_array("env.step", "a reward", reward, (), "real")
    _check_array("env.step", "the end of the episode (done)", done, (), "boolean")
    _check_like("env.step", "a state like env.reset's", state, after)


def _check_legal(environment: Environment, state: Any) -> None:
    """Check the mask of legal actions of an environment that has one."""
    legal, action = environment.legal, environment.spec.action
    if legal is None:
        return
    if isinstance(action, Box):
        _fail("env.legal", "None unless actions are discrete", repr(action))
    mask, shape = _trace("env.legal", legal, state), outputs(environment.spec)
    _check_array("env.legal", "which actions are legal", mask, shape, "mask")


def check_spec(spec: Spec) -> None:
    """Raise a `UserError` unless policies support the observations and actions."""
    check_part("env.spec", spec, Spec)
    _check_shape("env.spec.observation", spec.observation)
    action = spec.action
    if isinstance(action, Discrete):
        n = _integer(action.n)
        if n is None or not 1 <= n <= _MOST:
            _fail("env.spec.action: Discrete", "an integer of at least 1", action.n)
    elif isinstance(action, MultiDiscrete):
        _check_shape("env.spec.action: MultiDiscrete", action.counts)
        if not action.counts:
            _fail("env.spec.action: MultiDiscrete", "at least one choice", "none")
    elif isinstance(action, Box):
        _check_shape("env.spec.action: Box", action.shape)
    else:
        kind = f"{type(action).__module__}.{type(action).__qualname__}"
        expected = "neuroevo.Discrete(n), neuroevo.MultiDiscrete or neuroevo.Box(shape)"
        _fail("env.spec.action", expected, kind)


def _check_shape(name: str, shape: Any) -> None:
    sizes = [_integer(size) for size in shape] if isinstance(shape, tuple) else [None]
    if not all(size is not None and 1 <= size <= _MOST for size in sizes):
        _fail(name, "a shape: a tuple of integers of at least 1, such as (4,)", shape)


def _check_observation(name: str, observation: Any, spec: Spec) -> None:
    expected = "an observation as in env.spec"
    _check_array(name, expected, observation, spec.observation, "real")


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
    number = _trace("fitness", measure, params, keys.abstract(), role, objective.data)
    _check_array("fitness", "a number", number, (), "real")


def check_task(task: Task, policy: Policy) -> None:
    """Check that a task made in Python returns the outcomes of policies.

    Raises:
        UserError: if its outcomes have other shapes.
    """
    key = keys.abstract()

    def play(params: Any, episodes: Any, key: Any) -> tuple[Any, Any]:
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
        return progress.outcomes.returns, progress.outcomes.lengths

    episodes = jax.ShapeDtypeStruct((1, 3), key.dtype)
    returns, lengths = _trace("env.play", play, shapes(policy.init), episodes, key)
    what = "of 2 groups of 1 policy with 3 episodes"
    _check_array("env.play", f"returns {what}", returns, (2, 1, 3), "real")
    _check_array("env.play", f"lengths {what}", lengths, (2, 1, 3), "integer")


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
        output = _trace("policy.apply", policy.apply, params, observation)
    else:
        memory = _trace("policy.init_memory", policy.init_memory, params)
        output, after = _results(
            "policy.apply",
            policy.apply,
            ("output", "memory"),
            params,
            observation,
            memory,
        )
        what = "a memory like policy.init_memory's"
        _check_like("policy.apply", what, memory, after)
    if legal:
        logits = outputs(spec)
        what = "logits, because the environment has illegal actions"
        _check_array("policy.apply", what, output, logits, "real")
    action = _trace("policy.act", policy.act, output, keys.abstract())
    expected = _action(spec)
    kind = "real" if isinstance(spec.action, Box) else "integer"
    _check_array("policy.act", "an action as in env.spec", action, expected.shape, kind)


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
    start = _trace("encoding.start", encoding.start, keys.abstract())
    decoded = _trace("encoding.decode", encoding.decode, genome, start)
    _check_like("encoding.decode", "parameters like policy.init's", params, decoded)


def check_genome_shapes(name: str, genome: Shapes) -> None:
    """Raise a `UserError` unless a genome holds numbers, all of them real floats."""
    leaves = jax.tree_util.tree_leaves_with_path(genome)
    for path, leaf in leaves:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            _fail(name, f"a genome of real floats{_at(path)}", _short(leaf))
    if not sum(np.prod(np.shape(leaf)) for _, leaf in leaves):
        found = _short(leaves[0][1]) if leaves else "no array"
        _fail(name, "a genome of at least one number", found)


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
            _fail(name, f"a genome of finite numbers{_at(path)}", found)


# --- strategies -----------------------------------------------------------------------


def check_strategy(strategy: Strategy, genome: Shapes, population: int) -> None:
    """Check that a strategy asks for genomes, and keeps the shapes of its state.

    Args:
        strategy: the strategy.
        genome: the shapes of a genome.
        population: the number of candidates.

    Raises:
        UserError: if its candidates, its center or its state have other shapes.
    """
    check_part("strategy", strategy, Strategy)
    key = keys.abstract()
    state = _trace("strategy.init", strategy.init, key, genome)
    names = ("population", "state")
    candidates, asked = _results("strategy.ask", strategy.ask, names, key, state)
    expected = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((population, *x.shape), x.dtype), genome
    )
    what = f"{population} genomes along a leading axis"
    if strategy.differences:
        what = f"{population} differences of genomes along a leading axis"
        added = jax.vmap(differences.add, in_axes=(None, 0))
        candidates = _trace("strategy.ask", added, genome, candidates)
    _check_like("strategy.ask", what, expected, candidates)
    fitness = jax.ShapeDtypeStruct((population,), jnp.float32)
    told = _trace("strategy.tell", strategy.tell, key, candidates, fitness, asked)
    _check_like("strategy.tell", "a state like strategy.init's", state, told)
    center = _trace("strategy.center", strategy.center, told)
    _check_like("strategy.center", "a genome like encoding.init's", genome, center)


# --- tracing --------------------------------------------------------------------------


def _trace(name: str, function: Callable[..., Any], *args: Any) -> Any:
    """Return the shapes of what a part's function returns.

    Raises:
        UserError: if a result contains anything but arrays and Python numbers.
    """

    def call(*args):
        results = function(*args)
        for path, leaf in jax.tree_util.tree_leaves_with_path(results):
            if not _is_array(leaf):
                _fail(name, f"arrays{_at(path)}", type_in_words(leaf))
        return results

    try:
        return jax.eval_shape(call, *args)
    except UserError:
        raise
    except Exception as error:
        error.add_note(f"neuroevo was tracing {name} with {_describe(args)}")
        raise


def _results(
    name: str, function: Callable[..., Any], expected: tuple[str, ...], *args: Any
) -> tuple[Any, ...]:
    """Return the results of `_trace`, if their number is that of `expected`."""
    found = _trace(name, function, *args)
    if not isinstance(found, tuple | list) or len(found) != len(expected):
        several = isinstance(found, tuple | list)
        got = f"{len(found)} results" if several else _short(found)
        _fail(name, f"{len(expected)} results ({', '.join(expected)})", got)
    return tuple(found)


def _check_array(
    name: str, what: str, found: Any, shape: tuple[int, ...], kind: str
) -> None:
    """Raise a `UserError` unless `found` is an array of the given shape and kind."""
    dtype = getattr(found, "dtype", None)
    example, *kinds = _KINDS[kind]
    fits = dtype is not None and any(jnp.issubdtype(dtype, each) for each in kinds)
    if not fits or found.shape != tuple(shape):
        wanted = jax.ShapeDtypeStruct(tuple(shape), example)
        _fail(name, f"{what}, {_short(wanted)}", _short(found))


_KINDS: dict[str, tuple[Any, ...]] = {  # an example, and all that will do
    "real": (jnp.float32, jnp.floating, jnp.integer, jnp.bool_),
    "boolean": (jnp.bool_, jnp.bool_, jnp.floating, jnp.integer),
    "integer": (jnp.int32, jnp.integer),
    "mask": (jnp.bool_, jnp.bool_),
}


def _check_like(name: str, what: str, expected: Shapes, found: Any) -> None:
    """Raise a `UserError` unless `found` has the structure and shapes of `expected`."""
    structure: Any = jax.tree.structure(expected)
    own: Any = jax.tree.structure(found)
    if structure != own:
        _fail(name, f"{what}, of {_cut(structure)}", _cut(own))
    leaves = jax.tree_util.tree_leaves_with_path(expected)
    for (path, wanted), leaf in zip(leaves, jax.tree.leaves(found), strict=True):
        if (wanted.dtype, wanted.shape) != (leaf.dtype, leaf.shape):
            _fail(name, f"{what}, with {_short(wanted)}{_at(path)}", _short(leaf))


def _fail(name: str, expected: str, found: Any) -> NoReturn:
    text = found if isinstance(found, str) else repr(found)
    raise UserError(f"{name}: expected {expected}; got {text}")


# --- words ----------------------------------------------------------------------------


def _is_array(value: Any) -> bool:
    """Return whether JAX accepts `value` as an array."""
    if isinstance(value, bool | int | float | complex | jax.Array):
        return True
    return isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufcV"


def _short(value: Any) -> str:
    """Return the type of an array, such as ``float32[4]``, or of another value."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}{list(value.shape)}".replace("[]", "[] (a scalar)")
    return type_in_words(value)


def _describe(args: Sequence[Any]) -> str:
    return ", ".join(map(_short, args))


def _at(path: tuple[Any, ...]) -> str:
    return f" at {jax.tree_util.keystr(path)}" if path else ""


def _cut(structure: Any) -> str:
    text = str(structure).removeprefix("PyTreeDef(").removesuffix(")")
    return text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}"


def _integer(value: Any) -> int | None:
    """Return `value` as a Python integer if it is an integer of Python or numpy."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
