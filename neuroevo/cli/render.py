"""``neuroevo render``: record an episode as a video."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from neuroevo.cli.common import (
    Averaged,
    Cache,
    Chosen,
    Files,
    Genome,
    Renderer,
    read_solution,
)
from neuroevo.config.command import DECODING, Command, Line
from neuroevo.config.ranges import Count, Positive, Seed


@dataclasses.dataclass(frozen=True)
class Video:
    """What to record, and how to draw it."""

    TITLE: ClassVar[str] = "video"

    out: Annotated[
        Path | None, tyro.conf.arg(help_behavior_hint="(default: ENV.gif)")
    ] = None
    """New file to write: .gif, .mp4 or, for brax, .html."""
    policies: Count = 5
    """Fresh policies to record; the video shows the one with the median return."""
    seed: Seed = 0
    """Seed of the first policy and its episode; the others use the next seeds."""
    frames: Count = 200
    """Maximum number of frames; of a longer episode, only every k-th step is shown."""
    fps: Positive = 25
    """Frames per second."""
    renderer: Renderer = "outlines"
    """How to draw bodies; MuJoCo's renderer needs EGL or OSMesa."""


@dataclasses.dataclass(frozen=True)
class Options(Cache, Averaged, Video, Files, Chosen, Genome):
    """Options of ``render``."""


COMMAND = Command(
    "neuroevo render RUN|GENOME.npz --out EPISODE.gif [OPTIONS]",
    Options,
    "Record an episode as a video.",
    parts=DECODING,
)


def run(line: Line) -> int:
    """Write a video, and return the exit code."""
    resolved, file, options = read_solution(COMMAND, line)
    from neuroevo import loading
    from neuroevo.views import recording, video

    name = resolved.names["env"].rpartition(":")[2]
    path = options.out or Path(f"{name}.gif")
    video.check_path(path, resolved)
    solution = loading.make_solution(resolved, file)
    recorded = recording.record(
        solution, seed=options.seed, policies=options.policies, frames=options.frames
    )
    video.save(recorded, path, fps=options.fps, renderer=options.renderer)
    print(f"{path}: {recorded.describe()}")
    return 0
