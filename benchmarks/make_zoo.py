"""Put the genome of a run into the zoo, with its card.

    python benchmarks/make_zoo.py RUN NAME --title "four pairs" [--policies 16]
        [--teacher "WHAT, RETURN, STEPS"]  # of a distillation
    python benchmarks/make_zoo.py again NAME ...  # measures the returns on cards anew

``A+B`` is a run B that started at the best genome of A: the card counts both. The
genome is the last center or the best one, whichever the run's held-out evaluation found
better (of a run without one, the last). The card's return is measured anew, on policies
and episodes that chose nothing.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import search_table

import neuroevo
from neuroevo.config.yaml import read_yaml
from neuroevo.returns import CONFIDENCE
from neuroevo.store import genome_file
from neuroevo.store.directory import BEST, CENTER, CONFIG, ENVIRONMENT, SUMMARY
from neuroevo.store.files import jsonable, read_json
from neuroevo.store.metrics import read_metrics

ZOO = Path(__file__).parents[1] / "genomes" / "zoo"

# Of the policies and episodes that a card's return is measured on: no search has it.
SEED = 1001


def main() -> None:
    if sys.argv[1:2] == ["again"]:
        for name in sys.argv[2:]:
            measure_again(name)
    else:
        add(read_options())


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run")
    parser.add_argument("name")
    parser.add_argument("--title", required=True)
    parser.add_argument("--teacher", help="what it is, returns, and took to find")
    parser.add_argument("--policies", type=int, default=16)
    parser.add_argument("--episodes", type=int, default=8)
    return parser.parse_args()


def add(options: argparse.Namespace) -> None:
    """Write a genome into the zoo."""
    chain = [Path(run) for run in options.run.split("+")]
    run = chain[-1]
    summary = read_json(run / SUMMARY)
    final, best = (summary.get(f"{name}_return_mean", 0) for name in ("final", "best"))
    solution = neuroevo.load(run / (CENTER if final >= best else BEST))
    measured = measure(solution, options.policies, options.episodes)
    environments = [read_json(each / ENVIRONMENT) for each in chain]
    spent = [read_metrics(each)[-1] for each in chain]
    written = read_yaml(run / CONFIG)
    card = {
        "title": options.title,
        "env": solution.config.names["env"],
        "pairs": len(solution.arrays()["states"]),
        "command": " && ".join(
            line for each in environments for line in search_table.commands(each)
        ),
        "search": {
            key: written[key]
            for key in ("strategy", "population", "policies", "episodes")
        },
        "versions": environments[-1]["versions"],
        "generations": sum(row["generation"] for row in spent),
        "env_steps": sum(row["env_steps"] for row in spent),
        "seconds": round(sum(row["seconds"] for row in spent), 1),
        "devices": environments[-1]["devices"],
        "made": time.strftime("%Y-%m-%d"),
        "license": "Apache-2.0",
        **({"teacher": options.teacher} if options.teacher else {}),
        **measured,
    }
    path = ZOO / f"{options.name}.npz"
    meta = dict(solution.meta()) | {"card": jsonable(card)}
    genome_file.save(path, solution.arrays(), meta)
    print(json.dumps(card, indent=2))


def measure(solution: neuroevo.Solution, policies: int, episodes: int) -> dict:
    """Return what a card says of the genome's return."""
    result = solution.evaluate(policies, episodes, seed=SEED)
    names = ("return_mean", "return_interval", "policies", "episodes", "seed")
    return {"confidence": CONFIDENCE} | {name: result[name] for name in names}


def measure_again(name: str) -> None:
    """Measure the return of a genome in the zoo, and change nothing else."""
    file = genome_file.load(ZOO / f"{name}.npz")
    card = file.meta["card"]
    measured = measure(neuroevo.load(file.path), card["policies"], card["episodes"])
    meta = {**file.meta, "card": jsonable(card | measured)}
    genome_file.save(file.path, file.arrays, meta)
    print(name, card["return_mean"], "->", json.dumps(measured))


if __name__ == "__main__":
    main()
