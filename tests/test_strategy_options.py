"""The options of strategies: the tables against evosax itself, ranges and effects."""

import dataclasses
import functools
import inspect
import subprocess
import sys
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tyro

from neuroevo.config import ranges
from neuroevo.errors import UserError
from neuroevo.strategies import evosax as strategies
from neuroevo.strategies import evosax_algorithms, evosax_options

NAMES = strategies.names()


# What evosax's Params or constructors hold that is no option here.
FOLLOWS = {"mu_eff", "chi_n", "h_inv"}  # from population and genome size
RENAMED = {"std_init", "radius_max", "scale_factor"}  # std
IGNORED = {  # by the algorithm itself
    "ASEBO": {"grad_decay"},
    "LGA": {"crossover_rate"},
    "LM_MA_ES": {"c_1", "c_mu"},
    "MA_ES": {"c_c"},
    "Rm_ES": {"c_mu"},
    "SAMR_GA": {"std_best_limit"},
}
ATTRIBUTES = {
    *("elite_ratio", "std_ratio", "temperature", "use_negative_weights"),
}
UNIFIED = {
    *("std", "std_decay", "std_limit", "optimizer", "learning_rate"),
    *("learning_rate_decay", "fitness_shaping", "weight_decay"),
}


@pytest.mark.parametrize("name", NAMES)
def test_options_are_those_of_evosax(name):
    from evosax.algorithms import algorithms

    options = strategies.config(name)()
    population = 17 if name == "GESMR_GA" else 16
    algorithm, params = evosax_algorithms.make(options, population, 6)
    assert type(algorithm) is algorithms[name]
    scalars = {
        field.name
        for field in dataclasses.fields(params)
        if np.ndim(getattr(params, field.name)) == 0
        and np.asarray(getattr(params, field.name)).dtype != object
    }
    signature = inspect.signature(algorithms[name]).parameters
    arguments = {
        key
        for key, parameter in signature.items()
        if parameter.annotation in (int, float, bool, int | None)
    } - {"population_size"}
    own = {"std_min", "std_max"} - scalars  # of a std that evosax does not limit
    expected = (scalars | arguments) - FOLLOWS - RENAMED - IGNORED.get(name, set())
    fields = {field.name for field in dataclasses.fields(options)} - UNIFIED - own
    assert fields - ATTRIBUTES == expected - ATTRIBUTES
    for key in fields - expected:
        assert isinstance(getattr(algorithm, key), bool | float)

    assert ("std_schedule" in signature) >= hasattr(options, "std_decay")
    assert ("optimizer" in signature) == hasattr(options, "optimizer")
    # None is evosax's own value; a value given reaches evosax, with its type.
    hints = typing.get_type_hints(strategies.config(name))
    given = {}
    for key in fields - {"num_populations"}:
        (kind,) = set(typing.get_args(hints[key])) - {type(None)}
        own = getattr(params, key, getattr(algorithm, key, None))
        if own is not None:
            assert np.asarray(own).dtype.kind == np.dtype(kind).kind, key
        given[key] = not own if kind is bool else kind(1)
    changed, values = evosax_algorithms.make(
        dataclasses.replace(options, **given), population, 6
    )
    for key, value in given.items():
        assert getattr(values, key, getattr(changed, key, None)) == value, key


@pytest.mark.parametrize("name", ["SNES", "xNES", "SimpleES", "DES"])
def test_limits_of_std_hold(name):
    options = strategies.config(name)(std=0.5, std_min=0.4, std_max=0.6)
    strategy = options.build(4)
    state = strategy.init(jax.random.key(0), jnp.zeros(3))
    tell = jax.jit(strategy.tell)
    seen = []
    for number in range(40):
        key = jax.random.key(number)
        population, state = strategy.ask(key, state)
        state = tell(key, population, jax.random.normal(key, (4,)), state)
        seen.append(np.asarray(state.evosax.std))
    assert np.float32(0.4) == np.min(seen) or np.max(seen) == np.float32(0.6)
    assert 0.4 - 1e-6 <= np.min(seen) <= np.max(seen) <= 0.6 + 1e-6
    with pytest.raises(UserError, match="expected std_min <= std <= std_max"):
        strategies.config(name)(std=0.5, std_min=0.7).build(4)


def test_a_search_that_grows_without_bound_stays_finite():
    strategy = strategies.config("SNES")(std=1e8).build(4)

    def generation(state, number):
        asking, playing, telling = jax.random.split(jax.random.key(number), 3)
        population, state = strategy.ask(asking, state)
        fitness = jnp.floor(4 * jax.random.uniform(playing, (4,)))  # says nothing
        state = strategy.tell(telling, population, fitness, state)
        return state, jnp.isfinite(population).all()

    state = strategy.init(jax.random.key(0), jnp.zeros(3))
    state, finite = jax.lax.scan(generation, state, jnp.arange(20_000))
    assert finite.all() and jnp.isfinite(strategy.center(state)).all()


def test_names_are_evosaxs():
    from evosax.algorithms import algorithms, population_based_algorithms

    assert NAMES == list(algorithms)
    assert evosax_options.POPULATION_BASED == set(population_based_algorithms)
    assert strategies.config("SNES") is strategies.config("SNES")
    used = {
        f"{name}.{key}" if f"{name}.{key}" in evosax_options.OPTIONS else key
        for name in NAMES
        for key in evosax_options.particular(name)
    }
    assert evosax_options.OPTIONS.keys() == used
    for name in NAMES:  # no two options of an algorithm are explained alike
        texts = [kind.__metadata__[0] for _, kind, _ in evosax_options.fields(name)]
        assert len(set(texts)) == len(texts)
    with pytest.raises(UserError, match="did you mean 'SNES'"):
        strategies.config("SNESS")


def climber(generations=1, **options):
    """Return a function of a slope: the centers and populations of Open_ES on it."""
    strategy = strategies.config("Open_ES")(**options).build(64)

    def generation(scale, state, key):
        population, state = strategy.ask(key, state)
        fitness = scale * jnp.sum(population, axis=-1)
        state = strategy.tell(key, population, fitness, state)
        return state, (strategy.center(state), population)

    @jax.jit
    def climb(scale):
        key = jax.random.key(0)
        state = strategy.init(key, jnp.ones(3))
        each = functools.partial(generation, scale)
        _, (centers, populations) = jax.lax.scan(
            each, state, jax.random.split(key, generations)
        )
        return jnp.concatenate([jnp.ones((1, 3)), centers]), populations

    return climb


@pytest.mark.filterwarnings("ignore:optax.global_norm is deprecated")  # in evosax
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "clipup"])
def test_optimizers_climb_at_the_learning_rate(optimizer):
    centers, _ = climber(4, optimizer=optimizer, learning_rate=0.03)(1.0)
    steps = np.diff(centers, axis=0)
    assert (np.diff(centers, axis=0).mean(axis=0) > 0).all()
    if optimizer == "adam":
        np.testing.assert_allclose(steps[0], 0.03, rtol=1e-3)
    if optimizer == "clipup":
        lengths = np.linalg.norm(steps, axis=1)
        assert lengths[0] == pytest.approx(0.03, rel=1e-3)
        assert lengths.max() <= 0.0601
    if optimizer == "momentum":
        assert steps[3].mean() > 2 * steps[0].mean()


def test_std_and_learning_rate_decay():
    decay = {"std_decay": 0.5, "std_limit": 0.2, "learning_rate_decay": 0.5}
    centers, populations = climber(5, std=0.5, **decay)(1.0)
    spreads = np.std(populations - centers[:-1, None], axis=(1, 2))
    steps = np.abs(np.diff(centers, axis=0)).max(axis=1)
    # evosax uses the schedule's first value twice.
    np.testing.assert_allclose(spreads, [0.5, 0.5, 0.25, 0.2, 0.2], rtol=0.25)
    np.testing.assert_allclose(steps, 0.02 * 0.5 ** np.arange(5), rtol=0.25)


def test_fitness_shaping_and_weight_decay_are_used():
    def steps(*scales, **options):
        climb = climber(optimizer="sgd", learning_rate=1e-3, **options)
        return [np.diff(climb(scale)[0], axis=0) for scale in scales]

    for shaping, factor in (("raw", 10), ("standardize", 1), ("normalize", 1)):
        large, small = steps(10.0, 1.0, fitness_shaping=shaping)
        np.testing.assert_allclose(large, factor * small, rtol=1e-2)
    (step,) = steps(0.0, weight_decay=1.0)
    assert (step < 0).all()


@pytest.mark.parametrize(
    ("name", "options", "population", "message"),
    [
        ("Open_ES", {}, 15, "even population, got 15; the nearest are 14 and 16"),
        ("ESMC", {}, 7, "the nearest are 6 and 8"),
        ("EvoTF_ES", {"use_antithetic_sampling": True}, 7, "even"),
        ("ESMC", {}, 2, "at least 4, got 2"),
        ("DifferentialEvolution", {}, 3, "at least 4, got 3"),
        ("SNES", {}, 1, "at least 2"),
        ("SNES", {}, 0, "at least 2"),
        ("SV_CMA_ES", {}, 18, "divisible by 4, got 18; the nearest are 16 and 20"),
        ("SV_Open_ES", {"num_populations": 2}, 6, "nearest are 4 and 8"),
        ("GESMR_GA", {"num_groups": 5}, 15, "the nearest are 11 and 16"),
        ("DifferentialEvolution", {"num_diff": 17}, 16, "num_diff of at most the"),
        ("SNES", {}, 2**24 + 1, "at most 16777216, got 16777217"),
    ],
)
def test_build_reports_mistakes(name, options, population, message):
    with pytest.raises(UserError, match=message) as error:
        strategies.config(name)(**options).build(population)
    assert "\n" not in str(error.value) and name in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SNES", {"std": 0.0}, "std: expected a number greater than 0"),
        ("SNES", {"std": 1e39}, "std: expected a number greater than 0"),
        ("SNES", {"std": np.nan}, "std: expected a number greater than 0"),
        ("Open_ES", {"learning_rate": -1.0}, "learning_rate: expected a number gre"),
        ("Rm_ES", {"m": 0}, "m: expected an integer of at least 1, got 0"),
        ("GuidedES", {"alpha": 1.5}, "alpha: expected a number from 0 to 1"),
        (
            "SimpleGA",
            {"elite_ratio": 2.0},
            "elite_ratio: expected a number from 0 to 1",
        ),
        ("CMA_ES", {"c_mean": -np.inf}, "c_mean: expected a number from"),
    ],
)
def test_options_have_ranges(name, options, message):
    with pytest.raises(UserError, match=f"strategy.{message}"):
        ranges.check(strategies.config(name)(**options), "strategy")


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_in_range(name):
    ranges.check(strategies.config(name)())


@pytest.mark.parametrize(
    ("name", "options", "size", "message"),
    [
        ("GuidedES", {"subspace_dims": 7}, 6, "subspace_dims of at most the"),
        ("ASEBO", {"subspace_dims": 7}, 6, "subspace_dims of at most the"),
        ("CMA_ES", {}, 30_000, "Sep_CMA_ES, SNES, Open_ES and PGPE"),
        ("xNES", {}, 10_000, "GB"),
        ("MA_ES", {}, 10_000, "GB"),
        ("DiffusionEvolution", {}, 30_000, "GB"),
        ("EvoTF_ES", {}, 10_000, "GB"),
    ],
)
def test_tracing_reports_mistakes_about_the_genome(name, options, size, message):
    strategy = strategies.config(name)(**options).build(16)
    genome = jax.ShapeDtypeStruct((size,), jnp.float32)
    with pytest.raises(UserError, match=message):
        jax.eval_shape(strategy.init, jax.random.key(0), genome)


def test_options_do_not_start_the_backend():
    code = """if True:
        import sys
        from neuroevo.strategies import evosax as strategies
        assert "tyro" not in sys.modules
        for name in strategies.names():
            strategies.config(name)()
        assert "evosax" not in sys.modules
        import jax
        jax.config.update("jax_num_cpu_devices", 2)
        assert jax.device_count("cpu") == 2
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_help_reads_well(capsys):
    with pytest.raises(SystemExit) as stop:
        tyro.cli(strategies.config("SNES"), args=["--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Separable natural ES (Wierstra et al., 2014)." in text
    assert "--learning-rate FLOAT Step size of the optimizer. (default: 1.0)" in text
    assert "--lr-std-init {None}|FLOAT Learning rate of the log of the std." in text
