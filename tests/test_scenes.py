"""What states look like: drawings, and robots as outlines, videos and pages."""

import re
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.config.schema import PARTS
from neuroevo.environments.brax.bodies import Bodies
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Spec
from neuroevo.types import Trajectory
from neuroevo.views import (
    body_page,
    body_painters,
    body_shapes,
    names,
    recording,
    scenes,
    video,
)

GYMNAX = ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0"]
GYMNAX += ["MountainCarContinuous-v0", "Catch-bsuite", "UmbrellaChain-bsuite"]
GYMNAX += [f"{n}-MinAtar" for n in ("Asterix", "Breakout", "Freeway", "Seaquest")]
GYMNAX += ["SpaceInvaders-MinAtar"]
BRAX = ["hopper", "walker2d", "halfcheetah", "ant", "humanoid", "humanoidstandup"]
BRAX += ["inverted_pendulum", "inverted_double_pendulum", "reacher", "pusher"]


def check_names(options, spec):
    """Each name is that of a feature or an action, and none is missing."""
    if options.features is not None:
        assert len(options.features) == spec.observation[-1]
    if options.actions is not None:
        assert len(options.actions) == (
            getattr(spec.action, "n", 0) or spec.action.shape[0]
        )


def draw(name, observation, spec, state=None, **options):
    """Return the pixels of a drawing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    resolved = resolve.resolve([Layer("test", {"env": name})])
    scene = scenes.make_scene(resolved, spec, states=state is not None, **options)
    figure = Figure(figsize=(3, 2), dpi=50)
    canvas = FigureCanvasAgg(figure)
    scene.draw(figure.add_subplot(), np.asarray(observation), state)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize("name", GYMNAX)
def test_every_state_has_its_own_drawing(name):
    options = PARTS["env"].get(name)()
    environment = options.build()
    check_names(options, environment.spec)
    shape = environment.spec.observation
    one, other = np.full((2, *shape), 0.1, np.float32)
    other.flat[0] = 0.9
    spec = environment.spec
    assert (draw(name, one, spec) != draw(name, other, spec)).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", BRAX)
def test_an_observation_tells_the_pose_but_for_the_place(name):
    options = PARTS["env"].get(name)()
    environment = options.build()
    state, observation = jax.jit(environment.reset)(jax.random.key(1))
    check_names(options, environment.spec)
    found = options.bodies()
    coordinates = np.asarray(found.coordinates(state))
    assert draw(name, observation, environment.spec, state).min() < 200
    if name == "pusher":
        assert found.pose is None
        return
    hidden = {"hopper": 1, "walker2d": 1, "halfcheetah": 1}.get(name, 2)
    hidden = 0 if name.startswith(("inverted", "reacher")) else hidden
    pose = found.pose(np.asarray(observation))
    np.testing.assert_allclose(pose[hidden:], coordinates[hidden:], atol=1e-5)
    assert not pose[:hidden].any()


@pytest.fixture(scope="module")
def swing():
    """A capsule on a hinge, one meter up, is recorded: it lies along x, then falls."""
    import mujoco

    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><geom type='plane' size='1 1 1'/><body pos='0 0 1'>"
        "<joint type='hinge' axis='0 1 0'/>"
        "<geom type='capsule' size='.1' fromto='0 0 0 .5 0 0'/>"
        "</body></worldbody></mujoco>"
    )
    found = Bodies(model, coordinates=lambda states: states, pose=None, seconds=0.01)
    parts = {"env": SimpleNamespace(bodies=lambda: found)}
    resolved = SimpleNamespace(names={"env": "swing"}, parts=parts)
    made = SimpleNamespace(environment=SimpleNamespace(spec=Spec((1,), Box((1,)))))
    solution = SimpleNamespace(config=resolved, parts=made)
    angles, ones = np.array([[0.0], [0.3], [0.9]]), np.ones((3, 1))
    steps = Trajectory(angles, ones, ones[:, 0], angles, np.arange(3))
    return recording.Recording(solution, steps, 3, 3.0, range(3), 0, [3.0])


def test_shapes_are_where_mujoco_puts_them(swing):
    model = swing.solution.config.parts["env"].bodies().model
    (shape,) = body_shapes.shapes(model)
    points = body_shapes.locate(shape, body_shapes.place(model, np.zeros(1)))
    np.testing.assert_allclose(points.min(0), (-0.1, -0.1, 0.9), atol=0.01)
    np.testing.assert_allclose(points.max(0), (0.6, 0.1, 1.1), atol=0.01)
    assert body_shapes.view(model) == (90, 0)


@pytest.mark.parametrize("renderer", names.RENDERERS)
def test_bodies_move_in_a_video(swing, renderer):
    try:
        frames = [*video.draw_frames(swing, renderer)]
    except UserError as error:
        assert renderer == "mujoco" and "libegl1" in str(error)
        pytest.skip(str(error))
    assert len(frames) == 3 and (frames[1] != frames[2])[40:].any()


def test_without_opengl_a_line_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco.egl", None)
    monkeypatch.setitem(sys.modules, "mujoco.osmesa", None)
    with pytest.raises(UserError, match="found neither EGL nor OSMesa.*outlines"):
        body_painters._open_gl.__wrapped__()


def test_a_page_to_turn_bodies_on_needs_nothing_else(swing):
    html = body_page.make_page(swing)
    assert html.count('"mesh3d"') >= 4 and "return 3.00" in html  # one and each frame
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[^>]*//", html)
