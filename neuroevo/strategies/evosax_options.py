"""evosax's algorithms and their options, as tables.

They are not derived from evosax when neuroevo runs, because importing evosax creates
arrays and thus starts JAX's backend, after which devices can no longer be configured.
``tests/test_strategies.py`` compares the tables with evosax itself.
"""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Interval, Le
from typing_extensions import Doc

from neuroevo.errors import UserError

ABOUT = {
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
POPULATION_BASED = {
    *("DifferentialEvolution", "DiffusionEvolution", "GESMR_GA", "LGA", "MR15_GA"),
    *("PSO", "SAMR_GA", "SimpleGA"),
}
GRADIENT_ES = {
    *("ARS", "ASEBO", "ESMC", "GuidedES", "NoiseReuseES", "Open_ES", "PersistentES"),
    *("PGPE", "SV_Open_ES"),
}
_NATURAL_ES = {"DES", "SimpleES", "SNES", "xNES"}
_SCHEDULED = GRADIENT_ES - {"PGPE", "SV_Open_ES"} | {
    *("HillClimbing", "iAMaLGaM_Full", "iAMaLGaM_Univariate", "SimulatedAnnealing"),
    "SimpleGA",
}
# Their std has no limits in evosax. If it vanishes or grows without bound, the search
# ends up where it cannot move.
_LIMITED = {"DES", "SimpleES", "SNES", "xNES"}
# evosax's own default is SGD at 0.001 in some and raw fitness in others. A step of Adam
# does not depend on the scale of the fitness: here it is about a fifth of std in every
# coordinate. Natural gradients bring their own scale.
_OPTIMIZERS = dict.fromkeys(GRADIENT_ES, ("adam", 0.02)) | dict.fromkeys(
    _NATURAL_ES, ("sgd", 1.0)
)
_SHAPINGS = dict.fromkeys(GRADIENT_ES, "centered_rank") | {
    "ARS": "raw",  # it divides by the elites' standard deviation itself
    "DiffusionEvolution": "standardize",  # it takes fitness as energy, temperature 1
}

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

# Type and help of every particular option. Where it means different things to
# different algorithms, the entry of one begins with the algorithm's name.
OPTIONS: dict[str, tuple[type, str]] = {
    "K": (int, "Inner steps that one generation covers; T for whole episodes."),
    "NoiseReuseES.T": (int, "Inner steps after which the noise is drawn anew."),
    "PersistentES.T": (int, "Inner steps after which accumulated noise is cleared."),
    "Rm_ES.T": (int, "Minimum generations between two stored evolution paths."),
    "GuidedES.alpha": (float, "Share of the noise that is isotropic, 0 to 1."),
    "SV_CMA_ES.alpha": (float, "Strength of the repulsion between sub-populations."),
    "SV_Open_ES.alpha": (float, "Strength of the repulsion between sub-populations."),
    "alpha_dist": (float, "Extra weight of distant candidates while the mean moves."),
    "beta": (float, "Scale of the gradient estimate."),
    "boltzmann_constant": (float, "Factor of the acceptance of worse candidates."),
    "c1": (float, "Learning rate of the covariance along its evolution path."),
    "c_1": (float, "Learning rate of the covariance along its evolution path."),
    "Rm_ES.c_1": (float, "Share of the variance that lies along the stored paths."),
    "c_c": (float, "Learning rate of the covariance's evolution path."),
    "c_mean": (float, "Learning rate of the mean."),
    "c_mu": (float, "Learning rate of the covariance from the selected candidates."),
    "c_mult_init": (float, "Initial multiplier of the anticipated mean shift."),
    "c_std": (float, "Learning rate of the step size's evolution path."),
    "Rm_ES.c_std": (float, "Learning rate of the smoothed success rate."),
    "SimpleES.c_std": (float, "Share of the elites' spread in the new std."),
    "cognitive_coeff": (float, "Pull toward a particle's own best position."),
    "crossover_rate": (float, "Probability that a coordinate is the other parent's."),
    "d_std": (float, "Damping of the step size; larger values adapt more slowly."),
    "delta_ams": (float, "Length of the anticipated mean shift, in mean shifts."),
    "differential_weight": (float, "Scale of the difference vectors."),
    "differential_weight_max": (float, "Upper end of a randomly drawn scale."),
    "differential_weight_min": (float, "Lower end of a randomly drawn scale."),
    "elite_ratio": (float, "Share of the population that is selected, 0 to 1."),
    "elitism": (bool, "Vary the best member instead of a random one."),
    "eta_avs_dec": (float, "Factor on the shift's multiplier without improvement."),
    "eta_avs_inc": (float, "Factor on the shift's multiplier after an improvement."),
    "eta_shift": (float, "Learning rate of the mean's shift."),
    "eta_std": (float, "Learning rate of the covariance."),
    "inertia_coeff": (float, "Share of its velocity that a particle keeps."),
    "kernel_std": (float, "Range of the repulsion; none: std * sqrt(genome size)."),
    "lr_B": (float, "Learning rate of the distribution's shape."),
    "lr_conv_std": (float, "Learning rate of the std while the search converges."),
    "lr_mean": (float, "Learning rate of the mean."),
    "lr_move_std": (float, "Learning rate of the std while the mean moves."),
    "lr_stag_std": (float, "Learning rate of the std while the search stagnates."),
    "lr_std": (float, "Learning rate of the std."),
    "lr_std_init": (float, "Learning rate of the log of the std."),
    "m": (int, "Number of stored evolution paths."),
    "max_context_len": (int, "Past generations that the transformer sees."),
    "nis_max_gens": (int, "Generations without improvement before contraction."),
    "num_diff": (int, "Number of difference vectors added to a candidate."),
    "num_generations": (int, "Length of the noise schedule; use that of the run."),
    "num_groups": (int, "Groups with a mutation rate each; divides population - 1."),
    "num_latent_dims": (int, "Compare members in a random projection of this size."),
    "num_populations": (int, "Number of sub-populations of equal size."),
    "q_star": (float, "Target success rate; the std shrinks below it."),
    "radius_decay": (float, "Number of candidates over which the radius halves."),
    "radius_min": (float, "Smallest radius."),
    "social_coeff": (float, "Pull toward the swarm's best position."),
    "std_lr": (float, "Learning rate of the std."),
    "std_m": (float, "Noise added in a denoising step, relative to the schedule's."),
    "std_max": (float, "Upper limit of the std."),
    "std_max_change": (float, "Largest relative change of the std in a generation."),
    "std_meta": (float, "Largest factor by which a mutation rate itself mutates."),
    "std_min": (float, "Lower limit of the std."),
    "MR15_GA.std_ratio": (float, "Success rate above which mutations grow."),
    "GESMR_GA.std_ratio": (float, "Share of the mutation rates that is selected."),
    "subspace_dims": (int, "Dimensions of the subspace of past gradients."),
    "temperature": (float, "Steepness of the recombination weights."),
    "temperature_decay": (float, "Factor on the temperature in each generation."),
    "temperature_init": (float, "Initial temperature."),
    "temperature_limit": (float, "Lower limit of the temperature."),
    "theta_sdr": (float, "Distance of improvements, in std, that lengthens shifts."),
    "use_antithetic_sampling": (bool, "Sample mirrored pairs of candidates."),
    "use_negative_weights": (bool, "Also learn from the worst half (active CMA)."),
}
_POSITIVE = {"std", "std_decay", "learning_rate", "learning_rate_decay"}
_SHARES = {"elite_ratio", "crossover_rate"}
_LARGEST = 1e30  # a float32 can hold its multiples, too
_DEFAULTS = {"num_populations": 4}  # of the others: None, evosax's own value


@dataclasses.dataclass(frozen=True)
class Options:
    """Base of all algorithms' options. `fields` lists the options of one algorithm."""

    name: ClassVar[str]

    std: float
    weight_decay: float


def particular(name: str) -> list[str]:
    """Return the options that only some algorithms, `name` among them, have."""
    return _PARTICULAR.get(name, "").split()


def fields(name: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, annotated type and default of each option of algorithm `name`."""

    def field(key: str, kind: Any, default: Any, help: str) -> tuple[str, Any, Any]:
        optional = kind if default is not None else kind | None
        return key, Annotated[optional, Doc(help), *_range(name, key, kind)], default

    yield field("std", float, 0.1, "Initial standard deviation of the search.")
    help = "Fitness penalty on the mean square of the genome's numbers."
    yield field("weight_decay", float, 0.0, help)
    if name in _SCHEDULED:
        yield field("std_decay", float, 1.0, "Factor on std in each generation.")
        yield field("std_limit", float, 0.0, "Lower limit of std.")
    if name in _LIMITED:
        yield field("std_min", float, 0.0, "Lower limit of std.")
        yield field("std_max", float, _LARGEST, "Upper limit of std.")
    if name in _OPTIMIZERS:
        optimizer, rate = _OPTIMIZERS[name]
        kind = Literal["sgd", "momentum", "adam", "clipup"]
        yield field("optimizer", kind, optimizer, "Optimizer of the center.")
        yield field("learning_rate", float, rate, "Step size of the optimizer.")
        yield field(
            "learning_rate_decay", float, 1.0, "Factor on learning_rate per generation."
        )
    if name in _SHAPINGS:
        shapings = Literal["raw", "centered_rank", "standardize", "normalize"]
        help = "Transformation of the fitness before the strategy receives it."
        yield field("fitness_shaping", shapings, _SHAPINGS[name], help)
    for key in particular(name):
        kind, help = OPTIONS.get(f"{name}.{key}") or OPTIONS[key]
        yield field(key, kind, _DEFAULTS.get(key), help)


def _range(name: str, key: str, kind: Any) -> tuple[Any, ...]:
    """Return the range of an option, as annotations of its type."""
    if kind is int:
        return (Ge(1),)
    if key in _SHARES or (name, key) == ("GuidedES", "alpha"):
        return (Interval(ge=0, le=1),)
    if key in _POSITIVE:
        return Gt(0), Le(_LARGEST)
    return (Interval(ge=-_LARGEST, le=_LARGEST),) if kind is float else ()


_LEAST = {"ESMC": 4, "DifferentialEvolution": 4}  # of the population; 2 for all others
_EVEN = GRADIENT_ES | {"CR_FM_NES"}
_SQUARE = {"ASEBO", "CMA_ES", "iAMaLGaM_Full", "MA_ES", "SV_CMA_ES", "xNES"}
_CUBIC = {"MA_ES", "xNES"}  # they hold a matrix for every candidate
_MOST_CANDIDATES = 2**24
_MOST_FLOATS = 20_000**2  # in one array of a strategy: 1.6 GB


def limits(options: Options) -> tuple[float, float] | None:
    """Return the limits of a std that evosax does not limit; None if there are none."""
    if options.name not in _LIMITED:
        return None
    ends = options.std_min, options.std_max  # type: ignore[attr-defined]
    return None if ends == (0, _LARGEST) else ends


def check(options: Options, population: int) -> None:
    """Raise a `UserError` if the options conflict with each other or `population`."""
    name = options.name
    if (ends := limits(options)) and not ends[0] <= options.std <= ends[1]:
        raise UserError(
            f"{name}: expected std_min <= std <= std_max, got {ends[0]:g}, "
            f"{options.std:g} and {ends[1]:g}"
        )
    groups = getattr(options, "num_groups", None) or 1
    if (population - 1) % groups:
        nearest = max((population - 1) // groups, 1) * groups + 1
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
        raise UserError(
            f"{name}: expected a population of at least {least}, got {population}"
        )
    pairs = getattr(options, "num_diff", None) or 1
    if pairs > population:
        raise UserError(
            f"{name}: expected num_diff of at most the population, {population}, got "
            f"{pairs}"
        )
    if population % step:
        nearest = max(population // step * step, least)
        kind = (
            "an even population" if step == 2 else f"a population divisible by {step}"
        )
        raise UserError(
            f"{name}: expected {kind}, got {population}; the nearest are {nearest} and "
            f"{nearest + step}"
        )


def check_size(options: Options, population: int, dims: int) -> None:
    """Raise a `UserError` if the algorithm cannot use genomes of `dims` numbers."""
    name = options.name
    subspace = getattr(options, "subspace_dims", None) or 1
    if subspace > dims:
        raise UserError(
            f"{name}: expected subspace_dims of at most the genome's size, {dims}, got "
            f"{subspace}"
        )
    floats = 0  # beyond the population, which all algorithms hold
    if name in _SQUARE:
        floats = dims**2 * getattr(options, "num_populations", 1)
    if name in _CUBIC:
        floats *= population
    if name == "DiffusionEvolution":
        floats = dims * (getattr(options, "num_latent_dims", None) or dims)
    if name == "EvoTF_ES":  # measured
        context = getattr(options, "max_context_len", None) or 100
        floats = 80 * context * population * dims
    if floats > _MOST_FLOATS:
        raise UserError(
            f"{name} would need at least {floats * 4e-9:.3g} GB for a genome of {dims} "
            "numbers; Sep_CMA_ES, SNES, Open_ES and PGPE scale to any size"
        )
