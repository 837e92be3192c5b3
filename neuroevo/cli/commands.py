"""The commands, each a module that is imported when it is called.

Each module has ``COMMAND``, which describes its command line, and ``run``, which
executes a command line and returns the exit code.
"""

import importlib
from typing import Any

# Name of the command -> what it does.
COMMANDS = {
    "train": "evolve policies",
    "distill": "find pairs that train networks to act like a teacher, by gradients",
    "collect": "write what a policy sees and does, to distill it",
    "resume": "continue a run from its newest checkpoint",
    "evaluate": "measure a run or a genome on fresh policies and episodes",
    "sweep": "train every run of a grid, and compare them",
    "compare": "compare settings over environments and seeds, with intervals",
    "report": "write a page about a run, or one that compares several",
    "inspect": "show the pairs of a data set",
    "render": "record an episode as a video",
    "plot": "draw learning curves for print",
    "metrics": "write the metrics of runs as CSV or Parquet",
    "merge": "merge data sets of several environments into one",
    "transfer": "train other networks from a genome, and measure them",
    "export": "write an elite of an archive to a genome file",
    "train-policy": "write the parameters of a policy trained from a genome",
    "tune": "find the fastest batch sizes for a run on this machine",
    "list": "list encodings, envs, strategies, policies, presets, zoo, …",
    "doctor": "check the installation",
    "completion": "write a script that completes commands in your shell",
}


def load(name: str) -> Any:
    """Return the module of a command."""
    return importlib.import_module(f"neuroevo.cli.{name.replace('-', '_')}")


def usage() -> str:
    """Return what ``neuroevo --help`` prints."""
    lines = [f"  {name:<14}{does}" for name, does in COMMANDS.items()]
    return "\n".join(
        [
            "usage: neuroevo COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            "For example: neuroevo train --encoding dataset --env CartPole-v1",
            "neuroevo COMMAND --help lists a command's options, with those of the "
            "chosen parts.",
            "",
        ]
    )
