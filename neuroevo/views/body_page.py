"""An episode of rigid bodies as an interactive 3D page."""

from typing import Any

import numpy as np

from neuroevo.terminal.formatting import format_value
from neuroevo.views import body_shapes, pages
from neuroevo.views.recording import Recording


def make_page(recording: Recording, fps: float = 25) -> str:
    """Return a self-contained page on which the bodies can be rotated."""
    import plotly.graph_objects as go

    found = recording.solution.config.parts["env"].bodies()
    coordinates = np.asarray(found.coordinates(recording.trajectory.states))
    poses = [body_shapes.place(found.model, coordinates[t]) for t in recording.shown]
    shapes = body_shapes.shapes(found.model)
    returns = np.cumsum(recording.trajectory.rewards)
    frames = []
    for t, pose in zip(recording.shown, poses, strict=True):
        number = recording.trajectory.numbers[t]
        title = (
            f"{recording.name}, step {number + 1}: return "
            f"{format_value(returns[number])}, "
            f"x {pose.subtree_com[0][0]:.1f} m"
        )
        meshes = [_mesh(shape, pose) for shape in shapes]
        frames.append(
            go.Frame(data=meshes, name=str(number + 1), layout={"title": title})
        )
    figure = go.Figure(
        data=[_mesh(shape, poses[0], whole=True) for shape in shapes],
        frames=frames,
        layout={
            "title": frames[0].layout.title,
            "margin": {"l": 0, "r": 0, "t": 50, "b": 0},
            "scene": _scene(*body_shapes.window(found.model)),
            **_controls([frame.name for frame in frames], fps),
        },
    )
    content = pages.plot(figure, height="90vh")
    title = f"{recording.name}: an episode"
    return pages.render("page.html", title=title, content=content)


def _mesh(shape: body_shapes.Shape, pose: Any, whole: bool = False) -> Any:
    """Return a shape in a pose, with its triangles and color if `whole`.

    The robot stays in the middle; the title shows its position.
    """
    import plotly.graph_objects as go
    from matplotlib.colors import to_hex

    origin = np.array([*pose.subtree_com[0][:2], 0])
    x, y, z = np.round(body_shapes.locate(shape, pose) - origin, 3).T
    if not whole:
        return go.Mesh3d(x=x, y=y, z=z)
    i, j, k = shape.triangles.T
    shown = to_hex(shape.color)
    return go.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, color=shown, hoverinfo="skip")


def _scene(height: float, reach: float) -> dict[str, Any]:
    """Return the visible part of the world, and the camera."""
    axis = {"range": [-reach, reach], "title": "", "showticklabels": False}
    return {
        "xaxis": axis,
        "yaxis": axis,
        "zaxis": axis | {"range": [height - reach, height + reach]},
        "aspectmode": "cube",
        "camera": {"eye": {"x": 0, "y": -1.8, "z": 0.4}},
    }


def _controls(names: list[str], fps: float) -> dict[str, Any]:
    """Return a slider over the frames of these `names`, and buttons to play them."""
    play = {"frame": {"duration": 1000 / fps}, "transition": {"duration": 0}}
    play |= {"fromcurrent": True, "mode": "immediate"}
    pause = {"frame": {"duration": 0}, "mode": "immediate"}

    def button(label: str, *args: Any) -> dict[str, Any]:
        return {"label": label, "method": "animate", "args": list(args)}

    slider = {
        "currentvalue": {"prefix": "step "},
        "pad": {"b": 20},
        "steps": [button(name, [name], pause) for name in names],
    }
    buttons = {
        "type": "buttons",
        "direction": "left",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "top",
        "buttons": [button("play", None, play), button("pause", [None], pause)],
    }
    return {"sliders": [slider], "updatemenus": [buttons]}
