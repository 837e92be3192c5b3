"""Physics engines: randomized, and in batches.

Randomized are MuJoCo's models in JAX (MJX) and brax's systems. What is drawn are
factors: 1 leaves a model as it is.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neuroevo.environments import randomization
from neuroevo.errors import UserError
from neuroevo.types import Action, Array, EnvState, Key

# Which arrays of a model a factor scales, with the power of the factor: those of MJX,
# and those that only brax's systems have.
FACTORS: Mapping[str, Mapping[str, int]] = {
    "damping": {
        "dof_damping": 1,
        "dof.damping": 1,
        "link.constraint_ang_damping": 1,  # positional and spring have no other
    },
    "friction": {"geom_friction": 1, "pair_friction": 1},
    "gravity": {"opt.gravity": 1, "gravity": 1},
    "mass": {
        **{"body_mass": 1, "body_inertia": 1, "body_subtreemass": 1},
        **{"body_invweight0": -1, "dof_invweight0": -1, "tendon_invweight0": -1},
        **{"link.inertia.mass": 1, "link.inertia.i": 1},
        **{"link.invweight": -1, "dof.invweight": -1},
    },
    "strength": {
        **{"actuator_gainprm": 1, "actuator_biasprm": 1, "actuator_forcerange": 1},
        **{"actuator.gain": 1, "actuator.bias_q": 1, "actuator.bias_qd": 1},
        "actuator.force_range": 1,
    },
}
OPTION = randomization.option(
    "factors that each episode draws anew, as NAME:LOW:HIGH (mass:0.8:1.2), of "
    f"{', '.join(FACTORS)}"
)


def scaled(model: Any, factors: Mapping[str, Array], backend: str = "mjx") -> Any:
    """Return a model, with some of its properties scaled.

    Args:
        model: an ``mjx.Model``, or a ``brax.System``.
        factors: of the names in `FACTORS`.
        backend: the pipeline of brax that uses the system.
    """
    if "mass" in factors and backend in ("positional", "spring"):
        model = _with_effective_masses(model)
    for name, factor in factors.items():
        for path, power in FACTORS[name].items():
            if (value := _find(model, path)) is not None:
                # Not a product: what is infinite, and has no limit, stays so.
                limits = jnp.isinf(value)
                value = jnp.where(limits, value, value * factor**power)
                model = model.tree_replace({path: value})
    return model


def _find(model: Any, path: str) -> Any:
    """Return an array of a model, or None if it has none."""
    for name in path.split("."):
        model = getattr(model, name, None)
    return model if model is not None and jnp.size(model) else None


def _with_effective_masses(system: Any) -> Any:
    """Return a brax system whose pipelines use its masses as they are.

    The pipelines positional and spring take a power of masses and moments of inertia,
    which for some robots is 0.
    """
    inertia = system.link.inertia
    moments = jnp.diagonal(inertia.i, axis1=-2, axis2=-1)
    moments = moments ** (1 - system.spring_inertia_scale)
    return system.tree_replace(
        {
            "link.inertia.mass": inertia.mass ** (1 - system.spring_mass_scale),
            "link.inertia.i": moments[..., None] * jnp.eye(3),
            "spring_mass_scale": 0.0,
            "spring_inertia_scale": 0.0,
        }
    )


def randomized(
    env: Any,
    attribute: str,
    texts: Sequence[str],
    reset: Callable[[Key], Any],
    step: Callable[[Key, EnvState, Action], Any],
) -> tuple[Callable, Callable]:
    """Return `reset` and `step` of an environment whose episodes draw factors.

    Args:
        env: the environment that they use, of brax or Playground.
        attribute: the name of its model, which changes while they are traced.
        texts: the option: NAME:LOW:HIGH for each factor.
        reset: resets the environment.
        step: takes a step in it.

    Raises:
        UserError: if the option is wrong.
    """
    found = randomization.ranges(texts, FACTORS)
    for name, (low, _) in found.items():
        if low < 0 or (low == 0 and name == "mass"):
            least = "above 0" if name == "mass" else "of at least 0"
            raise UserError(f"env.randomize {name}: expected factors {least}")
    if not hasattr(env, attribute):
        raise UserError(
            f"env.randomize: {type(env).__name__} has no {attribute}, whose physics "
            "could be randomized; expected none"
        )
    backend = getattr(env, "backend", "mjx")

    def within(function: Callable) -> Callable:
        def call(factors, *arguments):
            model = scaled(getattr(env, attribute), factors, backend)
            with _using(env, attribute, model):
                return function(*arguments)

        return call

    draw = functools.partial(randomization.evenly, found)
    return randomization.drawing(draw, within(reset), within(step))


@contextlib.contextmanager
def _using(env: Any, attribute: str, model: Any) -> Iterator[None]:
    """Let an environment use `model` instead of its own."""
    own = getattr(env, attribute)
    setattr(env, attribute, model)
    try:
        yield
    finally:
        setattr(env, attribute, own)


def in_one_batch(function: Callable) -> Callable:
    """Return `function`, for which nested `jax.vmap` become one.

    Its operations then have a single axis for all episodes in play. A physics engine
    consists of thousands of small ones. With an axis for policies and another for
    episodes, XLA's code for CPUs takes up to 1.4 times longer.

    Args:
        function: a function of pytrees of arrays, which it returns, too.

    Example:
        >>> double = in_one_batch(lambda x: 2 * x)
        >>> jax.vmap(jax.vmap(double))(jnp.ones((3, 4))).shape
        (3, 4)
    """
    one = jax.custom_batching.custom_vmap(function)
    many = jax.custom_batching.custom_vmap(jax.vmap(function))

    @one.def_vmap
    def _first(size: int, mapped: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        return _all_mapped(many(*_repeat(size, mapped, args)))

    @many.def_vmap
    def _another(size: int, mapped: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        merged = jax.tree.map(
            lambda x: x.reshape(-1, *x.shape[2:]), _repeat(size, mapped, args)
        )
        result = many(*merged)
        return _all_mapped(
            jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), result)
        )

    return one


def _repeat(size: int, mapped: Sequence[Any], args: Sequence[Any]) -> Sequence[Any]:
    """Return arguments of `custom_vmap`, each leaf with an axis of `size`."""
    return jax.tree.map(
        lambda has_axis, x: x if has_axis else jnp.broadcast_to(x, (size, *x.shape)),
        tuple(mapped),
        tuple(args),
    )


def _all_mapped(result: Any) -> tuple[Any, Any]:
    """Return what a rule of `custom_vmap` does: which leaves have the axis, too."""
    return result, jax.tree.map(lambda _: True, result)
