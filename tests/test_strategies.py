"""Every strategy on small problems, and the option tables against evosax itself."""

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
from jax.flatten_util import ravel_pytree

from neuroevo.config import ranges
from neuroevo.errors import UserError
from neuroevo.strategies import evosax as strategies
from neuroevo.strategies import evosax_algorithms, evosax_options

NAMES = strategies.names()
TARGET = {
    "w": jnp.array([[0.3, -0.2], [0.1, 0.4]]),
    "b": jnp.array([-0.5, 0.25], jnp.float32),
}
START = jax.tree.map(jnp.zeros_like, TARGET)
GENERATIONS = 40
# Search that cannot leave the neighborhood of its start, or stops moving too early.
OPTIONS = {
    "RandomSearch": {"std": 0.4},
    "DiffusionEvolution": {"std": 0.3, "num_generations": GENERATIONS},
    "EvoTF_ES": {"max_context_len": 10},  # for speed
    "Rm_ES": {"std": 0.4},
    "SV_CMA_ES": {"num_populations": 2},
    "SV_Open_ES": {"num_populations": 2},
}


def population_of(name):
    return 17 if name == "GESMR_GA" else 16


def fitness_of(genome):
    errors = jax.tree.map(lambda x, y: jnp.sum((x - y) ** 2), genome, TARGET)
    return -sum(jax.tree.leaves(errors))


quickly = functools.partial(  # compiling takes most of the time here
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    },
)


class Harness:
    """A strategy with one compiled generation, shared by the tests of a name."""

    def __init__(self, name, **options):
        self.population = population_of(name)
        options = OPTIONS.get(name, {}) | options
        self.options = strategies.config(name)(**options)
        self.strategy = self.options.build(self.population)
        self.init = quickly(self.strategy.init)

        @quickly
        def generation(state, key, mask, values):
            ask_key, tell_key = jax.random.split(key)
            population, asked = self.strategy.ask(ask_key, state)
            fitness = jnp.where(mask, values, jax.vmap(fitness_of)(population))
            state = self.strategy.tell(tell_key, population, fitness, asked)
            return state, population, self.strategy.center(state)

        def run_generation(state, key, mask, value=np.nan):
            values = np.broadcast_to(np.float32(value), self.population)
            return generation(state, key, mask, values)

        self.generation = run_generation
        self.compiled = generation._cache_size
        self.healthy = jnp.zeros(self.population, bool)

    def run(self, masks, seed=0, value=np.nan):
        state = self.init(jax.random.key(seed), START)
        centers = []
        for key, mask in zip(
            jax.random.split(jax.random.key(seed + 1), len(masks)), masks, strict=True
        ):
            state, _, center = self.generation(state, key, mask, value)
            centers.append(center)
        return state, centers


harness = functools.cache(Harness)


def avals(tree):
    leaves = jax.tree.leaves(tree)
    return [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in leaves]


@pytest.mark.parametrize("name", NAMES)
def test_improves_on_a_quadratic(name):
    run = harness(name)
    state, centers = run.run([run.healthy] * GENERATIONS)
    assert jax.tree.structure(centers[-1]) == jax.tree.structure(START)
    fitness = fitness_of(centers[-1])
    if name == "DiffusionEvolution":  # weak in evosax whatever its settings
        fitness = max(map(fitness_of, centers))
    share = 0.2 if name not in OPTIONS or "SV" in name or "TF" in name else 0.6
    assert fitness > share * fitness_of(START)
    assert run.compiled() == 1


@pytest.mark.parametrize("name", NAMES)
def test_state_keeps_structure_and_strong_types(name):
    strategy, key = harness(name).strategy, jax.random.key(0)
    # In tracing only, as a builder does to validate; nothing of it may leak.
    abstract = jax.eval_shape(strategy.init, key, START)
    population, asked = jax.eval_shape(strategy.ask, key, abstract)
    fitness = jnp.zeros(harness(name).population)
    told = jax.eval_shape(strategy.tell, key, population, fitness, abstract)
    state = harness(name).init(key, START)
    assert all(not weak for _, _, weak in avals(state))
    for other in (abstract, asked, told):
        assert jax.tree.structure(other) == jax.tree.structure(state)
        assert avals(other) == avals(state)
    sizes = {leaf.shape[0] for leaf in jax.tree.leaves(population)}
    assert sizes == {harness(name).population}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38])
@pytest.mark.parametrize("name", NAMES)
def test_failures_do_not_poison(name, value):
    """Nor does fitness at the end of what floats can hold."""
    run = harness(name)
    some = jnp.arange(run.population) % 3 == 0
    first = jnp.arange(run.population) == 0
    masks = [~run.healthy, some, first, ~first, *[some] * 12]
    state, centers = run.run(masks, value=value)
    for center in centers:
        assert np.isfinite(ravel_pytree(center)[0]).all()
    # What is infinite from the start (the best fitness so far, say) may stay so.
    start = run.init(jax.random.key(0), START)
    for before, after in zip(*map(jax.tree.leaves, (start, state)), strict=True):
        assert (np.isfinite(after) | ~np.isfinite(before)).all()


@pytest.mark.parametrize("told", [0, 3])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_learned_from_equal_fitness(name, told):
    """Neither from failures alone: the search goes on as if nothing had happened."""
    run = harness(name)
    state, _ = run.run([run.healthy] * told)
    if name == "NoiseReuseES":  # else it would ask for the same candidates once more
        inner = state.evosax.replace(inner_step_counter=jnp.zeros((), jnp.int32))
        state = state._replace(evosax=inner)
    key = jax.random.key(7)
    _, expected, _ = run.generation(state, key, run.healthy)
    center = run.strategy.center(state)
    candidates = []
    for i, each in enumerate(keys_of(0, 60)):
        value = np.nan if i % 20 == 7 else -200.0
        state, population, now = run.generation(state, each, ~run.healthy, value)
        jax.tree.map(np.testing.assert_array_equal, now, center)
        candidates.append(np.ravel(population["w"]))
    assert len(np.unique(candidates, axis=0)) == 60  # it keeps looking elsewhere
    _, population, _ = run.generation(state, key, run.healthy)
    jax.tree.map(functools.partial(assert_close, rtol=1e-4), population, expected)


assert_close = np.testing.assert_allclose


keys_of = functools.cache(
    lambda seed, n: list(jax.random.split(jax.random.key(seed), n))
)


def wander(run, values, seed):
    """Return how far center and log of spread go in 60 generations of given fitness."""
    state, _ = run.run([run.healthy] * 2, seed=seed)
    spreads = []
    for key, value in zip(keys_of(seed, 60), values, strict=True):
        state, population, center = run.generation(state, key, ~run.healthy, value)
        spreads.append(population)
    first, last = (
        np.concatenate([np.reshape(leaf, (run.population, -1)) for leaf in leaves], 1)
        for leaves in (jax.tree.leaves(spreads[0]), jax.tree.leaves(spreads[-1]))
    )
    ratio = last.var(axis=0).mean() / first.var(axis=0).mean()
    return np.linalg.norm(ravel_pytree(center)[0]), np.log(ratio) / 2


@pytest.mark.parametrize("name", NAMES)
def test_ties_move_the_search_no_more_than_random_ranks(name):
    """Fitness that has nothing to do with the genome: half of it equal, or none."""
    run, rng = harness(name), np.random.default_rng(0)
    ranks = [rng.permuted(np.tile(np.arange(run.population), (60, 1)), axis=1)] * 4
    ranks = [rng.permuted(each, axis=1) for each in ranks]
    ties = [np.maximum(each, run.population // 2) for each in ranks]
    free = np.array([wander(run, each, i) for i, each in enumerate(ranks)])
    tied = np.array([wander(run, each, i) for i, each in enumerate(ties)])
    assert tied[:, 0].mean() < 2 * free[:, 0].max()
    low, high = free[:, 1].min(), free[:, 1].max()
    slack = 0.5 + high - low
    assert low - slack < tied[:, 1].mean() < high + slack


@pytest.mark.parametrize("name", NAMES)
def test_equal_keys_give_equal_searches(name):
    run = harness(name)
    one, _ = run.run([run.healthy] * 3)
    two, _ = run.run([run.healthy] * 3)
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.parametrize("name", NAMES)
def test_starts_from_the_genome_with_the_given_std(name):
    run = harness(name)
    start = jax.tree.map(lambda x: x + 3.0, START)
    state = run.init(jax.random.key(0), start)
    jax.tree.map(np.testing.assert_array_equal, run.strategy.center(state), start)
    spreads = []
    for seed in range(8):
        if name in evosax_options.POPULATION_BASED or "SV" in name:
            state = run.init(jax.random.key(seed), start)
        _, population, _ = run.generation(state, jax.random.key(seed), run.healthy)
        spreads.append(jax.vmap(lambda g: ravel_pytree(g)[0])(population) - 3.0)
    measured = np.sqrt(np.mean(np.concatenate(spreads) ** 2))
    # Largest radius; part of the noise is in a subspace; the means have their own.
    factor = {"GradientlessDescent": 0.55, "GuidedES": 0.9}.get(name, 1.0)
    factor = 1.25 if "SV" in name else factor
    assert measured == pytest.approx(factor * run.options.std, rel=0.25)


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
    algorithm, params = evosax_algorithms.make(options, population_of(name), 6)
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
    expected = (scalars | arguments) - FOLLOWS - RENAMED - IGNORED.get(name, set())
    fields = {field.name for field in dataclasses.fields(options)} - UNIFIED
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
        dataclasses.replace(options, **given), population_of(name), 6
    )
    for key, value in given.items():
        assert getattr(values, key, getattr(changed, key, None)) == value, key


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


@pytest.mark.parametrize("name", ["SNES", "SimpleGA"])
def test_is_evosax_with_the_sign_changed(name):
    from evosax.algorithms import algorithms

    start = jnp.full(5, 0.5)
    run = strategies.config(name)(std=1.0).build(8)
    own = algorithms[name](population_size=8, solution=start)
    params = own.default_params
    state = run.init(jax.random.key(0), start)
    if name == "SimpleGA":
        first, state = run.ask(jax.random.key(1), state)
        fitness = -jnp.sum(first**2, axis=-1)
        state = run.tell(jax.random.key(2), first, fitness, state)
        expected = own.init(jax.random.key(2), first, -fitness, params)
    else:
        expected = own.init(jax.random.key(0), start, params)
    for key in jax.random.split(jax.random.key(3), 4):
        population, state = run.ask(key, state)
        theirs, expected = own.ask(key, expected, params)
        np.testing.assert_allclose(population, theirs, rtol=1e-5, atol=1e-5)
        fitness = -jnp.sum(population**2, axis=-1)
        state = run.tell(key, population, fitness, state)
        expected, _ = own.tell(key, theirs, -fitness, expected, params)
    if name != "SimpleGA":
        np.testing.assert_allclose(run.center(state), expected.mean, rtol=1e-4)


def climb(generations=1, scale=1.0, **options):
    """Return the centers and populations of Open_ES climbing a slope."""
    strategy = strategies.config("Open_ES")(**options).build(64)

    def generation(state, key):
        population, state = strategy.ask(key, state)
        fitness = scale * jnp.sum(population, axis=-1)
        state = strategy.tell(key, population, fitness, state)
        return state, (strategy.center(state), population)

    @quickly
    def run(key):
        state = strategy.init(key, jnp.ones(3))
        return jax.lax.scan(generation, state, jax.random.split(key, generations))[1]

    centers, populations = run(jax.random.key(0))
    return np.concatenate([np.ones((1, 3)), centers]), np.asarray(populations)


@pytest.mark.filterwarnings("ignore:optax.global_norm is deprecated")  # in evosax
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "clipup"])
def test_optimizers_climb_at_the_learning_rate(optimizer):
    centers, _ = climb(4, optimizer=optimizer, learning_rate=0.03)
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
    centers, populations = climb(
        5, std=0.5, std_decay=0.5, std_limit=0.2, learning_rate_decay=0.5
    )
    spreads = np.std(populations - centers[:-1, None], axis=(1, 2))
    steps = np.abs(np.diff(centers, axis=0)).max(axis=1)
    # evosax uses the schedule's first value twice.
    np.testing.assert_allclose(spreads, [0.5, 0.5, 0.25, 0.2, 0.2], rtol=0.25)
    np.testing.assert_allclose(steps, 0.02 * 0.5 ** np.arange(5), rtol=0.25)


def test_fitness_shaping_and_weight_decay_are_used():
    def step(scale, **options):
        centers, _ = climb(1, scale, optimizer="sgd", learning_rate=1e-3, **options)
        return centers[1] - centers[0]

    raw = {"fitness_shaping": "raw"}
    np.testing.assert_allclose(step(10.0, **raw), 10 * step(1.0, **raw), rtol=1e-2)
    for shaping in ("standardize", "normalize"):
        shaped = {"fitness_shaping": shaping}
        np.testing.assert_allclose(step(10.0, **shaped), step(1.0, **shaped), rtol=1e-2)
    assert (step(0.0, weight_decay=1.0) < 0).all()


def test_failures_rank_strictly_last():
    inf = jnp.inf
    for values in ([0.0, jnp.nan, 1.0], [-3e38, inf, 2.0], [1e-37, -inf, 5.0]):
        ranked = strategies._finite(jnp.array(values))
        assert np.isfinite(ranked).all()
        assert (ranked[1] < ranked[jnp.array([0, 2])]).all()
    failures = strategies._finite(jnp.array([jnp.nan, inf]))
    assert failures[0] == failures[1]


def test_ties_are_broken_at_random_and_by_very_little():
    values = jnp.array([0.0, -0.0, 0.0, -200.0, -200.0, 1e-39, 3.0, -1e-37, 1e15])
    values = jnp.concatenate([values, 7.0 + jnp.arange(20.0)])
    break_ties = jax.jit(jax.vmap(strategies._break_ties, (0, None)))
    keys = jax.random.split(jax.random.key(0), 400)
    broken = np.asarray(break_ties(keys, values))
    for each in broken:
        assert len(set(each.tolist())) == len(values)
    assert_close(broken, np.broadcast_to(values, broken.shape), rtol=1e-6, atol=1e-36)
    tied, single = np.r_[0:6], np.r_[6:29]
    np.testing.assert_array_equal(broken[:, single] - np.asarray(values)[single], 0)
    first = broken[:, [0, 1, 2, 5]].argmin(axis=1)
    assert np.bincount(first).min() > 60  # of 100
    assert tied.size + single.size == values.size


@pytest.mark.parametrize("name", ["SNES", "PSO", "RandomSearch"])
def test_genomes_keep_their_structure_shapes_and_dtypes(name):
    genome = {
        "a": jnp.ones((2, 1, 3)),
        "b": (jnp.float32(2.0), jnp.ones(2, "bfloat16")),
    }
    strategy = strategies.config(name)().build(4)

    def generation(state, key):
        population, state = strategy.ask(key, state)
        state = strategy.tell(key, population, jnp.arange(4.0), state)
        return state, population

    @quickly
    def run(keys):
        state = strategy.init(keys[0], genome)
        state, populations = jax.lax.scan(generation, state, keys)
        return strategy.center(state), populations

    center, populations = run(jax.random.split(jax.random.key(0), 3))
    expected = [(x.shape, x.dtype) for x in jax.tree.leaves(genome)]
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(center)] == expected
    expected = [((3, 4, *shape), dtype) for shape, dtype in expected]
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(populations)] == expected


@pytest.mark.parametrize("name", ["MA_ES", "LM_MA_ES", "CMA_ES"])
def test_matrix_adaptation_solves_an_ellipsoid(name):
    # evosax alone hands MA_ES its candidates unsorted and is 10^8 times worse here,
    # and its CMA_ES goes on to NaN when the standard deviation underflows.
    scales = 10.0 ** jnp.linspace(0, 3, 12)
    strategy = strategies.config(name)(std=0.3).build(16)

    def generation(state, key):
        ask_key, tell_key = jax.random.split(key)
        population, state = strategy.ask(ask_key, state)
        fitness = -jnp.sum(scales * (population - 1) ** 2, axis=-1)
        return strategy.tell(tell_key, population, fitness, state), None

    @quickly
    def run(key):
        state = strategy.init(key, jnp.zeros(12))
        state, _ = jax.lax.scan(generation, state, jax.random.split(key, 600))
        return strategy.center(state)

    error = jnp.sum(scales * (run(jax.random.key(0)) - 1) ** 2)
    assert error < (0.1 if name == "LM_MA_ES" else 1e-8)


@pytest.mark.parametrize(
    ("name", "options", "population", "message"),
    [
        ("Open_ES", {}, 15, "even population: 15; the nearest are 14 and 16"),
        ("ESMC", {}, 7, "the nearest are 6 and 8"),
        ("EvoTF_ES", {"use_antithetic_sampling": True}, 7, "even"),
        ("ESMC", {}, 2, "at least 4: 2"),
        ("DifferentialEvolution", {}, 3, "at least 4: 3"),
        ("SNES", {}, 1, "at least 2"),
        ("SNES", {}, 0, "at least 2"),
        ("SV_CMA_ES", {}, 18, "in 4s: 18; the nearest are 16 and 20"),
        ("SV_Open_ES", {"num_populations": 2}, 6, "nearest are 4 and 8"),
        ("GESMR_GA", {"num_groups": 5}, 15, "the nearest are 11 and 16"),
        ("DifferentialEvolution", {"num_diff": 17}, 16, "must not exceed the popul"),
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
    ranges.check(strategies.config(name)(**OPTIONS.get(name, {})))


@pytest.mark.parametrize(
    ("name", "options", "size", "message"),
    [
        ("GuidedES", {"subspace_dims": 7}, 6, "subspace_dims must not exceed"),
        ("ASEBO", {"subspace_dims": 7}, 6, "subspace_dims must not exceed"),
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
