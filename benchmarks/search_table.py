"""Turn run directories into the table of `SEARCH.md` and a figure of their curves.

    python benchmarks/search_table.py RUN [RUN …] [--figure FILE] [--level 1741]

``A+B`` is a run B that started at the best genome of A (``--start A``): two rows, and
one curve, in which B begins where A ended. A row says what differs from the defaults of
``neuroevo train`` for the environment, and every figure in it is read from the run's
own files.
"""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.config.yaml import read_yaml
from neuroevo.store.directory import CONFIG, ENVIRONMENT, SUMMARY
from neuroevo.store.files import read_json
from neuroevo.store.metrics import read_metrics
from neuroevo.views.colors import color
from neuroevo.views.figures import print_figure

SKIP = {"neuroevo", "devices", "chunk", "decode_chunk", "checkpoint", "seed", "env"}
LIMITS = {"generations", "max_env_steps", "max_seconds", "target"}
MEASURES = {"center_every", "center_policies", "final_policies", "final_episodes"}


def differences(run: Path) -> str:
    """Return the options of a run that are not what its environment suggests."""
    written = read_yaml(run / CONFIG)
    env = {"env": written["env"]["name"]}
    names = {p: written[p]["name"] for p in ("encoding", "policy") if p in written}
    default = resolve.resolve([Layer("", env | names)]).to_dict()
    words = []
    for key, value in written.items():
        if key in SKIP | LIMITS | MEASURES:
            continue
        old = default.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            if value.get("name") != old.get("name"):
                words.append(f"{key} {value['name']}")
                part = {key: {"name": value["name"]}}
                old = resolve.resolve([Layer("", env | names | part)]).to_dict()
                old = old[key]
            changed = {k: v for k, v in value.items() if old.get(k) != v}
            words += [f"{key}.{k} {_text(v)}" for k, v in changed.items()]
        elif value != old:
            words.append(f"{key} {_text(value)}")
    return ", ".join(words) or "defaults"


def _text(value):
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def commands(environment: Mapping[str, Any]) -> list[str]:
    """Return the command lines that began a run and resumed it, in order.

    Args:
        environment: the content of the run's `environment.json`.
    """
    return [
        _line(each["command"])
        for each in [*environment.get("earlier", ()), environment]
    ]


def _line(arguments: Sequence[str]) -> str:
    """Return a command line without this machine's paths."""
    first, *words = arguments
    is_script = first.endswith(".py") and Path(first).name != "__main__.py"
    begin = ["python", first] if is_script else ["neuroevo"]
    names = (Path(word).name if "/" in word else word for word in [*begin, *words])
    return shlex.join(names)


def curve(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return environment steps and held-out returns of a run's center."""
    rows = [r for r in read_metrics(run) if r.get("center_return") is not None]
    return (
        np.array([row["env_steps"] for row in rows]),
        np.array([row["center_return"] for row in rows]),
    )


def row(run: Path) -> str:
    """Return a run as a line of Markdown."""
    last = read_metrics(run)[-1]
    _, returns = curve(run)
    summary = run / SUMMARY
    measured = read_json(summary)
    seed = read_yaml(run / CONFIG)["seed"]

    def figure(name):
        mean, interval = (
            measured.get(f"{name}_return_{k}") for k in ("mean", "interval")
        )
        if mean is None:
            return "–"
        return f"{mean:.4g} ({interval[0]:.4g} to {interval[1]:.4g})"

    cells = [
        run.name,
        differences(run),
        seed,
        last["generation"],
        f"{last['env_steps'] / 1e6:.1f} M",
        f"{last['seconds'] / 60:.0f} min",
        f"{returns.max():.4g}",
        figure("best"),
        figure("final"),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


HEAD = """\
| run | differs from the defaults in | seed | generations | env steps | time | \
highest `center_return` | best center, held out | last center, held out |
|---|---|---|---|---|---|---|---|---|"""


def draw(chains: list[list[Path]], file: Path, level: float | None, label: str) -> None:
    """Draw the held-out returns of runs against their environment steps."""
    with print_figure(file, (7, 4)) as figure:
        axes = figure.add_subplot()
        for i, chain in enumerate(chains):
            steps, returns = [], []
            for path in chain:
                offset = steps[-1][-1] if steps else 0
                steps.append(curve(path)[0] + offset)
                returns.append(curve(path)[1])
            steps, returns = np.concatenate(steps) / 1e6, np.concatenate(returns)
            name = " + ".join(path.name for path in chain)
            highest = np.maximum.accumulate(returns)
            axes.plot(steps, highest, color=color(i), label=name)
            axes.plot(steps, returns, color=color(i), alpha=0.3, lw=0.8)
        if level is not None:
            axes.axhline(level, color="black", ls="--", lw=1)
            at = dict(xycoords=("axes fraction", "data"), ha="left", va="bottom")
            axes.annotate(label, (0.01, level), **at)
        axes.set(xlabel="environment steps (millions)", ylabel="held-out return")
        axes.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--level", type=float)
    parser.add_argument("--label", default="published")
    options = parser.parse_args()
    chains = [[Path(run) for run in chain.split("+")] for chain in options.runs]
    runs_of_all = [run for chain in chains for run in chain]
    print(HEAD)
    for run in runs_of_all:
        print(row(run))
    print()
    for run in runs_of_all:
        print(f"- {run.name}: `{' && '.join(commands(read_json(run / ENVIRONMENT)))}`")
    if options.figure:
        draw(chains, options.figure, options.level, options.label)


if __name__ == "__main__":
    main()
