"""brax's environments, their options, and the names of their features.

swimmer is left out: brax 0.14.2 calls ``jnp.clip(a_min=…)`` for its fluid, which JAX no
longer accepts.
"""

from typing import Literal

from neuroevo.environments.options import AtLeastOne, Option

LEFT_OUT = ("swimmer",)
BACKENDS = ("positional", "spring", "generalized", "mjx")  # the default first
BACKENDS_OF: dict[str, tuple[str, ...]] = {"fast": ()}  # has no physics


def backends(name: str) -> tuple[str, ...]:
    """Return the physics pipelines that an environment runs on, the default first."""
    return BACKENDS_OF.get(name, BACKENDS)


def common_options(name: str) -> dict[str, Option]:
    """Return the options that every environment of brax has."""
    options = {
        "episode_length": Option(
            1000, "time limit of an episode in environment steps", AtLeastOne
        ),
        "action_repeat": Option(
            1, "number of environment steps that repeat each action", AtLeastOne
        ),
    }
    if choices := backends(name):
        text = "physics pipeline: positional and spring are fast, the others accurate"
        options = {"backend": Option(choices[0], text, Literal[choices]), **options}
    return options


def _forward(weight: float) -> dict[str, Option]:
    text = "reward per step for each m/s of forward velocity"
    return {"forward_reward_weight": Option(weight, text)}


def _control(weight: float) -> dict[str, Option]:
    text = "penalty per step, multiplied by the sum of the squared actions"
    return {"ctrl_cost_weight": Option(weight, text)}


def _healthy(reward: float, heights: tuple[float, float]) -> dict[str, Option]:
    return {
        "healthy_reward": Option(reward, "reward per step in a healthy state"),
        "terminate_when_unhealthy": Option(
            True, "end the episode when the state is no longer healthy"
        ),
        "healthy_z_range": Option(
            heights, "lowest and highest healthy height of the torso, in m"
        ),
    }


def _angles(angles: tuple[float, float]) -> dict[str, Option]:
    text = "lowest and highest healthy pitch of the torso, in rad"
    return {"healthy_angle_range": Option(angles, text)}


def _start(noise: float, positions: str) -> dict[str, Option]:
    return {
        "reset_noise_scale": Option(
            noise,
            "bound on the noise in the initial positions (m, rad), and scale of the "
            "noise in the initial velocities",
        ),
        "exclude_current_positions_from_observation": Option(
            True, f"exclude the {positions} from observations"
        ),
    }


# The goal of each environment, in one line.
ABOUT: dict[str, str] = {
    "ant": "Make a robot with four legs run forward.",
    "fast": "A fast dummy without physics, for tests.",
    "halfcheetah": "Make a planar robot with two legs run forward.",
    "hopper": "Make a planar robot with one leg hop forward without falling.",
    "humanoid": "Make a humanoid robot run forward without falling.",
    "humanoidstandup": "Make a humanoid robot stand up from the ground.",
    "inverted_pendulum": "Balance a pole on a cart, with a continuous force.",
    "inverted_double_pendulum": "Balance two poles, one on the other, on a cart.",
    "pusher": "Push a cylinder to a place with a robot arm.",
    "reacher": "Reach a target with a planar arm that has two joints.",
    "walker2d": "Make a planar robot with two legs walk forward without falling.",
}

# Options of the constructors, besides the common ones, in their order.
OPTIONS: dict[str, dict[str, Option]] = {
    "ant": {
        **_control(0.5),
        "use_contact_forces": Option(
            False, "observe contact forces; not available in brax, must be off"
        ),
        "contact_cost_weight": Option(
            5e-4, "weight of a penalty on contact forces; no effect in brax"
        ),
        **_healthy(1.0, (0.2, 1.0)),
        "contact_force_range": Option(
            (-1.0, 1.0), "bounds on contact forces in N; no effect in brax"
        ),
        **_start(0.1, "x and y position of the torso"),
    },
    "fast": {
        "asymmetric_obs": Option(
            False, "observe a dictionary; policies here cannot read it, must be off"
        )
    },
    "halfcheetah": {
        **_forward(1.0),
        **_control(0.1),
        **_start(0.1, "x position of the torso"),
    },
    "hopper": {
        **_forward(1.0),
        **_control(1e-3),
        **_healthy(1.0, (0.7, float("inf"))),
        "healthy_state_range": Option(
            (-100.0, 100.0),
            "lowest and highest healthy value of all positions except x and of all "
            "velocities",
        ),
        **_angles((-0.2, 0.2)),
        **_start(5e-3, "x position of the torso"),
    },
    "humanoid": {
        **_forward(1.25),
        **_control(0.1),
        **_healthy(5.0, (1.0, 2.0)),
        **_start(1e-2, "x and y position of the torso"),
    },
    "humanoidstandup": {},
    "inverted_pendulum": {},
    "inverted_double_pendulum": {},
    "pusher": {},
    "reacher": {},
    "walker2d": {
        **_forward(1.0),
        **_control(1e-3),
        **_healthy(1.0, (0.8, 2.0)),
        **_angles((-1.0, 1.0)),
        **_start(5e-3, "x position of the torso"),
    },
}

# --- names ----------------------------------------------------------------------------

# Most observations are generalized coordinates, without the robot's location (in
# parentheses), followed by their velocities.
_COORDINATES = {
    "hopper": "(x) height pitch thigh leg foot",
    "walker2d": "(x) height pitch right-thigh right-leg right-foot left-thigh left-leg "
    "left-foot",
    "halfcheetah": "(x) z pitch back-thigh back-shin back-foot front-thigh front-shin "
    "front-foot",
    "inverted_pendulum": "position angle",
}
FEATURES: dict[str, str] = {
    "ant": "(x) (y) height rotation-w rotation-x rotation-y rotation-z hip-1 ankle-1 "
    "hip-2 ankle-2 hip-3 ankle-3 hip-4 ankle-4 x-velocity y-velocity z-velocity "
    "x-rotation-velocity y-rotation-velocity z-rotation-velocity hip-1-velocity "
    "ankle-1-velocity hip-2-velocity ankle-2-velocity hip-3-velocity ankle-3-velocity "
    "hip-4-velocity ankle-4-velocity",
    "inverted_double_pendulum": "position sin-angle-1 sin-angle-2 cos-angle-1 "
    "cos-angle-2 velocity angular-velocity-1 angular-velocity-2",
    "reacher": "cos-angle-1 cos-angle-2 sin-angle-1 sin-angle-2 target-x target-y "
    "tip-velocity-x tip-velocity-y target-to-tip-x target-to-tip-y target-to-tip-z",
} | {
    name: " ".join([names, *(f"{n.strip('()')}-velocity" for n in names.split())])
    for name, names in _COORDINATES.items()
}
ACTIONS: dict[str, str] = {
    "hopper": "thigh leg foot",
    "walker2d": "right-thigh right-leg right-foot left-thigh left-leg left-foot",
    "halfcheetah": "back-thigh back-shin back-foot front-thigh front-shin front-foot",
    "ant": "hip-4 ankle-4 hip-1 ankle-1 hip-2 ankle-2 hip-3 ankle-3",
    "inverted_pendulum": "force",
    "inverted_double_pendulum": "force",
    "reacher": "joint-1 joint-2",
}

# --- how observations pose the bodies -------------------------------------------------

# How many of the first coordinates are excluded from observations by default.
HIDDEN = {
    "hopper": 1,
    "walker2d": 1,
    "halfcheetah": 1,
    "ant": 2,
    "humanoid": 2,
    "humanoidstandup": 2,
    "inverted_pendulum": 0,
}
HEIGHT = ("hopper", "walker2d")  # observe the torso's height, not the coordinate
