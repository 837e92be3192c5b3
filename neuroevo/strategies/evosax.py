"""Strategies: all of evosax (Lange, 2022; arXiv:2212.04180), maximizing.

A family for `neuroevo.registry`: `names` lists evosax's algorithms under its own names
and ``config(name)`` is the dataclass of one algorithm's options. evosax knows two
kinds of algorithm, with different ways to start; here they look the same:

* *distribution-based*: the search starts at the given genome, and the center is the
  mean (for hill climbers and the like: the best or accepted candidate, which is what
  evosax calls their mean).
* *population-based*: the first `ask` returns the given genome and normal variations of
  it, from whose fitness the algorithm then starts. The center is the best member.

A non-finite fitness counts as just below the worst finite one of its generation, and
a generation without any finite fitness leaves the state as it was.

The options are tables and not read off evosax, because importing evosax creates arrays
and so starts JAX's backend, after which its devices can no longer be configured.
``tests/test_strategies.py`` compares the tables with evosax itself.
"""

import dataclasses
import functools
import inspect
import math
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from neuroevo.errors import UserError, unknown
from neuroevo.types import Array, Genome, Key, Strategy, StrategyState

_ABOUT = {
    "ARS": "Augmented random search (Mania et al., 2018; arXiv:1803.07055).",
    "ASEBO": "ES with active subspaces (Choromanski et al., 2019; arXiv:1903.04268).",
    "CMAAnchoredLES": "Separable CMA-ES with learned residuals (evosax's weights).",
    "CMA_ES": "Covariance matrix adaptation (Hansen, 2016; arXiv:1604.00772).",
    "CR_FM_NES": "Cost-reduced natural ES (Nomura & Ono, 2022; arXiv:2201.11422).",
    "DES": "Discovered ES (Lange et al., 2023; arXiv:2211.11260).",
    "ESMC": "ES with meta-loss clipping (Merchant et al., 2021; arXiv:2107.09661).",
    "EvoTF_ES": "Evolution transformer (Lange et al., 2024; arXiv:2403.02985).",
    "GradientlessDescent": "Gradientless descent (Golovin et al., 2019; "
    "arXiv:1911.06317); std is its largest radius.",
    "GuidedES": "Guided ES (Maheswaranathan et al., 2018; arXiv:1806.10230), here "
    "without a surrogate gradient.",
    "HillClimbing": "Gaussian hill climbing.",
    "iAMaLGaM_Full": "Incremental AMaLGaM (Bosman et al., 2013); its spread stays "
    "above 0.7 std.",
    "iAMaLGaM_Univariate": "Diagonal AMaLGaM (Bosman et al., 2013); its spread stays "
    "above 0.5 std.",
    "LES": "Learned ES (Lange et al., 2023; arXiv:2211.11260).",
    "LM_MA_ES": "Limited-memory MA-ES (Loshchilov et al., 2017; arXiv:1705.06693).",
    "MA_ES": "Matrix adaptation (Beyer & Sendhoff, 2017).",
    "NoiseReuseES": "Noise-reuse ES (Li et al., 2023; arXiv:2304.12180).",
    "Open_ES": "OpenAI's ES (Salimans et al., 2017; arXiv:1703.03864).",
    "PersistentES": "Persistent ES (Vicol et al., 2021; arXiv:2112.13835).",
    "PGPE": "Parameter-exploring policy gradients (Sehnke et al., 2010).",
    "RandomSearch": "Random search around the start.",
    "Rm_ES": "Rank-m ES (Li & Zhang, 2017).",
    "Sep_CMA_ES": "Separable CMA-ES (Ros & Hansen, 2008).",
    "SimulatedAnnealing": "Simulated annealing (Rere et al., 2015).",
    "SimpleES": "Simple ES (Rechenberg, 1973).",
    "SNES": "Separable natural ES (Wierstra et al., 2014).",
    "SV_CMA_ES": "Stein variational CMA-ES (Braun et al., 2024; arXiv:2410.10390).",
    "SV_Open_ES": "Stein variational OpenAI-ES (Liu & Wang, 2016; arXiv:1608.04471).",
    "xNES": "Exponential natural ES (Wierstra et al., 2014).",
    "DifferentialEvolution": "Differential evolution (Storn & Price, 1997).",
    "DiffusionEvolution": "Diffusion evolution (Zhang et al., 2024; arXiv:2410.02543); "
    "it stays within reach of its first population.",
    "GESMR_GA": "GA, group elite mutation rates (Kumar, 2022; arXiv:2204.04817).",
    "LGA": "Learned GA (Lange et al., 2023; arXiv:2304.03995).",
    "MR15_GA": "GA with the 1/5 rule (Rechenberg, 1987).",
    "PSO": "Particle swarm (Kennedy & Eberhart, 1995).",
    "SAMR_GA": "GA with self-adapted mutation rates.",
    "SimpleGA": "Simple GA (Such et al., 2017; arXiv:1712.06567).",
}
_POPULATION_BASED = {
    *("DifferentialEvolution", "DiffusionEvolution", "GESMR_GA", "LGA", "MR15_GA"),
    *("PSO", "SAMR_GA", "SimpleGA"),
}
_GRADIENT_ES = {
    *("ARS", "ASEBO", "ESMC", "GuidedES", "NoiseReuseES", "Open_ES", "PersistentES"),
    *("PGPE", "SV_Open_ES"),
}
_NATURAL_ES = {"DES", "SimpleES", "SNES", "xNES"}
_SCHEDULED = _GRADIENT_ES - {"PGPE", "SV_Open_ES"} | {
    *("HillClimbing", "iAMaLGaM_Full", "iAMaLGaM_Univariate", "SimulatedAnnealing"),
    "SimpleGA",
}
# evosax's own default is SGD at 0.001 in some and raw fitness in others. A step of Adam
# does not depend on the scale of the fitness: here it is about a fifth of std in every
# coordinate. Natural gradients bring their own scale.
_OPTIMIZERS = dict.fromkeys(_GRADIENT_ES, ("adam", 0.02)) | dict.fromkeys(
    _NATURAL_ES, ("sgd", 1.0)
)
_SHAPINGS = dict.fromkeys(_GRADIENT_ES, "centered_rank") | {
    "ARS": "raw",  # it divides by the elites' standard deviation itself
    "DiffusionEvolution": "standardize",  # it takes fitness as energy, temperature 1
}
_LEAST = {"ESMC": 4, "DifferentialEvolution": 4}  # of the population; 2 for all others
_EVEN = _GRADIENT_ES | {"CR_FM_NES"}
_SQUARE = {"ASEBO", "CMA_ES", "iAMaLGaM_Full", "MA_ES", "SV_CMA_ES", "xNES"}

# Options that are particular to an algorithm, without those that evosax accepts and
# then ignores, and without constants that follow from population and genome size.
_CMA = "std_min std_max c_mean c_std d_std"
_AMALGAM = (
    "eta_std eta_shift eta_avs_inc eta_avs_dec nis_max_gens delta_ams theta_sdr "
    "c_mult_init"
)
_PARTICULAR = {
    "ARS": "elite_ratio",
    "ASEBO": "subspace_dims",
    "CMA_ES": f"{_CMA} c_c c_1 c_mu use_negative_weights",
    "CR_FM_NES": "lr_mean c_std c_c c1 lr_move_std lr_stag_std lr_conv_std lr_B "
    "alpha_dist",
    "DES": "lr_std temperature",
    "EvoTF_ES": "lr_mean lr_std max_context_len use_antithetic_sampling",
    "GradientlessDescent": "radius_min radius_decay",
    "GuidedES": "subspace_dims alpha beta",
    "iAMaLGaM_Full": _AMALGAM,
    "iAMaLGaM_Univariate": _AMALGAM,
    "LM_MA_ES": _CMA,
    "MA_ES": f"{_CMA} c_1 c_mu",
    "NoiseReuseES": "T K",
    "Open_ES": "use_antithetic_sampling",
    "PersistentES": "T K",
    "PGPE": "std_lr std_max_change",
    "Rm_ES": f"{_CMA} c_c c_1 m T q_star",
    "Sep_CMA_ES": f"{_CMA} c_c c_1 c_mu",
    "SimulatedAnnealing": "temperature_init temperature_limit temperature_decay "
    "boltzmann_constant",
    "SimpleES": "c_std elite_ratio",
    "SNES": "lr_std_init",
    "SV_CMA_ES": f"num_populations kernel_std alpha {_CMA} c_c c_1 c_mu "
    "use_negative_weights",
    "SV_Open_ES": "num_populations kernel_std alpha use_antithetic_sampling",
    "xNES": "lr_std_init lr_B",
    "DifferentialEvolution": "elitism crossover_rate differential_weight "
    "differential_weight_min differential_weight_max num_diff",
    "DiffusionEvolution": "num_generations std_m num_latent_dims",
    "GESMR_GA": "std_min std_max std_meta num_groups elite_ratio std_ratio",
    "MR15_GA": "std_min std_max std_ratio",
    "PSO": "inertia_coeff cognitive_coeff social_coeff",
    "SAMR_GA": "std_min std_max std_meta elite_ratio",
    "SimpleGA": "crossover_rate elite_ratio",
}

# Type and help of every option; by default an option is None: evosax's own value.
_OPTIONS: dict[str, tuple[type, str]] = {
    "K": (int, "Inner steps that one generation covers; T for whole episodes."),
    "T": (int, "Inner steps (Rm_ES: generations between paths) before renewal."),
    "alpha": (float, "GuidedES: isotropic share of the noise; SV: repulsion."),
    "alpha_dist": (float, "How much distant candidates weigh while moving."),
    "beta": (float, "Scale of the gradient."),
    "boltzmann_constant": (float, "How readily a worse candidate is accepted."),
    "c1": (float, "Learning rate of the rank-one update."),
    "c_1": (float, "Learning rate of the rank-one update."),
    "c_c": (float, "Learning rate of the covariance's evolution path."),
    "c_mean": (float, "Learning rate of the mean."),
    "c_mu": (float, "Learning rate of the rank-mu update."),
    "c_mult_init": (float, "Initial multiplier of the anticipated shift."),
    "c_std": (float, "Learning rate of the standard deviation (its path in CMA)."),
    "cognitive_coeff": (float, "Pull towards a particle's own best."),
    "crossover_rate": (float, "Chance of taking a coordinate from the other parent."),
    "d_std": (float, "Damping of the standard deviation's updates."),
    "delta_ams": (float, "Length of the anticipated mean shift."),
    "differential_weight": (float, "Scale of the difference vectors."),
    "differential_weight_max": (float, "Dithering: the largest such scale."),
    "differential_weight_min": (float, "Dithering: the smallest such scale."),
    "elite_ratio": (float, "Share of the population that is selected."),
    "elitism": (bool, "Vary the best member instead of a random one."),
    "eta_avs_dec": (float, "Factor of the multiplier without improvement."),
    "eta_avs_inc": (float, "Factor of the multiplier on improvement."),
    "eta_shift": (float, "Learning rate of the mean's shift."),
    "eta_std": (float, "Learning rate of the covariance."),
    "inertia_coeff": (float, "Share of its velocity that a particle keeps."),
    "kernel_std": (float, "Reach of the repulsion; by default std times root of size."),
    "lr_B": (float, "Learning rate of the shape."),
    "lr_conv_std": (float, "Learning rate of the std while converging."),
    "lr_mean": (float, "Learning rate of the mean."),
    "lr_move_std": (float, "Learning rate of the std while moving."),
    "lr_stag_std": (float, "Learning rate of the std while stagnating."),
    "lr_std": (float, "Learning rate of the standard deviation."),
    "lr_std_init": (float, "Learning rate of the standard deviation."),
    "m": (int, "Number of evolution paths."),
    "max_context_len": (int, "Generations that the transformer sees."),
    "nis_max_gens": (int, "Generations without improvement before contraction."),
    "num_diff": (int, "Number of difference vectors."),
    "num_generations": (int, "Length of the noise schedule, best that of the run."),
    "num_groups": (int, "Groups with a mutation rate each; divides population - 1."),
    "num_latent_dims": (int, "Compare members in a random projection of this size."),
    "num_populations": (int, "Sub-populations, which share the population equally."),
    "q_star": (float, "Target success rate."),
    "radius_decay": (float, "Candidates over which the radius halves."),
    "radius_min": (float, "Smallest radius."),
    "social_coeff": (float, "Pull towards the swarm's best."),
    "std_lr": (float, "Learning rate of the standard deviation."),
    "std_m": (float, "Noise of a denoising step, in units of the schedule's."),
    "std_max": (float, "Ceiling of the standard deviation."),
    "std_max_change": (float, "Largest relative change of the std in a generation."),
    "std_meta": (float, "Largest factor by which a mutation rate mutates."),
    "std_min": (float, "Floor of the standard deviation."),
    "std_ratio": (float, "MR15: target success rate; GESMR: share of elite rates."),
    "subspace_dims": (int, "Dimensions of the gradients' subspace."),
    "temperature": (float, "Steepness of the recombination weights."),
    "temperature_decay": (float, "Factor of the temperature in each generation."),
    "temperature_init": (float, "Initial temperature."),
    "temperature_limit": (float, "Floor of the temperature."),
    "theta_sdr": (float, "Threshold of the standard deviation ratio."),
    "use_antithetic_sampling": (bool, "Sample mirrored pairs."),
    "use_negative_weights": (bool, "Also learn from the worst half (active CMA)."),
}
_DEFAULTS = {"num_populations": 4}

# How std reaches evosax where it is not simply the spread of the first population:
# xNES multiplies by it twice, ASEBO and GuidedES take the length of a whole step, and
# iAMaLGaM adds it to a covariance (see `_Search.init`).
_STD = {
    "xNES": lambda std, dims: math.sqrt(std),
    "ASEBO": lambda std, dims: std * math.sqrt(dims),
    "GuidedES": lambda std, dims: std * math.sqrt(dims),
    "iAMaLGaM_Full": lambda std, dims: std / math.sqrt(2),
    "iAMaLGaM_Univariate": lambda std, dims: std / 2,
}
_STD_FIELDS = ("std_init", "radius_max", "scale_factor")  # of evosax's Params
_RELATIVE = {"RandomSearch", "DiffusionEvolution"}  # they search around the origin
_UNSORTED = {"MA_ES", "LM_MA_ES"}  # they weigh `z` as if the best came first
_CUBIC = {"MA_ES", "xNES"}  # they hold a matrix for every candidate
_POSITIVE = {"std", "std_decay", "learning_rate", "learning_rate_decay"}
_SHARES = {"elite_ratio", "crossover_rate"}
_MOST_CANDIDATES = 2**24
_LARGEST = float(np.finfo(np.float32).max)
_MOST_FITNESS = 1e15  # in magnitude
_MOST_FLOATS = 20_000**2  # in one array of a strategy: 1.6 GB


def names() -> list[str]:
    """Return evosax's names of all its algorithms."""
    return list(_ABOUT)


@functools.cache
def config(name: str) -> type:
    """Return the frozen dataclass that holds the options of algorithm `name`.

    Raises:
        UserError: if evosax has no such algorithm.
    """
    if name not in _ABOUT:
        raise unknown("strategy", name, names())
    from tyro.conf import arg  # only the command line reads it

    fields = []

    def option(name: str, kind: Any, default: Any, help: str) -> None:
        fields.append((name, Annotated[kind, arg(help=help)], default))

    option("std", float, 0.1, "Initial standard deviation of the search.")
    if name in _SCHEDULED:
        option("std_decay", float, 1.0, "Factor of std in each generation.")
        option("std_limit", float, 0.0, "Floor of std.")
    if name in _OPTIMIZERS:
        kind, rate = _OPTIMIZERS[name]
        optimizers = Literal["sgd", "momentum", "adam", "clipup"]
        option("optimizer", optimizers, kind, "What follows the estimated gradient.")
        option("learning_rate", float, rate, "Step size of the optimizer.")
        option("learning_rate_decay", float, 1.0, "Factor of it in each generation.")
    if name in _SHAPINGS:
        shapings = Literal["raw", "centered_rank", "standardize", "normalize"]
        option("fitness_shaping", shapings, _SHAPINGS[name], "What fitness becomes.")
    option("weight_decay", float, 0.0, "Fitness lost per mean square of the genome.")
    for key in _PARTICULAR.get(name, "").split():
        kind, help = _OPTIONS[key]
        default = _DEFAULTS.get(key)
        option(key, kind if default is not None else kind | None, default, help)
    about = f"{_ABOUT[name]}\n\nNone stands for evosax's own value."
    return dataclasses.make_dataclass(
        name,
        [(key, kind, dataclasses.field(default=value)) for key, kind, value in fields],
        bases=(EvosaxStrategy,),
        namespace={"__doc__": about, "__module__": __name__, "name": name},
        frozen=True,
    )


@dataclasses.dataclass(frozen=True)
class EvosaxStrategy:
    """Options of an evosax algorithm; `config` adds them as fields."""

    name: ClassVar[str]

    def build(self, population: int) -> Strategy:
        """Return the strategy that asks for `population` candidates at a time.

        Raises:
            UserError: if the algorithm cannot work with `population` or an option.
                The strategy's ``init`` does so, when traced, if the genome is at odds
                with an option or too large for the algorithm.
        """
        _check(self, population)
        search = _Search(self, population)
        return Strategy(search.init, search.ask, search.tell, search.center)


def _check(options: EvosaxStrategy, population: int) -> None:
    """Raise a UserError for what is wrong without knowing the genome."""
    name = options.name
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        positive = field.name in _POSITIVE or (
            isinstance(value, int) and not isinstance(value, bool)
        )
        if positive and not value > 0:
            raise UserError(f"{name}: {field.name} must be positive, not {value}")
        if isinstance(value, float) and abs(value) > _LARGEST:
            raise UserError(f"{name}: {field.name} must be finite, not {value}")
        share = field.name in _SHARES or (name, field.name) == ("GuidedES", "alpha")
        if share and value is not None and not 0 <= value <= 1:
            raise UserError(f"{name}: {field.name} must be in [0, 1], not {value}")
    groups = getattr(options, "num_groups", None) or 1
    if (population - 1) % groups:
        nearest = (population - 1) // groups * groups + 1
        raise UserError(
            f"{name}: population - 1 must be a multiple of num_groups ({groups}), not "
            f"{population} - 1; the nearest are {nearest} and {nearest + groups}"
        )
    parts = getattr(options, "num_populations", 1)
    even = name in _EVEN or getattr(options, "use_antithetic_sampling", False)
    step = parts * (2 if even else 1)
    if population > _MOST_CANDIDATES:
        raise UserError(
            f"{name}: expected a population of at most {_MOST_CANDIDATES}, got "
            f"{population}"
        )
    least = max(_LEAST.get(name, 2) * parts, step)
    if population < least:
        raise UserError(f"{name} needs a population of at least {least}: {population}")
    pairs = getattr(options, "num_diff", None) or 1
    if pairs > population:
        raise UserError(
            f"{name}: num_diff must not exceed the population, {population}: {pairs}"
        )
    if population % step:
        nearest = max(population // step * step, least)
        kind = "an even population" if step == 2 else f"a population in {step}s"
        raise UserError(
            f"{name} needs {kind}: {population}; the nearest are {nearest} and "
            f"{nearest + step}"
        )


class State(NamedTuple):
    """The state of a strategy; every leaf is an array of a strong type."""

    evosax: Any  # evosax's own state
    start: Genome  # where the search began; it also gives the genome's structure
    told: Array  # () bool: whether evosax has seen a fitness
    leader: Array  # () int32: the sub-population that did best last (Stein variational)


class _Search:
    """The functions of a strategy. Holds constants only, so that they are pure."""

    def __init__(self, options: EvosaxStrategy, population: int):
        self.options = options
        self.population = population
        self.relative = options.name in _RELATIVE
        self.population_based = options.name in _POPULATION_BASED
        self.parts = getattr(options, "num_populations", None)
        # evosax's objects depend on the genome's size, known from the first trace on.
        self.evosax = functools.cache(
            functools.partial(_make_evosax, options, population // (self.parts or 1))
        )

    def init(self, key: Key, genome: Genome) -> StrategyState:
        start = jax.tree.map(_strong, genome)
        flat = self._flatten(start)
        _check_size(self.options, self.population, flat.size)
        algorithm, params = self.evosax(flat.size)
        origin = jnp.zeros_like(flat) if self.relative else flat
        key, noise_key = jax.random.split(key)
        rows = self.parts or self.population
        noise = jax.random.normal(noise_key, (rows, flat.size)).at[0].set(0.0)
        around = origin + self.options.std * noise  # the first is the origin itself
        if self.population_based:
            state = algorithm.init(key, around, jnp.zeros(rows), params)
        else:
            state = algorithm.init(key, around if self.parts else origin, params)
        if self.options.name.startswith("iAMaLGaM"):
            # evosax starts from the identity whatever the standard deviation.
            state = state.replace(C=state.C * state.std**2)
        told, leader = jnp.zeros((), bool), jnp.zeros((), jnp.int32)
        return State(jax.tree.map(_strong, state), start, told, leader)

    def ask(self, key: Key, state: State) -> tuple[Genome, State]:
        algorithm, params = self._evosax_of(state)
        old = state.evosax
        candidates, new = algorithm.ask(key, old, params)
        if self.population_based:  # `init` left the first population there
            candidates = jnp.where(state.told, candidates, old.population)
            new = _where(state.told, new, old)
        population = jax.vmap(functools.partial(self._unflatten, state))(candidates)
        return population, state._replace(evosax=_like(new, old))

    def tell(
        self, key: Key, population: Genome, fitness: Array, state: State
    ) -> StrategyState:
        algorithm, params = self._evosax_of(state)
        flat = jax.vmap(self._flatten)(population)
        decay = self.options.weight_decay
        if decay:  # relative to size, unlike evosax's, so that it suits any genome
            fitness = fitness - decay * jnp.mean(flat**2, axis=-1)
        fitness, informative = _finite(fitness)
        if self.relative:
            flat = flat - self._flatten(state.start)

        old = state.evosax
        leader = state.leader
        if self.options.name in _UNSORTED:
            order = jnp.argsort(-fitness)
            flat, fitness = flat[order], fitness[order]
            old = old.replace(z=old.z[order])
        if self.parts:
            flat = flat.reshape(self.parts, -1, flat.shape[-1])
            scores = jnp.mean(fitness.reshape(self.parts, -1), axis=-1)
            leader = jnp.argmax(scores).astype(jnp.int32)
        new, _ = algorithm.tell(key, flat, -fitness, old, params)  # evosax minimizes
        if self.population_based:
            first = algorithm.init(key, flat, -fitness, params)
            new = _where(state.told, new, first)
        new = State(_like(new, old), state.start, jnp.ones((), bool), leader)
        return _where(informative & ~_breaks(new, state), new, state)

    def center(self, state: State) -> Genome:
        inner = state.evosax
        if not self.population_based:
            mean = inner.mean[state.leader] if self.parts else inner.mean
            return self._unflatten(state, mean)
        if self.options.name == "PSO":  # its particles fly past what they have found
            members, fitness = inner.population_best, inner.fitness_best
        else:
            members, fitness = inner.population, inner.fitness
        best = self._unflatten(state, members[jnp.argmin(fitness)])
        return _where(state.told, best, state.start)

    def _evosax_of(self, state: State) -> tuple[Any, Any]:
        return self.evosax(sum(leaf.size for leaf in jax.tree.leaves(state.start)))

    def _flatten(self, genome: Genome) -> Array:
        leaves = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), genome)
        return ravel_pytree(leaves)[0]

    def _unflatten(self, state: State, flat: Array) -> Genome:
        start = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), state.start)
        origin, unravel = ravel_pytree(start)
        return _like(unravel(origin + flat if self.relative else flat), state.start)


def _make_evosax(options: EvosaxStrategy, population: int, dims: int) -> Any:
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
        for key in given.keys() & _OPTIONS.keys() & vars(algorithm).keys():
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


def _check_size(options: EvosaxStrategy, population: int, dims: int) -> None:
    """Raise a UserError if a genome of `dims` numbers does not suit the algorithm."""
    name = options.name
    subspace = getattr(options, "subspace_dims", None) or 1
    if subspace > dims:
        raise UserError(
            f"{name}: subspace_dims must not exceed the genome's size, {dims}: "
            f"{subspace}"
        )
    floats = 0  # beyond the population, which all algorithms hold
    if name in _SQUARE:
        floats = dims**2 * getattr(options, "num_populations", 1)
    if name in _CUBIC:
        floats *= population
    if name == "DiffusionEvolution":
        floats = dims * (options.num_latent_dims or dims)
    if name == "EvoTF_ES":  # measured
        floats = 80 * (options.max_context_len or 100) * population * dims
    if floats > _MOST_FLOATS:
        raise UserError(
            f"{name} would need {floats * 4e-9:.3g} GB or more for a genome of {dims} "
            "numbers; Sep_CMA_ES, SNES, Open_ES and PGPE scale to any size"
        )


def _finite(fitness: Array) -> tuple[Array, Array]:
    """Put non-finite values just below the finite ones; also tell if there are any.

    Finite ones are bounded, so that the sum of their squares is finite, too.
    """
    fitness = fitness.astype(jnp.float32)
    limits = jnp.finfo(fitness.dtype)
    finite = jnp.isfinite(fitness)
    fitness = jnp.clip(fitness, -_MOST_FITNESS, _MOST_FITNESS)
    worst = jnp.min(fitness, where=finite, initial=limits.max)
    # The next number below may be subnormal, which many devices take for zero.
    below = jnp.minimum(jnp.nextafter(worst, -jnp.inf), worst - limits.tiny)
    below = jnp.maximum(below, limits.min)
    return jnp.where(finite, fitness, below), jnp.any(finite)


def _breaks(new: Any, old: Any) -> Array:
    """Whether `new` has anything else in place of a finite number.

    A standard deviation that underflows ends so, and one that grows without bound.
    """
    broken = jax.tree.map(
        lambda x, y: jnp.any(~jnp.isfinite(x) & jnp.isfinite(y)), new, old
    )
    return jnp.any(jnp.stack(jax.tree.leaves(broken)))


def _strong(leaf: Any) -> Array:
    leaf = jnp.asarray(leaf)
    return jnp.asarray(leaf, leaf.dtype)


def _like(new: Any, old: Any) -> Any:
    """Return `new` with the dtypes of `old`, all strong."""
    return jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), new, old)


def _where(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(functools.partial(jnp.where, condition), new, old)
