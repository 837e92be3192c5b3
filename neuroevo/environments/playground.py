"""Environments of MuJoCo Playground, on MuJoCo's JAX implementation (MJX).

Its robots (locomotion and manipulation) need MuJoCo Menagerie, a folder with models of
robots, which Playground would clone; here the user names it.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from neuroevo.environments import physics
from neuroevo.environments.descriptors import Measure
from neuroevo.environments.options import AtLeastOne, Option
from neuroevo.environments.quiet import quiet
from neuroevo.environments.suites import Raw, Suite
from neuroevo.environments.wrappers import bare
from neuroevo.errors import UserError
from neuroevo.spaces import Box
from neuroevo.traits import Bodies

MENAGERIE = "MUJOCO_MENAGERIE"  # environment variable with the folder
_CONTROL = {
    "AcrobotSwingup": "Swing up two links and balance them.",
    "AcrobotSwingupSparse": "Swing up two links; a reward only when they are upright.",
    "BallInCup": "Catch a ball on a string with a cup.",
    "CartpoleBalance": "Balance a pole on a cart in the middle of a track.",
    "CartpoleBalanceSparse": "Balance a pole on a cart; a sparse reward.",
    "CartpoleSwingup": "Swing up a pole on a cart and balance it.",
    "CartpoleSwingupSparse": "Swing up a pole on a cart; a sparse reward.",
    "CheetahRun": "Run forward on two legs.",
    "FingerSpin": "Spin a body with a finger.",
    "FingerTurnEasy": "Turn a body to a target with a finger.",
    "FingerTurnHard": "Turn a body to a small target with a finger.",
    "FishSwim": "Swim to a target.",
    "HopperHop": "Hop forward on one leg.",
    "HopperStand": "Stand upright on one leg.",
    "HumanoidStand": "Stand up as a humanoid.",
    "HumanoidWalk": "Walk as a humanoid.",
    "HumanoidRun": "Run as a humanoid.",
    "PendulumSwingup": "Swing up a weak pendulum and balance it.",
    "PointMass": "Move a point to the middle of a plane.",
    "ReacherEasy": "Reach a target with an arm of two links.",
    "ReacherHard": "Reach a small target with an arm of two links.",
    "SwimmerSwimmer6": "Swim to a target with a body of six links.",
    "WalkerRun": "Run on two legs in the plane.",
    "WalkerStand": "Stand upright on two legs in the plane.",
    "WalkerWalk": "Walk on two legs in the plane.",
}
_ROBOTS = {  # with the time limit and the action repeat
    "ApolloJoystickFlatTerrain": ("Walk as Apptronik Apollo as commanded.", 1000, 1),
    "BarkourJoystick": ("Walk as Google Barkour as commanded.", 1000, 1),
    "BerkeleyHumanoidJoystickFlatTerrain": (
        "Walk as the Berkeley Humanoid as commanded.",
        *(1000, 1),
    ),
    "BerkeleyHumanoidJoystickRoughTerrain": (
        "Walk as the Berkeley Humanoid on rough terrain as commanded.",
        *(1000, 1),
    ),
    "G1JoystickFlatTerrain": ("Walk as Unitree G1 as commanded.", 1000, 1),
    "G1JoystickRoughTerrain": ("Walk as Unitree G1 on rough terrain.", 1000, 1),
    "Go1JoystickFlatTerrain": ("Walk as Unitree Go1 as commanded.", 1000, 1),
    "Go1JoystickRoughTerrain": ("Walk as Unitree Go1 on rough terrain.", 1000, 1),
    "Go1Getup": ("Get up from a fall as Unitree Go1.", 300, 1),
    "Go1Handstand": ("Stand on the front legs as Unitree Go1.", 500, 1),
    "Go1Footstand": ("Stand on the hind legs as Unitree Go1.", 500, 1),
    "H1InplaceGaitTracking": ("Follow a gait in place as Unitree H1.", 1000, 1),
    "H1JoystickGaitTracking": ("Walk in a gait as Unitree H1 as commanded.", 1000, 1),
    "Op3Joystick": ("Walk as Robotis OP3 as commanded.", 1000, 1),
    "SpotFlatTerrainJoystick": ("Walk as Boston Dynamics Spot as commanded.", 1000, 1),
    "SpotGetup": ("Get up from a fall as Boston Dynamics Spot.", 300, 1),
    "SpotJoystickGaitTracking": ("Walk in a gait as Boston Dynamics Spot.", 1000, 1),
    "T1JoystickFlatTerrain": ("Walk as Booster T1 as commanded.", 1000, 1),
    "T1JoystickRoughTerrain": ("Walk as Booster T1 on rough terrain.", 1000, 1),
    "AlohaHandOver": ("Hand a cube from one Aloha arm to the other.", 250, 1),
    "AlohaSinglePegInsertion": ("Insert a peg with two Aloha arms.", 1000, 2),
    "PandaPickCube": ("Lift a cube to a target with a Franka Panda.", 150, 1),
    "PandaPickCubeOrientation": ("Lift and turn a cube with a Franka Panda.", 150, 1),
    "PandaPickCubeCartesian": ("Lift a cube by Cartesian control.", 200, 1),
    "PandaOpenCabinet": ("Open a cabinet with a Franka Panda.", 150, 1),
    "PandaRobotiqPushCube": ("Push a cube with a Robotiq gripper.", 3000, 4),
    "LeapCubeReorient": ("Turn a cube to a target with a LEAP hand.", 1000, 1),
    "LeapCubeRotateZAxis": ("Keep turning a cube with a LEAP hand.", 500, 1),
    "AeroCubeRotateZAxis": ("Keep turning a cube with an Aero hand.", 500, 1),
}


def wrap(
    env: Any,
    episode_length: int = 1000,
    action_repeat: int = 1,
    randomize: Sequence[str] = (),
) -> Raw:
    """Return an environment of Playground as a `Raw` environment.

    Args:
        env: a ``mujoco_playground.MjxEnv``, made with ``impl`` "jax" on a CPU.
        episode_length: the time limit in environment steps, including repeated ones.
        action_repeat: environment steps per action; their rewards are summed.
        randomize: factors that each episode draws anew, as NAME:LOW:HIGH; see
            `neuroevo.environments.physics`.
    """

    def reset(key):
        state = env.reset(key)
        return state, state.obs

    def step(key, state, action):
        del key  # the state has one
        total, done = state.reward * 0, False
        for _ in range(action_repeat):
            state = env.step(state, action)
            total += jnp.where(done, 0, state.reward)
            done |= state.done > 0
        return state, state.obs, total, done

    if randomize:
        reset, step = physics.randomized(env, "_mjx_model", randomize, reset, step)
    return Raw(
        name=type(env).__name__,
        reset=reset,
        step=step,
        action=Box((env.action_size,)),
        max_steps=-(-episode_length // action_repeat),
        is_physics=True,
    )


def _options(name: str) -> Mapping[str, Option]:
    _, steps, repeat = _ROBOTS.get(name, ("", 1000, 1))
    options = {
        "episode_length": Option(
            steps,
            "time limit of an episode in environment steps, including repeated ones",
            AtLeastOne,
        ),
        "action_repeat": Option(
            repeat, "environment steps per action; their rewards are summed", AtLeastOne
        ),
        **physics.OPTION,
    }
    if name in _ROBOTS:
        options["menagerie"] = Option(
            None,
            "folder of MuJoCo Menagerie, the models of robots; none: the environment "
            f"variable {MENAGERIE}",
            Path | None,
        )
    return options


def _make(name: str, options: Any) -> Raw:
    env, steps = _load(name, options), options.episode_length
    return wrap(env, steps, options.action_repeat, options.randomize)


def _load(name: str, options: Any) -> Any:
    folder = _menagerie(name, options) if name in _ROBOTS else None
    with quiet():
        from mujoco_playground import registry
        from mujoco_playground._src import mjx_env

        if folder is not None:  # Playground has no option for it
            mjx_env.MENAGERIE_PATH = type(mjx_env.MENAGERIE_PATH)(folder)
        # By default Playground uses Warp, which needs a GPU of NVIDIA.
        return registry.load(name, config_overrides={"impl": "jax"})


def _menagerie(name: str, options: Any) -> Path:
    """Return the folder of MuJoCo Menagerie."""
    folder = options.menagerie or os.environ.get(MENAGERIE)
    expected = (
        "expected a copy of github.com/google-deepmind/mujoco_menagerie, named by "
        f"--env.menagerie FOLDER or by the environment variable {MENAGERIE}"
    )
    if not folder:
        raise UserError(f"environment {name} needs the models of robots: {expected}")
    if not Path(folder).is_dir():
        raise UserError(f"environment {name}: {folder} is not a folder; {expected}")
    return Path(folder).resolve()


def _bodies(name: str, options: Any) -> Bodies:
    env = _load(name, options)

    def coordinates(state):
        return bare(state).data.qpos

    return Bodies(env.mj_model, coordinates, None, float(env.dt))


def _recognize(value: Any) -> Raw | None:
    from mujoco_playground import MjxEnv

    if not isinstance(value, MjxEnv):
        return None
    config = value._config  # which nothing public returns
    return wrap(value, config.episode_length, config.get("action_repeat", 1))


def _position(axis: int) -> Measure:
    """Return where the first body is at the end of an episode, in m."""
    return Measure(lambda state, seen: bare(state).data.xpos[1, axis])


SUITE = Suite(
    package="mujoco_playground",
    extra="playground",
    about="MuJoCo's control suite and robots",
    goals=_CONTROL | {name: goal for name, (goal, *_) in _ROBOTS.items()},
    options=_options,
    make=_make,
    wrap=_recognize,
    bodies=_bodies,
    measures={"x": _position(0), "y": _position(1)},
    traits={
        "slow": True,
        "suggests": {
            # Observations mix meters and radians with velocities ten times as large.
            "normalization": "running",
            # Rewards ask for small and steady actions, which random ones are not.
            "policy.action": "greedy",
        },
    },
)
