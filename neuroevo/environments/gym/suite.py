"""Any environment of Gymnasium, stepped in Python (neuroevo[gym]).

By its id, or made by a user's function.

They are not written in JAX: each is stepped in Python, in a process of its own or
shared with others. Their names need the prefix ``gym:``, since many of gymnax's
environments have the same ids.
"""

import dataclasses
import functools
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from annotated_types import Gt, Predicate

from neuroevo import cgroups
from neuroevo.environments import descriptors
from neuroevo.environments.gym.making import (
    DEFAULT_LIMIT,
    FEATURES,
    Made,
    from_function,
    make_environment,
    require_gymnasium,
)
from neuroevo.environments.gym.pools import MakePool
from neuroevo.environments.options import AtLeastOne, Option, make_options, option_of
from neuroevo.errors import UserError, did_you_mean
from neuroevo.types import HostEnvironment

PREFIX_ONLY = True  # see `registry.Family`
Seconds = Annotated[float, Gt(0), Predicate(math.isfinite)]

_OPTIONS = {
    "max_steps": Option(
        None,
        "time limit of an episode in steps; None for the environment's own, or "
        f"{DEFAULT_LIMIT} if it has none",
        AtLeastOne | None,
    ),
    "workers": Option(
        None,
        "number of processes that step environments; None for one on each core",
        AtLeastOne | None,
    ),
    "backend": Option(
        "gymnasium",
        "gymnasium, or envpool: much faster, where it knows the environment, and not "
        "exactly the same; pip install envpool",
        Literal["gymnasium", "envpool"],
    ),
    "timeout": Option(
        60.0, "time in which a process must have answered, in seconds", Seconds
    ),
}
_GIVEN = {"render_mode", "max_episode_steps", "disable_env_checker"}  # not options


def names() -> list[str]:
    """Return the ids that are registered with Gymnasium, the newest versions only."""
    if importlib.util.find_spec("gymnasium") is None:
        return []
    newest: dict[tuple[str | None, str], Any] = {}
    for spec in _registry().values():
        key = spec.namespace, spec.name
        if key not in newest or (spec.version or 0) > (newest[key].version or 0):
            newest[key] = spec
    return sorted(spec.id for spec in newest.values() if not _is_jax(spec))


def _is_jax(spec: Any) -> bool:
    """Return whether it is one of Gymnasium's wrappers of functions in JAX."""
    return spec.namespace in ("phys2d", "tabular")


def _registry() -> Mapping[str, Any]:
    require_gymnasium()
    import gymnasium

    return gymnasium.registry


@functools.cache
def config(name: str) -> type:
    """Return the dataclass of options for the environment with the id `name`.

    They include those arguments of its constructor that are scalars.

    Raises:
        UserError: if Gymnasium does not know the id, with the nearest one.
    """
    spec = _spec_of(name)
    namespace = {
        "__doc__": f"{name} of Gymnasium, stepped in Python.",
        "__module__": __name__,
        "slow": True,
        "build": functools.partialmethod(_build, name),
        "features": property(lambda options: FEATURES.get(f"gym:{name}")),
    }
    options = {**_OPTIONS, **_arguments(spec), **descriptors.OPTION}
    return make_options(name, options, namespace)


def _spec_of(name: str) -> Any:
    """Return Gymnasium's registration of an id."""
    registry = _registry()
    import gymnasium

    module, colon, _ = name.rpartition(":")
    try:
        return gymnasium.spec(name) if not colon else _imported(module, name)
    except gymnasium.error.Error as error:
        near = did_you_mean(f"gym:{name}", [f"gym:{each}" for each in registry], "gym:")
        raise UserError(
            f"unknown environment 'gym:{name}': {' '.join(str(error).split())}{near}"
        ) from None


def _imported(module: str, name: str) -> Any:
    """Return the registration of ``module:id``, after importing the module."""
    import gymnasium

    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"environment gym:{name}: its module {module} cannot be imported: {error}"
        ) from None
    return gymnasium.spec(name.rpartition(":")[2])


def _arguments(spec: Any) -> dict[str, Option]:
    """Return the options that a constructor's arguments are, by name."""
    from gymnasium.envs.registration import load_env_creator

    defaults = dict(spec.kwargs)
    try:
        creator = spec.entry_point
        creator = load_env_creator(creator) if isinstance(creator, str) else creator
        parameters = list(inspect.signature(creator).parameters.values())
    except Exception:  # something is missing: what it is, `build` reports
        parameters = []
    for parameter in parameters:
        if parameter.default is not parameter.empty:
            defaults.setdefault(parameter.name, parameter.default)
    text = f"argument of {spec.id}"
    found = {
        name: option_of(default, f"{name}, {text}")
        for name, default in defaults.items()
        if name not in _GIVEN and name not in _OPTIONS
    }
    return {name: option for name, option in found.items() if option is not None}


def adapt(value: Any) -> Made | None:
    """Return options that build an environment of Gymnasium made in Python.

    Args:
        value: an environment of ``gymnasium.make``, which is made again where it is
            needed.

    Raises:
        UserError: if it cannot be made again.
    """
    if not _is_ours(value):
        return None
    spec = value.spec
    if spec is None or hasattr(value, "num_envs"):
        raise UserError(
            f"env: expected a function that makes the {type(value).__name__}, such as "
            "lambda: MyEnv(); got the environment itself, which cannot be made again "
            "in other processes"
        )
    make = functools.partial(_make, spec, {})
    return Made(f"gym:{spec.id}", make, max_steps=spec.max_episode_steps)


def adapt_made(value: Any, make: Callable[[], Any]) -> Made | None:
    """Return options for the environments that `make` makes; `value` is the first."""
    if not _is_ours(value):
        return None
    value.close()
    return from_function(make)


def _is_ours(value: Any) -> bool:
    """Return whether `value` is an environment of Gymnasium, of one or of several."""
    gymnasium = sys.modules.get("gymnasium")  # who has one has imported it
    if gymnasium is None:
        return False
    return isinstance(value, gymnasium.Env | gymnasium.vector.VectorEnv)


def _build(options: Any, name: str) -> HostEnvironment:
    """Make the environment `name` with `options`, a `config` dataclass."""
    made = _make_environment(options, name)
    if not options.descriptor:
        return made
    known = descriptors.measures(options, made.spec.observation)
    return descriptors.described(made, options.descriptor, known)


def _make_environment(options: Any, name: str) -> HostEnvironment:
    given = dict(vars(options))
    own = {key: given.pop(key) for key in _OPTIONS}
    del given["descriptor"]
    spec = _spec_of(name)
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    changed = {key: value for key, value in given.items() if value != defaults[key]}
    if own["max_steps"] is not None:
        changed["max_episode_steps"] = own["max_steps"]
    if own.pop("backend") == "envpool":
        return _make_pooled(name, changed, **own)
    make = functools.partial(_make, spec, changed)
    return make_environment(f"gym:{name}", make, **own)


def _make_pooled(
    name: str, arguments: Mapping[str, Any], *, workers: int | None, **options: Any
) -> HostEnvironment:
    """Make an environment of EnvPool; `workers` are threads in one process."""
    if importlib.util.find_spec("envpool") is None:
        raise UserError(
            "env.backend envpool needs the package envpool: pip install envpool"
        )
    import envpool

    known = envpool.list_all_envs()
    if name not in known:
        raise UserError(
            f"env.backend envpool: it does not know {name}{did_you_mean(name, known)}; "
            "expected env.backend gymnasium"
        )
    make = MakePool(name, workers or cgroups.cores(), dict(arguments))
    return make_environment(f"gym:{name}", make, workers=1, **options)


def _make(
    spec: Any, arguments: Mapping[str, Any], render_mode: str | None = None
) -> Any:
    """Make an environment, in another process."""
    import gymnasium

    given = {"disable_env_checker": True, **arguments}
    if render_mode is not None:
        given["render_mode"] = render_mode
    return gymnasium.make(spec, **given)
