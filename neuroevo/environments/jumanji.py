"""Environments of jumanji: puzzles, packing, routing and games.

Where jumanji says which combinations of several choices (a row, a column, a digit) are
legal, they become one choice among all combinations. Rewards of several agents are
summed. Sokoban is left out: it downloads its levels.
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
from neuroevo.spaces import Box, Discrete, MultiDiscrete
from neuroevo.types import Action

_GOALS = {  # with a limit that no episode reaches, or jumanji's own
    "BinPack-v2": ("Pack boxes of several sizes into a container.", 20),
    "Cleaner-v0": ("Clean a maze with several agents.", 100),
    "Connector-v3": ("Connect pairs of points without crossing.", 50),
    "CVRP-v1": ("Serve customers with a vehicle of limited capacity.", 40),
    "FlatPack-v0": ("Cover a grid with blocks.", 25),
    "Game2048-v1": ("Slide and merge tiles; reward: what is merged.", 10_000),
    "GraphColoring-v1": ("Color a graph with as few colors as possible.", 20),
    "JobShop-v0": ("Schedule the operations of jobs on machines.", 1000),
    "Knapsack-v1": ("Fill a knapsack with the most valuable items.", 50),
    "LevelBasedForaging-v0": ("Collect food together with another agent.", 100),
    "Maze-v0": ("Find the way to the goal of a random maze.", 100),
    "Minesweeper-v0": ("Uncover all fields without a mine.", 100),
    "MMST-v0": ("Connect the nodes of each agent in a shared graph.", 70),
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
    """
    name = type(env).__name__
    _, first = jax.eval_shape(env.reset, jax.random.key(0))
    mask = getattr(first.observation, "action_mask", None)
    action, convert = _actions(name, env.action_spec, mask)
    masked = mask is not None and not isinstance(action, Box)

    def see(observation):
        seen = observation._asdict()
        return {k: v for k, v in seen.items() if not (masked and k == "action_mask")}

    def after(state, timestep):
        legal = timestep.observation.action_mask.reshape(-1) if masked else ()
        return (state, legal), see(timestep.observation)

    def reset(key):
        return after(*env.reset(key))

    def step(key, state, action):
        del key  # the state has one
        state, timestep = env.step(state[0], convert(action))
        return *after(state, timestep), timestep.reward.sum(), timestep.last()

    return Raw(
        name=name,
        reset=reset,
        step=step,
        action=action,
        max_steps=max_steps,
        legal=(lambda state: state[1]) if masked else None,
        counts=_counts(env.observation_spec, see(first.observation)),
    )


def _actions(name: str, spec: Any, mask: Any) -> tuple[Any, Callable[[Action], Any]]:
    """Return the actions of policies, and a function from them to jumanji's.

    Args:
        name: the name of the environment, for messages.
        spec: jumanji's spec of an action.
        mask: an array like the mask of legal actions, or None. It has a row for each
            choice, or an axis.
    """
    shape, dtype = tuple(spec.shape), spec.dtype
    if jnp.issubdtype(dtype, jnp.floating):
        return Box(shape), scale_to(spec.minimum, spec.maximum, shape, dtype, name)
    counts = np.broadcast_to(np.asarray(spec.maximum) + 1, shape).reshape(-1)
    values = tuple(map(int, counts))
    if not shape:
        return Discrete(values[0]), lambda action: action
    if mask is None or mask.shape != values:
        if mask is not None:  # the bounds of MultiCVRP's actions are too wide
            values = mask.shape[-1:] * len(values)
        return MultiDiscrete(values), lambda action: action.reshape(shape).astype(dtype)

    def convert(action):
        each = jnp.unravel_index(action, values)
        return jnp.stack(each).astype(dtype).reshape(shape)

    return Discrete(math.prod(values)), convert


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
