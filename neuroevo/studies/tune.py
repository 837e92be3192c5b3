"""Measures how long a generation takes with several batch sizes, to find the fastest.

Batch sizes affect speed and memory, and at most the last digits of results. ``auto``
follows from the sizes of the parts; which size is fastest also depends on the caches of
the machine and on how long episodes last.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from neuroevo.config.schema import Config
from neuroevo.errors import OutOfMemory, UserError
from neuroevo.run import build, tuning
from neuroevo.run.launch import launch


class Sizes(NamedTuple):
    """Policies that are rolled out together, and that are decoded together."""

    chunk: int
    decode_chunk: int


def tune(
    config: Config,
    generations: int = 3,
    report: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:
    """Return the fastest batch sizes for a run, and what was measured.

    Every candidate runs the same first generations of the same search. First the chunk
    varies, and then, at the fastest chunk, the decode chunk. A size that `config` gives
    as a number stays as it is. Sizes with which a run does not fit into memory are left
    out.

    Args:
        config: the configuration of the run.
        generations: generations to measure, after one that also compiles.
        report: called with each measurement.

    Returns:
        ``chunk`` and ``decode_chunk``, and ``measured``: for each candidate both sizes,
        ``seconds`` per generation and ``env_steps_per_second``.

    Raises:
        UserError: if the parts do not fit together, or no candidate fits into memory.
    """
    build.set_up_jax(config)
    parts = build.build_parts(config)
    automatic = tuning.resolve_auto(config, parts).settings
    start = Sizes(automatic.chunk, automatic.decode_chunk)
    measured: dict[Sizes, dict[str, Any]] = {}

    def measure(sizes: Sizes) -> None:
        if sizes in measured:
            return
        try:
            found = _measure(config, sizes, generations)
        except OutOfMemory:
            if not measured:  # the automatic sizes are the first
                raise
            return
        measured[sizes] = sizes._asdict() | found
        report(measured[sizes])

    def fastest() -> Sizes:
        return min(measured, key=lambda sizes: measured[sizes]["seconds"])

    measure(start)
    settings = config.settings
    if settings.chunk == "auto":
        for sizes in _chunks(start, settings.population * settings.policies):
            measure(sizes)
    if settings.decode_chunk == "auto":
        for sizes in _decode_chunks(fastest()):
            measure(sizes)
    return fastest()._asdict() | {"measured": list(measured.values())}


def _chunks(start: Sizes, most: int) -> Iterator[Sizes]:
    """Yield sizes with other chunks, at most as many policies as a generation has."""
    for factor in (0.5, 2, 4):
        chunk = int(start.chunk * factor)
        if 1 <= chunk <= most:
            yield start._replace(chunk=chunk)


def _decode_chunks(start: Sizes) -> Iterator[Sizes]:
    """Yield sizes with other decode chunks, which are never larger than the chunk."""
    for decode_chunk in (start.decode_chunk // 2, 2 * start.decode_chunk):
        if 1 <= decode_chunk <= start.chunk:
            yield start._replace(decode_chunk=decode_chunk)


def _measure(config: Config, sizes: Sizes, generations: int) -> dict[str, Any]:
    """Return the seconds per generation and the environment steps per second."""
    settings = dataclasses.replace(
        config.settings,
        **sizes._asdict(),
        generations=1 + generations,
        center_every=2 + generations,  # only in the generation that also compiles
        final_policies=0,
    )
    run = launch(dataclasses.replace(config, settings=settings))
    if run.signal:
        raise KeyboardInterrupt(run.signal)
    first, *rest = run.metrics
    if not rest:
        raise UserError("the run ended before its second generation; expected more")
    seconds = (rest[-1]["seconds"] - first["seconds"]) / len(rest)
    steps = (rest[-1]["env_steps"] - first["env_steps"]) / len(rest)
    return {"seconds": seconds, "env_steps_per_second": steps / seconds}
