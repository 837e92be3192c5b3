"""``neuroevo evaluate``: measure a genome on fresh policies and episodes."""

import dataclasses

from neuroevo.cli.common import (
    Averaged,
    Chosen,
    Files,
    Genome,
    Json,
    Measured,
    help_without_genome,
    solution_layers,
)
from neuroevo.config.command import DECODING, Command, Line
from neuroevo.config.schema import Machine


@dataclasses.dataclass(frozen=True)
class Options(Machine, Json, Averaged, Measured, Files, Chosen, Genome):
    """Options of ``evaluate``."""


COMMAND = Command(
    "neuroevo evaluate RUN|GENOME.npz [OPTIONS]",
    Options,
    "Measure a genome on fresh policies and episodes.",
    parts=DECODING,
)


def run(line: Line) -> int:
    """Measure a genome, and return the exit code."""
    help_without_genome(COMMAND, line)
    from neuroevo import loading
    from neuroevo.config.resolve import take_name
    from neuroevo.store import genome_file, zoo
    from neuroevo.store.directory import read_genome
    from neuroevo.store.files import to_json
    from neuroevo.terminal import results
    from neuroevo.terminal.console import make_console

    options, layers = line.options, solution_layers(line)
    path = zoo.locate(options.genome)
    file = read_genome(path, options.which)
    environments = genome_file.split(file)
    merged = bool(environments) and not take_name("env", layers, line.names)[0]
    files = environments if merged else {"": file}
    prepared = {}
    for name, each in files.items():
        resolved, each = loading.configure(each, layers, line.words, command=COMMAND)
        prepared[name] = loading.prepare(resolved, each)
        options = resolved.settings
    measured = {
        name: loading.finish(*each).evaluate(
            options.policies, options.episodes, seed=options.seed
        )
        for name, each in prepared.items()
    }
    about = {"genome": str(file.path)}
    if options.json:
        print(to_json(about | ({"tasks": measured} if merged else measured[""])))
    elif merged:
        results.render_environments(measured, make_console())
    else:
        results.render_evaluation(about | measured[""], make_console())
    return 0
