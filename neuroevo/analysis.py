"""What to do with what has evolved: the other functions that the package exports."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroevo import loading
from neuroevo.config import ranges
from neuroevo.config.custom import parts_in
from neuroevo.config.layers import Layer, read_layers
from neuroevo.loading import Source
from neuroevo.store.directory import check_run
from neuroevo.store.files import check_new_file
from neuroevo.store.metrics import collect_metrics, write_table
from neuroevo.studies.axes import ACTIVATIONS, WIDTHS
from neuroevo.studies.merge import Merged, merge_files, network_layers, read_genomes
from neuroevo.studies.transfer import make_grid, measure
from neuroevo.views import figures, heat_map, home

home.provide()


def merge(
    *genomes: Source,
    out: str | Path | None = None,
    preset: str | None = None,
    config_file: str | Path | None = None,
    **options: Any,
) -> Merged:
    """Merge data sets that were evolved in different environments into one.

    Args:
        *genomes: at least two, each as for `load`.
        out: a new file for the merged genome; None writes no file.
        preset: name of a preset with options of the encoding and policy.
        config_file: YAML file with such options; wins over the preset.
        **options: ``encoding`` and ``policy``, each a name or a mapping of options;
            they override those of the first genome.

    Returns:
        The merged genome in each of its environments.

    Raises:
        UserError: for genomes that cannot be merged, before anything is compiled.

    Example:
        >>> sets = "runs/first", "zoo:breakout-d16"
        >>> merged = neuroevo.merge(*sets, encoding={"steps": 8}, out="merged.npz")
        >>> neuroevo.load("merged.npz", env="CartPole-v1").genome["states"].shape
        (18, 400)
    """
    if out is not None:
        check_new_file(Path(out), (".npz",))
    layers = network_layers(read_layers(preset, config_file))
    layers.append(Layer("merge", options))
    merged = merge_files(read_genomes(genomes), layers)
    if out is not None:
        merged.save(out)
    return merged


def transfer(
    genome: Source,
    *,
    widths: Sequence[int] = WIDTHS,
    depths: Sequence[int] | None = None,
    activations: Sequence[str] = ACTIVATIONS,
    optimizers: Sequence[str] | None = None,
    learning_rates: Sequence[float] | None = None,
    steps: Sequence[int] | None = None,
    policies: int = 8,
    episodes: int = 4,
    seed: int | None = None,
    picture: str | Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train fresh policies of many kinds from one genome, and measure each kind.

    Args:
        genome: a data set, as for `load`.
        widths: units of each hidden layer.
        depths: numbers of hidden layers.
        activations: nonlinearities of the hidden layers.
        optimizers: names of optimizers to train with.
        learning_rates: learning rates of the first step.
        steps: numbers of training steps.
        policies: number of policies of each kind, S.
        episodes: number of episodes of each policy, E.
        seed: seed of the policies and episodes, as in `Solution.evaluate`; None draws a
            new one.
        picture: a new file for a heat map, in the format of its suffix; None draws
            none.
        **options: parts and settings, as for `load`.

    A setting that is None keeps the genome's own value. Every combination is one kind.

    Returns:
        A mapping with ``env``, ``policies``, ``episodes``, ``seed``, ``axes`` (the
        values of each setting by name) and ``rows``. Each row has the settings of one
        combination, and the statistics of its returns from
        `neuroevo.returns.summarize`.

    Raises:
        UserError: for invalid arguments, before anything is compiled or written.

    Example:
        >>> result = neuroevo.transfer(
        ...     "runs/first", widths=[4], activations=["relu"], policies=1, episodes=1
        ... )
        >>> [(row["width"], row["activation"]) for row in result["rows"]]
        [(4, 'relu')]
    """
    values = {
        "widths": widths,
        "depths": depths,
        "activations": activations,
        "optimizers": optimizers,
        "learning_rates": learning_rates,
        "steps": steps,
    }
    for name, count in (("policies", policies), ("episodes", episodes)):
        ranges.argument(name, count, ranges.Count)
    if picture is not None:
        figures.check_path(Path(picture))
    custom, options = parts_in(options)
    layers = [Layer("transfer", options)]
    resolved, file = loading.read_solution(genome, layers, custom=custom)
    grid = make_grid(resolved, **values)
    solution = loading.make_solution(resolved, file)
    result = measure(solution, grid, policies=policies, episodes=episodes, seed=seed)
    if picture is not None:
        heat_map.draw_transfer(result, Path(picture))
    return result


def save_metrics(runs: str | Path | Sequence[str | Path], path: str | Path) -> None:
    """Write the metrics of runs as one table to a file.

    Args:
        runs: a run directory, or several.
        path: a new file, .csv or .parquet.

    Raises:
        UserError: if `path` cannot be written, or if one of `runs` is not a run.

    Example:
        >>> neuroevo.save_metrics(["runs/first"], "metrics.csv")
        >>> open("metrics.csv").readline().split(",")[:3]
        ['run', 'generation', 'env_steps']
    """
    paths = [Path(each) for each in ([runs] if isinstance(runs, str | Path) else runs)]
    for run in paths:
        check_run(run)
    write_table(collect_metrics(paths), Path(path))
