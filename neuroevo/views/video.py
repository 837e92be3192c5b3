"""Episodes as moving pictures: GIF, MP4, and for bodies a page to turn them on."""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from neuroevo.errors import UserError
from neuroevo.solution import Solution
from neuroevo.spaces import Discrete
from neuroevo.store import genome_file
from neuroevo.store.files import atomic_write
from neuroevo.terminal.formatting import format_value
from neuroevo.traits import EnvironmentTraits, traits
from neuroevo.types import Trajectory
from neuroevo.views import pages
from neuroevo.views import shapes as bodies
from neuroevo.views.scenes import make_scene

SUFFIXES = (".gif", ".mp4", ".html")
_DPI = 80
_INCHES = (6, 4)  # 480 x 320 pixels, which video codecs like
_COLORS = 64  # of a GIF


class Film(NamedTuple):
    """A recorded episode of one of several fresh policies: the middle one by return.

    Attributes:
        solution: what was recorded.
        trajectory: as recorded.
        length: steps that the episode lasted.
        result: its undiscounted return.
        shown: the steps that have a frame, in order.
        seed: of the policy.
        results: the returns of all the policies.
    """

    solution: Solution
    trajectory: Trajectory
    length: int
    result: float
    shown: Sequence[int]
    seed: int
    results: Sequence[float]

    @property
    def name(self) -> str:
        """The environment's."""
        return self.solution.config.names["env"]

    def describe(self) -> str:
        """Say in a line what was recorded."""
        said = f"return {format_value(self.result)} in {self.length:,} steps"
        if len(self.results) == 1:
            return said
        low, high = map(format_value, (min(self.results), max(self.results)))
        return f"{said}, the middle one of {len(self.results)}: {low} to {high}"


def check_path(path: Path, config: Any) -> None:
    """Raise a `UserError` unless an episode can be written to `path`."""
    genome_file.check_new(path, SUFFIXES)
    if path.suffix == ".mp4":
        _import_ffmpeg()
    name, options = config.names["env"], config.parts["env"]
    if path.suffix == ".html" and traits(EnvironmentTraits, options).bodies is None:
        raise UserError(
            f"{path}: a page is for environments of bodies (brax), and {name} has "
            "none: expected .gif or .mp4"
        )


def record(
    solution: Solution, *, seed: int = 0, policies: int = 5, frames: int = 200
) -> Film:
    """Record an episode of each of some fresh policies, and keep the middle one.

    Args:
        solution: what the policies are decoded from.
        seed: of the first policy; those of the others follow.
        policies: how many.
        frames: how many to show at most: every k-th step of a long episode.
    """
    found = solution.record(seed, policies)
    results = [float(trajectory.rewards.sum()) for trajectory in found]
    middle = int(np.argsort(results, kind="stable")[(policies - 1) // 2])
    trajectory = found[middle]
    length = int(trajectory.alive.sum())
    every = -(-length // frames)
    shown = range((length - 1) % every, length, every)  # the last step is one of them
    result = results[middle]
    return Film(solution, trajectory, length, result, shown, seed + middle, results)


def save(
    film: Film, path: Path, *, fps: float = 25, renderer: str = "outlines"
) -> None:
    """Write an episode to `path`, in the format of its suffix.

    Args:
        film: what to show.
        path: see `check_path`.
        fps: frames in a second.
        renderer: of bodies, see `bodies`.
    """
    if path.suffix == ".html":
        atomic_write(path, make_page(film, fps))
    elif path.suffix == ".gif":
        atomic_write(path, make_gif(film, fps=fps, renderer=renderer))
    else:
        _write_mp4(draw_frames(film, renderer), path, fps)


def draw_frames(film: Film, renderer: str = "outlines") -> Iterator[np.ndarray]:
    """Yield the frames, (320, 480, 3) uint8 each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    config, spec = film.solution.config, film.solution.parts.environment.spec
    scale = float(np.abs(film.trajectory.observations[: film.length]).max())
    scene = make_scene(config, spec, states=True, scale=scale, renderer=renderer)
    steps, returns = film.trajectory, np.cumsum(film.trajectory.rewards)
    name_action = _action_names(config, spec)
    for t in film.shown:
        figure = Figure(figsize=_INCHES, dpi=_DPI)
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_axes(scene.place)
        if scene.legend:
            draw_legend(figure, scene.legend, loc="center right")
        state = jax.tree.map(lambda x, t=t: x[t], steps.states)
        scene.draw(axes, steps.observations[t], state)
        axes.set_anchor("C")
        said = f"{name_action(steps.actions[t])}   return {format_value(returns[t])}"
        figure.text(0.02, 0.93, f"{film.name}   step {t + 1}", va="center")
        figure.text(0.98, 0.93, said, va="center", ha="right")
        canvas.draw()
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def make_gif(film: Film, *, fps: float = 25, renderer: str = "outlines") -> bytes:
    """Return an episode as a GIF that repeats, its last frame for a second."""
    from PIL import Image

    frames = [Image.fromarray(frame) for frame in draw_frames(film, renderer)]
    # One palette for all, that of a few of them: else colors flicker.
    few = frames[:: -(-len(frames) // 8)]
    palette = Image.fromarray(np.concatenate([np.asarray(frame) for frame in few]))
    palette = palette.quantize(_COLORS, Image.Quantize.FASTOCTREE)
    first, *others = (
        frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames
    )
    durations = [round(1000 / fps)] * len(others) + [1000]
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
            "or name a .gif"
        ) from None
    return imageio_ffmpeg


def make_page(film: Film, fps: float = 25) -> str:
    """Return a page, without links to elsewhere, on which the bodies can be turned."""
    import plotly.graph_objects as go
    from matplotlib.colors import to_hex

    found = film.solution.config.parts["env"].bodies()
    shapes = bodies.shapes(found.model)
    coordinates = np.asarray(found.coordinates(film.trajectory.states))
    poses = [bodies.place(found.model, coordinates[t]) for t in film.shown]
    height, reach = bodies.window(found.model)

    def mesh(shape, pose):
        x, y, z = np.round(bodies.locate(shape, pose) - _origin(pose), 3).T
        i, j, k = shape.triangles.T
        shown = to_hex(shape.color)
        return go.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, color=shown, hoverinfo="skip")

    def moved(shape, pose):
        x, y, z = np.round(bodies.locate(shape, pose) - _origin(pose), 3).T
        return go.Mesh3d(x=x, y=y, z=z)

    def _origin(pose):  # the robot stays in the middle; its place is told in words
        return np.array([*pose.subtree_com[0][:2], 0])

    returns = np.cumsum(film.trajectory.rewards)
    frames = [
        go.Frame(
            data=[moved(shape, pose) for shape in shapes],
            name=str(t + 1),
            layout={
                "title": f"{film.name}, step {t + 1}: return "
                f"{format_value(returns[t])}, x {pose.subtree_com[0][0]:.1f} m"
            },
        )
        for t, pose in zip(film.shown, poses, strict=True)
    ]
    axis = {"range": [-reach, reach], "title": "", "showticklabels": False}
    play = {"frame": {"duration": 1000 / fps}, "transition": {"duration": 0}}
    play |= {"fromcurrent": True, "mode": "immediate"}
    pause = {"frame": {"duration": 0}, "mode": "immediate"}
    figure = go.Figure(
        data=[mesh(shape, poses[0]) for shape in shapes],
        frames=frames,
        layout={
            "title": frames[0].layout.title,
            "margin": {"l": 0, "r": 0, "t": 50, "b": 0},
            "scene": {
                "xaxis": axis,
                "yaxis": axis,
                "zaxis": axis | {"range": [height - reach, height + reach]},
                "aspectmode": "cube",
                "camera": {"eye": {"x": 0, "y": -1.8, "z": 0.4}},
            },
            "sliders": [
                {
                    "currentvalue": {"prefix": "step "},
                    "pad": {"b": 20},
                    "steps": [
                        {
                            "label": f.name,
                            "method": "animate",
                            "args": [[f.name], pause],
                        }
                        for f in frames
                    ],
                }
            ],
            "updatemenus": [
                {
                    "type": "buttons",
                    "direction": "left",
                    "x": 0,
                    "y": 1,
                    "xanchor": "left",
                    "yanchor": "top",
                    "buttons": [
                        {"label": "play", "method": "animate", "args": [None, play]},
                        {
                            "label": "pause",
                            "method": "animate",
                            "args": [[None], pause],
                        },
                    ],
                }
            ],
        },
    )
    title = f"{film.name}: an episode"
    content = pages.plot(figure, height="90vh")
    return pages.render("page.html", title=title, content=content)


def _action_names(config: Any, spec: Any) -> Callable[[np.ndarray], str]:
    """Return what says an action in a few words, if it can be."""
    names = traits(EnvironmentTraits, config.parts["env"]).actions
    if not isinstance(spec.action, Discrete):
        return lambda action: ""
    if names is None or len(names) != spec.action.n:
        return lambda action: f"action {int(action)}"
    return lambda action: names[int(action)]


def draw_legend(figure: Any, legend: Sequence[tuple[str, str]], **options: Any) -> None:
    """Draw what colors stand for beside the drawings of a figure."""
    from matplotlib.patches import Patch

    handles = [Patch(color=shown, label=name) for name, shown in legend]
    figure.legend(handles=handles, frameon=False, fontsize="small", **options)
