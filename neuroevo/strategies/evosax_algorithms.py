"""evosax's algorithm objects, made from options."""

import dataclasses
import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.strategies.evosax_options import Options, particular

# How std reaches evosax where it is not simply the spread of the first population:
# xNES multiplies by it twice, ASEBO and GuidedES take the length of a whole step, and
# iAMaLGaM adds it to a covariance (see `evosax._Search.init`).
_STD = {
    "xNES": lambda std, dims: math.sqrt(std),
    "ASEBO": lambda std, dims: std * math.sqrt(dims),
    "GuidedES": lambda std, dims: std * math.sqrt(dims),
    "iAMaLGaM_Full": lambda std, dims: std / math.sqrt(2),
    "iAMaLGaM_Univariate": lambda std, dims: std / 2,
}
_STD_FIELDS = ("std_init", "radius_max", "scale_factor")  # of evosax's Params


def make(options: Options, population: int, dims: int) -> Any:
    """Return evosax's algorithm and its parameters.

    The learned algorithms unpickle the checkpoints inside the evosax package; no other
    path is ever given to them, as a pickle may execute code.
    """
    # May happen while tracing, but what evosax creates must outlive the trace.
    with jax.ensure_compile_time_eval():
        from evosax.algorithms import algorithms
        from evosax.core import fitness_shaping

        name, given = options.name, dataclasses.asdict(options)
        to_std = _STD.get(name, lambda std, _: std)
        given = {key: value for key, value in given.items() if value is not None}
        if "num_populations" in given:
            # evosax's own values suit a std of 1 and a genome of one number.
            given.setdefault("kernel_std", options.std * math.sqrt(dims))
            given.setdefault("alpha", options.std**2 if name == "SV_CMA_ES" else 1.0)
        if name == "RandomSearch":
            given["sampling_fn"] = lambda key: (
                options.std * jax.random.normal(key, (dims,))
            )
        if "optimizer" in given:
            given["optimizer"] = _make_optimizer(options)
        if "fitness_shaping" in given:
            shaping = given["fitness_shaping"].replace("raw", "identity")
            given["fitness_shaping_fn"] = getattr(
                fitness_shaping, f"{shaping}_fitness_shaping_fn"
            )
        cls = algorithms[name]
        accepted = inspect.signature(cls).parameters
        if "std_schedule" in accepted:
            decay, limit = given.get("std_decay", 1.0), given.get("std_limit", 0.0)
            unit = to_std(1.0, dims)  # the schedule's conversions are linear
            given["std_schedule"] = lambda generation: (
                unit * jnp.maximum(options.std * decay**generation, limit)
            )
        arguments = {key: given.pop(key) for key in list(given) if key in accepted}
        algorithm = cls(
            population_size=population, solution=jnp.zeros(dims), **arguments
        )
        # Some are plain attributes.
        for key in given.keys() & set(particular(name)) & vars(algorithm).keys():
            setattr(algorithm, key, given[key])
        params = algorithm.default_params
        if name == "LM_MA_ES":  # or it ends in NaN for more than 2 candidates a number
            params = params.replace(c_c=jnp.minimum(params.c_c, 1.0))
        values = given | dict.fromkeys(_STD_FIELDS, to_std(options.std, dims))
        fields = {field.name for field in dataclasses.fields(params)}
        params = params.replace(**{k: values[k] for k in values.keys() & fields})
        # numpy, so that the constants belong to no device.
        return algorithm, jax.tree.map(lambda x: np.asarray(jnp.asarray(x)), params)


def _make_optimizer(options: Any) -> Any:
    """Return the optax optimizer that `options` ask for."""
    import optax
    from evosax.core.optimizer import scale_by_clipup

    direction = {
        "sgd": optax.identity,
        "momentum": lambda: optax.trace(decay=0.9),
        "adam": optax.scale_by_adam,
        # Toklu et al., 2020 (arXiv:2008.02387); at most twice the rate in length.
        "clipup": lambda: optax.chain(
            optax.normalize_by_update_norm(eps=1e-8), scale_by_clipup()
        ),
    }[options.optimizer]()
    rate = optax.exponential_decay(
        options.learning_rate, 1, options.learning_rate_decay
    )
    return optax.chain(direction, optax.scale_by_learning_rate(rate))
