"""Put the genome of a run into the zoo, with its card.

    python benchmarks/make_zoo.py RUN NAME --title "four pairs" [--seeds 16]

It is the last centre or the best one, whichever the run's held-out evaluation found
better. The card's return is measured anew, on policies and episodes that chose nothing.
"""

import argparse
import json
import time
from pathlib import Path

import search_table

import neuroevo
from neuroevo import config, genome_file, measures, runs

ZOO = Path(__file__).parents[1] / "genomes" / "zoo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--title", required=True)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--episodes", type=int, default=8)
    options = parser.parse_args()
    summary = json.loads((options.run / runs.SUMMARY).read_text())
    last = summary["final_return_mean"] >= summary["best_return_mean"]
    solution = neuroevo.load(options.run / (runs.CENTER if last else runs.BEST))
    result = solution.evaluate(options.seeds, options.episodes, seed=1)
    environment = json.loads((options.run / runs.ENVIRONMENT).read_text())
    spent = runs.read_metrics(options.run)[-1]
    written = config.read_yaml(options.run / runs.CONFIG)
    card = {
        "title": options.title,
        "env": result["env"],
        "pairs": len(solution.arrays()["states"]),
        "command": search_table.command(options.run),
        "search": {
            key: written[key] for key in ("strategy", "population", "seeds", "episodes")
        },
        "versions": environment["versions"],
        "generations": spent["generation"],
        "env_steps": spent["env_steps"],
        "seconds": spent["seconds"],
        "devices": environment["devices"],
        "made": time.strftime("%Y-%m-%d"),
        "licence": "Apache-2.0",
        "confidence": measures.CONFIDENCE,
        **{
            key: result[key]
            for key in ("return_mean", "return_interval", "seeds", "episodes")
        },
    }
    path = ZOO / f"{options.name}.npz"
    meta = dict(solution.meta()) | {"card": runs.jsonable(card)}
    genome_file.save(path, solution.arrays(), meta)
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
