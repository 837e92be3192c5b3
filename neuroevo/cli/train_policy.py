"""``neuroevo train-policy``: write a policy trained from a genome to a file."""

import dataclasses
from pathlib import Path

from neuroevo.cli.common import (
    Averaged,
    Cache,
    Chosen,
    Files,
    Genome,
    missing,
    read_solution,
)
from neuroevo.config.command import DECODING, Command, Line
from neuroevo.config.ranges import Seed


@dataclasses.dataclass(frozen=True)
class Written:
    """The policy to write."""

    out: Path | None = None
    """New file to write, .npz or .safetensors."""
    seed: Seed = 0
    """Seed of the policy's initial parameters."""


@dataclasses.dataclass(frozen=True)
class Options(Cache, Averaged, Written, Files, Chosen, Genome):
    """Options of ``train-policy``."""


COMMAND = Command(
    "neuroevo train-policy RUN|GENOME.npz --out POLICY.npz",
    Options,
    "Train a policy from a genome, and write its parameters to a file.",
    parts=DECODING,
)


def run(line: Line) -> int:
    """Write a policy, and return the exit code."""
    resolved, file, options = read_solution(COMMAND, line)
    from neuroevo import api, loading
    from neuroevo.store import policy_file

    out = options.out
    if out is None:
        raise missing("--out", COMMAND)
    policy_file.check(out)
    api.save_policy(loading.make_solution(resolved, file), out, seed=options.seed)
    print(out)
    return 0
