"""Makes evosax's algorithms from options, and corrects faults of evosax 0.3.2.

`make` returns an algorithm and its parameters; `ask` and `tell` are the algorithm's
own, except for MA_ES, LM_MA_ES and Rm_ES.
"""

import copy
import dataclasses
import functools
import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.strategies.evosax_options import Options, particular
from neuroevo.types import Array, Key

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

    The learned algorithms unpickle checkpoints from the evosax package. No other path
    is ever passed to them, because a pickle may execute code.
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
        if name == "LM_MA_ES":
            params = _limit_memory(params)
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


def ask(algorithm: Any, key: Key, state: Any, params: Any) -> tuple[Array, Any]:
    """Return the candidates of the next generation, (population, dims), and a state."""
    if type(algorithm).__name__ != "Rm_ES":
        return algorithm.ask(key, state, params)
    # evosax draws one step along the evolution paths for all candidates, so selection
    # cannot act on it. Here each candidate takes a step of its own.
    keys = jax.random.split(key, algorithm.population_size)
    one = _alone(algorithm)
    return jax.vmap(lambda key: one.ask(key, state, params)[0][0])(keys), state


def tell(
    algorithm: Any,
    key: Key,
    population: Array,
    fitness: Array,
    state: Any,
    params: Any,
) -> Any:
    """Return the state after a population's fitness, which is minimized."""
    name = type(algorithm).__name__
    if name in {"MA_ES", "LM_MA_ES"}:  # they weigh `z` as if the best came first
        order = jnp.argsort(fitness)
        population, fitness = population[order], fitness[order]
        state = state.replace(z=state.z[order])
    new, _ = algorithm.tell(key, population, fitness, state, params)
    if name == "Rm_ES":
        new = _rank_success(algorithm, fitness, state, params, new)
    return new


@functools.cache
def _alone(algorithm: Any) -> Any:
    """Return the algorithm with a population of one."""
    one = copy.copy(algorithm)
    one.population_size = 1
    return one


def _rank_success(
    algorithm: Any, fitness: Array, old: Any, params: Any, new: Any
) -> Any:
    """Return the state `new` of Rm_ES with the step-size rule of the paper.

    The rule (section III-C of Li & Zhang, 2017) ranks the elites of two generations
    together. evosax passes the recombination weights instead of their fitness. These
    are the same in every generation, so the step size falls to its lower limit.
    """
    count = algorithm.num_elites
    elites = jnp.sort(fitness)[:count]
    both = jnp.concatenate([old.fitness_elites_sorted, elites])
    ranks = jax.scipy.stats.rankdata(both)
    rate = params.weights[:count] @ (ranks[:count] - ranks[count:]) / count
    rate = jnp.where(old.generation_counter == 0, params.q_star, rate)
    smoothed = old.cumulative_rank_rate
    smoothed += params.c_std * (rate - params.q_star - smoothed)
    return new.replace(
        cumulative_rank_rate=smoothed,
        std=algorithm.update_std(old.std, smoothed, params),
        fitness_elites_sorted=elites,
    )


def _limit_memory(params: Any) -> Any:
    """Return the parameters of LM_MA_ES without vectors that have no memory.

    The decay rate of the i-th vector, 4^-i population / dims, is designed for many more
    dimensions than candidates. If it reaches one, the vector is just the last step;
    several such vectors stretch every candidate along it repeatedly, and the search
    diverges. Above two, it ends in NaN.
    """
    remembers = params.c_c < 1
    return params.replace(
        c_c=jnp.minimum(params.c_c, 1.0), c_d=jnp.where(remembers, params.c_d, 0.0)
    )
