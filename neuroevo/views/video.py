"""Videos of episodes: GIF, MP4, and an interactive page for bodies."""

import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from neuroevo.config.schema import Config
from neuroevo.errors import UserError
from neuroevo.spaces import Discrete, Spec
from neuroevo.store.files import atomic_write, check_new_file
from neuroevo.terminal.formatting import format_value
from neuroevo.traits import EnvironmentTraits, traits
from neuroevo.types import Picture
from neuroevo.views.body_page import make_page
from neuroevo.views.colors import draw_legend
from neuroevo.views.figures import new_figure
from neuroevo.views.recording import Recording
from neuroevo.views.scenes import make_scene

SUFFIXES = (".gif", ".mp4", ".html")
_DPI = 80
_INCHES = (6, 4)  # 480 x 320 pixels, which recording codecs like
_COLORS = 64  # of a GIF
_LONGEST = 655_350  # ms that a GIF can show a frame


def check_path(path: Path, config: Config) -> None:
    """Raise a `UserError` unless an episode can be written to `path`."""
    check_new_file(path, SUFFIXES)
    if path.suffix == ".mp4":
        _import_ffmpeg()
    name, options = config.names["env"], config.parts["env"]
    if path.suffix == ".html" and traits(EnvironmentTraits, options).bodies is None:
        raise UserError(
            f"{path}: a page needs an environment with bodies (brax), but {name} has "
            "none: expected .gif or .mp4"
        )


def save(
    recording: Recording, path: Path, *, fps: float = 25, renderer: str = "outlines"
) -> None:
    """Write an episode to `path`, in the format of its suffix.

    Args:
        recording: the episode to show.
        path: the file to write; see `check_path`.
        fps: frames per second.
        renderer: the renderer of bodies, one of `names.RENDERERS`.
    """
    if path.suffix == ".html":
        atomic_write(path, make_page(recording, fps))
    elif path.suffix == ".gif":
        atomic_write(path, make_gif(recording, fps=fps, renderer=renderer))
    else:
        _write_mp4(draw_frames(recording, renderer), path, fps)


def draw_frames(
    recording: Recording, renderer: str = "outlines"
) -> Iterator[np.ndarray]:
    """Yield the frames, (320, 480, 3) uint8 each."""
    config, spec = recording.solution.config, recording.solution.parts.environment.spec
    scale = float(np.abs(recording.trajectory.observations).max())
    pictures = isinstance(recording.trajectory.states, Picture)
    scene = make_scene(
        config, spec, states=True, scale=scale, renderer=renderer, pictures=pictures
    )
    steps, returns = recording.trajectory, np.cumsum(recording.trajectory.rewards)
    name_action = _action_names(config, spec)
    for t in recording.shown:
        number = steps.numbers[t]
        figure = new_figure(_INCHES, dpi=_DPI)
        axes = figure.add_axes(scene.place)
        if scene.legend:
            draw_legend(figure, scene.legend, loc="center right")
        state = jax.tree.map(lambda x, t=t: x[t], steps.states)
        scene.draw(axes, np.asarray(steps.observations[t]), state)
        axes.set_anchor("C")
        action = name_action(np.asarray(steps.actions[t]))
        said = f"{action}   return {format_value(returns[number])}"
        figure.text(0.02, 0.93, f"{recording.name}   step {number + 1}", va="center")
        figure.text(0.98, 0.93, said, va="center", ha="right")
        figure.canvas.draw()
        yield np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def make_gif(
    recording: Recording, *, fps: float = 25, renderer: str = "outlines"
) -> bytes:
    """Return an episode as a looping GIF that shows its last frame for a second."""
    from PIL import Image

    frames = [Image.fromarray(frame) for frame in draw_frames(recording, renderer)]
    # One palette for all frames, made from a few of them; otherwise colors flicker.
    few = frames[:: -(-len(frames) // 8)]
    palette = Image.fromarray(np.concatenate([np.asarray(frame) for frame in few]))
    palette = palette.quantize(_COLORS, Image.Quantize.FASTOCTREE)
    first, *others = (
        frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames
    )
    durations = [round(min(1000 / fps, _LONGEST))] * len(others) + [1000]
    file = io.BytesIO()
    first.save(
        file,
        format="gif",
        save_all=True,
        append_images=others,
        duration=durations,
        loop=0,
    )
    return file.getvalue()


def _write_mp4(frames: Iterator[np.ndarray], path: Path, fps: float) -> None:
    size = tuple(int(_DPI * inches) for inches in _INCHES)
    writer = _import_ffmpeg().write_frames(str(path), size, fps=fps, quality=7)
    with warnings.catch_warnings():
        # jax warns of forks; this one does nothing but execute ffmpeg.
        warnings.filterwarnings("ignore", r"os\.fork\(\)", RuntimeWarning)
        writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()


def _import_ffmpeg() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise UserError(
            "an MP4 needs the package imageio-ffmpeg: pip install 'neuroevo[video]', "
            "or use a .gif"
        ) from None
    return imageio_ffmpeg


def _action_names(config: Config, spec: Spec) -> Callable[[np.ndarray], str]:
    """Return a function that describes an action in a few words."""
    names = traits(EnvironmentTraits, config.parts["env"]).actions
    if not isinstance(spec.action, Discrete):
        return lambda action: ""
    if names is None or len(names) != spec.action.n:
        return lambda action: f"action {int(action)}"
    return lambda action: names[int(action)]
