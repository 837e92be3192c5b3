"""Environments of jumanji: puzzles, packing, routing and games.

Several choices at once (a row, a column, a digit) become one choice among all their
combinations, so that the legal ones can be told, unless there are too many. Rewards of
several agents are summed. Sokoban is left out: it downloads its levels.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo.environments.actions import scale_to
from neuroevo.environments.options import Option
from neuroevo.environments.suites import Raw, Suite, limit
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Discrete
from neuroevo.types import Action, Array

_MOST = 10_000  # combinations
_GOALS = {  # with a limit that no episode reaches, or jumanji's own
    "BinPack-v2": ("Pack boxes of several sizes into a container.", 20),
    "Cleaner-v0": ("Clean a maze with several agents.", 100),
    "CVRP-v1": ("Serve customers with a vehicle of limited capacity.", 40),
    "FlatPack-v0": ("Cover a grid with blocks.", 25),
    "Game2048-v1": ("Slide and merge tiles; reward: what is merged.", 10_000),
    "GraphColoring-v1": ("Color a graph with as few colors as possible.", 20),
    "Knapsack-v1": ("Fill a knapsack with the most valuable items.", 50),
    "LevelBasedForaging-v0": ("Collect food together with another agent.", 100),
    "Maze-v0": ("Find the way to the goal of a random maze.", 100),
    "Minesweeper-v0": ("Uncover all fields without a mine.", 100),
    "MultiCVRP-v0": ("Serve customers with several vehicles in time.", 1000),
    "PacMan-v1": ("Eat pellets and avoid ghosts.", 1000),
    "RobotWarehouse-v0": ("Bring shelves to where they are wanted.", 500),
    "RubiksCube-partly-scrambled-v0": ("Solve a cube after seven random turns.", 20),
    "RubiksCube-v0": ("Solve a scrambled cube.", 200),
    "SearchAndRescue-v0": ("Find targets with several agents.", 400),
    "SlidingTilePuzzle-v0": ("Put the tiles of a 5 x 5 puzzle in order.", 500),
    "Snake-v1": ("Eat fruit and grow, without hitting yourself.", 4000),
    "Sudoku-v0": ("Solve a Sudoku puzzle.", 81),
    "Sudoku-very-easy-v0": ("Solve a very easy Sudoku puzzle.", 81),
    "Tetris-v0": ("Fill rows with falling pieces.", 400),
    "TSP-v1": ("Visit all cities on a short tour.", 20),
}


def wrap(env: Any, max_steps: int) -> Raw:
    """Return an environment of jumanji as a `Raw` environment.

    Its state is jumanji's, and which actions are legal.

    Raises:
        UserError: if its actions are not supported.
    """
    name = type(env).__name__
    action, convert = _actions(name, env.action_spec)
    _, first = jax.eval_shape(env.reset, jax.random.key(0))
    masked = isinstance(action, Discrete) and hasattr(first.observation, "action_mask")

    def see(observation):
        seen = observation._asdict()
        return {k: v for k, v in seen.items() if not (masked and k == "action_mask")}

    def legal(observation):
        return _joint(observation.action_mask, action.n) if masked else jnp.bool_(True)

    def reset(key):
        state, timestep = env.reset(key)
        observation = timestep.observation
        return (state, legal(observation)), see(observation)

    def step(key, state, action):
        del key  # the state has one
        state, timestep = env.step(state[0], convert(action))
        observation = timestep.observation
        done = timestep.last()
        return (
            (state, legal(observation)),
            see(observation),
            timestep.reward.sum(),
            done,
        )

    return Raw(
        name=name,
        reset=reset,
        step=step,
        action=action,
        max_steps=max_steps,
        legal=(lambda state: state[1]) if masked else None,
        counts=_counts(env.observation_spec, see(first.observation)),
    )


def _actions(name: str, spec: Any) -> tuple[Any, Callable[[Action], Any]]:
    """Return the actions of policies, and a function from them to jumanji's."""
    shape, dtype = tuple(spec.shape), spec.dtype
    if jnp.issubdtype(dtype, jnp.floating):
        scale = scale_to(spec.minimum, spec.maximum, shape, dtype, name)
        return Box(shape), scale
    numbers = np.broadcast_to(np.asarray(spec.maximum) + 1, shape).reshape(-1)
    values = tuple(map(int, numbers))
    if not shape:
        return Discrete(values[0]), lambda action: action
    if math.prod(values) > _MOST:
        raise UserError(
            f"environment {name}: its {len(values)} choices among "
            f"{', '.join(map(str, values))} have {math.prod(values):.1e} combinations; "
            f"expected at most {_MOST}"
        )

    def convert(action):
        each = jnp.unravel_index(action, values)
        return jnp.stack(each).astype(dtype).reshape(shape)

    return Discrete(math.prod(values)), convert


def _joint(mask: Array, n: int) -> Array:
    """Return which of `n` combinations are legal.

    The mask is that of all combinations, or has a row for each choice.
    """
    if mask.size == n:
        return mask.reshape(-1)
    joint = mask[0]
    for row in mask[1:]:
        joint = (joint[:, None] & row).reshape(-1)
    return joint


def _counts(spec: Any, seen: Any) -> Any:
    """Return how many values the integers of an observation have, where it is known."""

    def count(path, leaf):
        own = spec
        for key in path:
            own = own[getattr(key, "name", None) or key.key]
        # One number for each possible time would be too many.
        if leaf.ndim or jax.tree_util.keystr(path, simple=True) == "step_count":
            return 0
        return int(getattr(own, "num_values", 0))

    return jax.tree_util.tree_map_with_path(count, seen)


def _options(name: str) -> Mapping[str, Option]:
    return limit(_GOALS[name][1])


def _make(name: str, options: Any) -> Raw:
    import jumanji

    return wrap(jumanji.make(name), options.max_steps)


def _recognize(value: Any) -> Raw | None:
    from jumanji.env import Environment

    if not isinstance(value, Environment):
        return None
    return wrap(value, getattr(value, "time_limit", None) or 1000)


SUITE = Suite(
    package="jumanji",
    extra="jumanji",
    about="puzzles, packing, routing and games",
    goals={name: goal for name, (goal, _) in _GOALS.items()},
    options=_options,
    make=_make,
    wrap=_recognize,
)
