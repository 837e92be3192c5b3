"""gymnax's environments, their options, and the names of their features.

MNISTBandit-bsuite is left out: it downloads its images.
"""

from typing import Annotated, Any, Literal

from annotated_types import Ge

from neuroevo.environments.options import AtLeastOne, Option

LEFT_OUT = ("MNISTBandit-bsuite",)


def _limit(steps: int) -> dict[str, Option]:
    text = "time limit of an episode in steps"
    return {"max_steps_in_episode": Option(steps, text, AtLeastOne)}


def _own_limit(text: str) -> dict[str, Option]:
    text = f"time limit of an episode in steps; none: {text}"
    return {"max_steps_in_episode": Option(None, text, AtLeastOne | None)}


def _count(default: int, text: str) -> Option:
    return Option(default, text, AtLeastOne)


# The goal of each environment, in one line.
ABOUT: dict[str, str] = {
    "CartPole-v1": "Balance a pole on a cart; reward 1 per step, up to 500.",
    "Pendulum-v1": "Swing a pendulum up and hold it; penalty of up to 16.3 per step.",
    "Acrobot-v1": "Swing the lower of two links above a line; reward -1 per step.",
    "MountainCar-v0": "Rock a weak car up a hill; reward -1 per step.",
    "MountainCarContinuous-v0": "Rock a weak car up a hill; reward 100 minus fuel.",
    "Asterix-MinAtar": "Collect gold and avoid enemies on a 10 x 10 board.",
    "Breakout-MinAtar": "Break bricks with a ball on a 10 x 10 board.",
    "Freeway-MinAtar": "Cross a road as often as possible on a 10 x 10 board.",
    "Seaquest-MinAtar": "Rescue divers from submarines on a 10 x 10 board.",
    "SpaceInvaders-MinAtar": "Shoot aliens before they land on a 10 x 10 board.",
    "Catch-bsuite": "Catch a falling ball with a paddle; reward 1 or -1.",
    "DeepSea-bsuite": "Dive to the right, at a small cost, to find a treasure.",
    "MemoryChain-bsuite": "Remember bits that were shown at the start.",
    "UmbrellaChain-bsuite": "Decide whether to take an umbrella before it may rain.",
    "DiscountingChain-bsuite": "Choose among rewards with different delays.",
    "SimpleBandit-bsuite": "Pull the best of several arms with fixed rewards.",
    "FourRooms-misc": "Walk through four rooms to a goal.",
    "MetaMaze-misc": "Find the goal of a maze repeatedly, with a narrow view.",
    "PointRobot-misc": "Move a point to a hidden goal on a half circle.",
    "BernoulliBandit-misc": "Find the better of two arms that pay 1 or nothing.",
    "GaussianBandit-misc": "Find out whether an arm pays more than one that pays 0.",
    "Reacher-misc": "Reach a goal with an arm that has several joints.",
    "Swimmer-misc": "Swim to a goal and avoid urchins.",
    "Pong-misc": "Play Pong: two paddles and a ball.",
    "FrozenLake-misc": "Cross a frozen lake without falling into a hole.",
}

# --- options of the constructor -------------------------------------------------------

_MINIMAL = {
    "use_minimal_action_set": Option(
        True, "use only the actions that have an effect, instead of MinAtar's six"
    )
}
ARGUMENTS: dict[str, dict[str, Option]] = {
    "Asterix-MinAtar": _MINIMAL,
    "Breakout-MinAtar": _MINIMAL,
    "Freeway-MinAtar": _MINIMAL,
    "Seaquest-MinAtar": {
        "use_minimal_action_set": Option(
            True, "no effect: the game uses all six actions of MinAtar"
        )
    },
    "SpaceInvaders-MinAtar": _MINIMAL,
    "Catch-bsuite": {
        "rows": _count(10, "height of the board in cells; the ball falls one per step"),
        "columns": _count(5, "width of the board in cells"),
    },
    "DeepSea-bsuite": {
        "size": _count(8, "side of the square grid in cells, and number of steps")
    },
    "MemoryChain-bsuite": {
        "num_bits": _count(1, "length of the context to remember in bits")
    },
    "UmbrellaChain-bsuite": {
        "n_distractor": Option(
            0, "number of random bits in an observation", Annotated[int, Ge(0)]
        )
    },
    "DiscountingChain-bsuite": {
        "n_actions": _count(5, "number of actions, each with its own delay"),
        "mapping_seed": Option(0, "number of the action with the larger reward"),
    },
    "SimpleBandit-bsuite": {
        "num_actions": _count(11, "number of arms, with rewards from 0 to 1")
    },
    "FourRooms-misc": {
        "use_visual_obs": Option(
            False, "observe an image of the rooms instead of coordinates"
        )
    },
    "MetaMaze-misc": {
        "maze_size": _count(9, "side of the square maze in cells, an odd number"),
        "rf_size": _count(
            3, "side of the square field of view in cells, an odd number"
        ),
    },
    "Reacher-misc": {"num_joints": _count(2, "number of joints of the arm")},
    "Swimmer-misc": {"num_urchins": _count(5, "number of urchins to avoid")},
    "Pong-misc": {
        "width": _count(40, "width of the board in cells"),
        "height": _count(30, "height of the board in cells"),
        "paddle_half_height": Option(
            2, "cells that a paddle reaches above and below its middle"
        ),
    },
    "FrozenLake-misc": {
        "map_name": Option("4x4", "size of the map", Literal["4x4", "8x8"]),
        "is_slippery": Option(True, "let a move go to either side by chance"),
        "success_rate": Option(
            1 / 3, "probability that a move goes as intended, if slippery"
        ),
    },
}

# --- options that are fields of EnvParams ---------------------------------------------

_NORMALIZE_TIME = "scale the observed time to [-1, 1] instead of counting steps"
_CAR = {
    "min_position": Option(-1.2, "left end of the track"),
    "max_position": Option(0.6, "right end of the track"),
    "max_speed": Option(0.07, "largest speed, in units of position per step"),
}
_RAMPING = {
    "ramping": Option(True, "let enemies appear and move more often over time"),
    "ramp_interval": Option(100, "steps between such increases"),
}
PARAMS: dict[str, dict[str, Option]] = {
    "CartPole-v1": {
        **_limit(500),
        "gravity": Option(9.8, "acceleration of gravity in m/s^2"),
        "masscart": Option(1.0, "mass of the cart in kg"),
        "masspole": Option(0.1, "mass of the pole in kg"),
        "length": Option(0.5, "half the length of the pole in m"),
        "force_mag": Option(10.0, "force of an action on the cart in N"),
        "tau": Option(0.02, "time step in seconds"),
        "theta_threshold_radians": Option(
            0.20943951023931953, "tilt of the pole that ends the episode, in rad"
        ),
        "x_threshold": Option(
            2.4, "distance of the cart from the middle that ends the episode, in m"
        ),
    },
    "Pendulum-v1": {
        **_limit(200),
        "max_speed": Option(8.0, "largest angular velocity in rad/s"),
        "max_torque": Option(2.0, "torque of the actions -1 and 1 in N m"),
        "dt": Option(0.05, "time step in seconds"),
        "g": Option(10.0, "acceleration of gravity in m/s^2"),
        "m": Option(1.0, "mass of the pendulum in kg"),
        "l": Option(1.0, "length of the pendulum in m"),
    },
    "Acrobot-v1": {
        **_limit(500),
        "dt": Option(0.2, "time step in seconds"),
        "link_length_1": Option(1.0, "length of the upper link in m"),
        "link_length_2": Option(1.0, "length of the lower link in m; no effect"),
        "link_mass_1": Option(1.0, "mass of the upper link in kg"),
        "link_mass_2": Option(1.0, "mass of the lower link in kg"),
        "link_com_pos_1": Option(
            0.5, "distance from the fixed joint to the upper link's center, in m"
        ),
        "link_com_pos_2": Option(
            0.5, "distance from the free joint to the lower link's center, in m"
        ),
        "link_moi": Option(1.0, "moment of inertia of each link in kg m^2"),
        "max_vel_1": Option(
            12.566370614359172, "largest angular velocity of the upper link in rad/s"
        ),
        "max_vel_2": Option(
            28.274333882308138, "largest angular velocity of the lower link in rad/s"
        ),
        "torque_noise_max": Option(
            0.0, "bound on the uniform noise that is added to the torque, in N m"
        ),
    },
    "MountainCar-v0": {
        **_limit(200),
        **_CAR,
        "goal_position": Option(0.5, "position where the episode ends"),
        "goal_velocity": Option(
            0.0, "minimum speed at that position, in units of position per step"
        ),
        "force": Option(0.001, "speed that an action adds, in position per step"),
        "gravity": Option(
            0.0025, "speed that the steepest slope adds, in positions a step"
        ),
    },
    "MountainCarContinuous-v0": {
        **_limit(999),
        "min_action": Option(-1.0, "force of the action -1"),
        "max_action": Option(1.0, "force of the action 1"),
        **_CAR,
        "goal_position": Option(0.45, "position where the episode ends"),
        "goal_velocity": Option(
            0.0, "minimum speed at that position, in units of position per step"
        ),
        "power": Option(0.0015, "speed that a force of 1 adds, in position per step"),
        "gravity": Option(
            0.0025, "speed that the steepest slope adds, in positions a step"
        ),
    },
    "Asterix-MinAtar": {
        **_limit(1000),
        **_RAMPING,
        "init_spawn_speed": Option(10, "initial number of steps between arrivals"),
        "init_move_interval": Option(5, "initial number of steps per cell of an enemy"),
        "shot_cool_down": Option(5, "no effect: there are no shots in Asterix"),
    },
    "Breakout-MinAtar": _limit(1000),
    "Freeway-MinAtar": {
        **_limit(2500),
        "player_speed": Option(3, "steps that the chicken waits between moves"),
    },
    "Seaquest-MinAtar": {
        **_limit(1000),
        **_RAMPING,
        "init_spawn_speed": Option(20, "initial number of steps between enemies"),
        "init_move_interval": Option(5, "initial number of steps per cell of an enemy"),
        "max_oxygen": Option(200, "number of steps that the oxygen lasts under water"),
        "diver_spawn_speed": Option(30, "steps between divers"),
        "shot_cool_down": Option(5, "steps that must pass between shots"),
        "enemy_shot_interval": Option(
            10, "steps between two shots of an enemy submarine"
        ),
        "enemy_move_interval": Option(
            5, "no effect: init_move_interval sets how fast enemies move"
        ),
        "diver_move_interval": Option(5, "steps per cell of a diver"),
    },
    "SpaceInvaders-MinAtar": {
        **_limit(1000),
        "shot_cool_down": Option(5, "steps that must pass between shots"),
        "enemy_move_interval": Option(
            12, "initial number of steps between moves of the aliens"
        ),
        "enemy_shot_interval": Option(10, "steps between two shots of the aliens"),
    },
    "Catch-bsuite": _limit(1000),
    "DeepSea-bsuite": {
        **_own_limit("the size of the grid"),
        "deterministic": Option(
            True, "let moves to the right always succeed, without noise in rewards"
        ),
        "sample_action_map": Option(
            False, "draw a new mapping from actions to directions in each episode"
        ),
        "unscaled_move_cost": Option(0.01, "total cost of moving right all the way"),
        "randomize_actions": Option(
            True, "use a different mapping from actions to directions in each cell"
        ),
    },
    "MemoryChain-bsuite": {
        **_limit(1000),
        "memory_length": Option(5, "steps from the context to the question"),
    },
    "UmbrellaChain-bsuite": {
        **_limit(100),
        "chain_length": Option(10, "steps from the choice to its reward"),
    },
    "DiscountingChain-bsuite": {
        **_limit(100),
        "optimal_return": Option(1.1, "reward of the best action; the others pay 1"),
    },
    "SimpleBandit-bsuite": {
        **_limit(100),
        "optimal_return": Option(
            1.0, "reference reward for regret; no effect on rewards"
        ),
    },
    "FourRooms-misc": {
        **_limit(500),
        "fail_prob": Option(
            1 / 3, "probability that an action is replaced by another one"
        ),
        "resample_init_pos": Option(False, "start each episode in a random cell"),
        "resample_goal_pos": Option(False, "place the goal in a random cell each time"),
    },
    "MetaMaze-misc": {
        **_limit(200),
        "reward": Option(10.0, "reward of each arrival at the goal"),
        "punishment": Option(0.0, "reward of running into a wall"),
        "normalize_time": Option(False, _NORMALIZE_TIME),
    },
    "PointRobot-misc": {
        **_limit(100),
        "max_force": Option(0.1, "distance that the actions -1 and 1 move the point"),
        "circle_radius": Option(1.0, "radius of the half circle that the goal lies on"),
        "dense_reward": Option(
            False, "reward closeness at every step instead of being at the goal"
        ),
        "goal_radius": Option(0.2, "distance that counts as being at the goal"),
        "center_init": Option(False, "start in the middle instead of anywhere"),
        "normalize_time": Option(True, _NORMALIZE_TIME),
    },
    "BernoulliBandit-misc": {
        **_limit(100),
        "reward_prob": Option(
            0.1, "probability that one arm pays 1, and that the other pays nothing"
        ),
        "normalize_time": Option(True, "scale the observed time as below"),
        "min_lim": Option(-1.0, "scaled time of step 0"),
        "max_lim": Option(1.0, "scaled time of step t_max"),
        "t_max": _count(100, "number of steps that max_lim stands for"),
    },
    "GaussianBandit-misc": {
        **_limit(100),
        "mean_mu": Option(-1.0, "mean over episodes of the second arm's mean reward"),
        "sigma_p": Option(
            1.0, "standard deviation over episodes of that arm's mean reward"
        ),
        "sigma_l": Option(
            0.1, "standard deviation of that arm's rewards within an episode"
        ),
        "normalize_time": Option(True, _NORMALIZE_TIME),
    },
    "Reacher-misc": {
        **_limit(100),
        "torque_scale": Option(1.0, "angular acceleration of the action 1 in rad/s^2"),
        "dt": Option(0.05, "time step in seconds"),
    },
    "Swimmer-misc": {**_limit(500), "dt": Option(0.05, "time step in seconds")},
    "Pong-misc": {
        **_limit(1000),
        "ball_max_y_speed": Option(
            3, "largest vertical speed of the ball in cells per step"
        ),
        "paddle_y_speed": Option(1, "speed of a paddle in cells per step"),
        "ball_x_speed": Option(1, "horizontal speed of the ball in cells per step"),
        "use_ai_policy": Option(
            True, "let the opponent follow the ball instead of moving at random"
        ),
    },
    "FrozenLake-misc": _own_limit("100 on the 4x4 map, 200 on the 8x8 map"),
}

# Parameters that gymnax derives from others.
DERIVED: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "total_mass": lambda p: p.masspole + p.masscart,
        "polemass_length": lambda p: p.masspole * p.length,
    }
}

# --- names ----------------------------------------------------------------------------

# Names of the numbers in observations, along the last axis.
FEATURES: dict[str, tuple[str, ...]] = {
    "CartPole-v1": ("position", "velocity", "angle", "angular velocity"),
    "Pendulum-v1": ("cos angle", "sin angle", "angular velocity"),
    "Acrobot-v1": (
        "cos angle 1",
        "sin angle 1",
        "cos angle 2",
        "sin angle 2",
        "angular velocity 1",
        "angular velocity 2",
    ),
    "MountainCar-v0": ("position", "velocity"),
    "MountainCarContinuous-v0": ("position", "velocity"),
    "Asterix-MinAtar": ("player", "enemy", "trail", "gold"),
    "Breakout-MinAtar": ("paddle", "ball", "trail", "brick"),
    "Freeway-MinAtar": ("chicken", "car", *(f"speed {i}" for i in range(1, 6))),
    "Seaquest-MinAtar": (
        "submarine",
        "its back",
        "own bullet",
        "trail",
        "enemy bullet",
        "enemy fish",
        "enemy submarine",
        "oxygen",
        "divers aboard",
        "diver",
    ),
    "SpaceInvaders-MinAtar": (
        "cannon",
        "alien",
        "aliens move left",
        "aliens move right",
        "own bullet",
        "enemy bullet",
    ),
}
MINATAR_ACTIONS = ("stay", "left", "up", "right", "down", "fire")
ACTIONS: dict[str, tuple[str, ...]] = {
    "CartPole-v1": ("left", "right"),
    "Pendulum-v1": ("torque",),
    "Acrobot-v1": ("torque -1", "no torque", "torque +1"),
    "MountainCar-v0": ("left", "none", "right"),
    "MountainCarContinuous-v0": ("force",),
    "Asterix-MinAtar": MINATAR_ACTIONS[:5],
    "Breakout-MinAtar": ("stay", "left", "right"),
    "Freeway-MinAtar": ("stay", "up", "down"),
    "Seaquest-MinAtar": MINATAR_ACTIONS,
    "SpaceInvaders-MinAtar": ("stay", "left", "right", "fire"),
}
