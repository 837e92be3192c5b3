"""Grid worlds of xminigrid.

A cell of the view is a tile and a color, which become one-hot. The rooms of XLand are
left out, as there is nothing to do without a set of rules, which xminigrid downloads;
pass them in Python, with rules of your own. MiniGrid-Playground has no goal at all.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from neuroevo.environments.options import AtLeastOne, Option
from neuroevo.environments.suites import Raw, Suite
from neuroevo.environments.wrappers import own
from neuroevo.errors import UserError
from neuroevo.spaces import Discrete

_SIZES = ("5x5", "6x6", "8x8", "16x16")
_GOALS = {
    "MiniGrid-BlockedUnlockPickUp": "Move a ball, unlock the door, take the prize.",
    **{
        f"MiniGrid-DoorKey-{size}": f"Unlock the door and walk to the goal; {size}."
        for size in _SIZES
    },
    **{f"MiniGrid-Empty-{size}": f"Walk to the goal; {size}." for size in _SIZES},
    **{
        f"MiniGrid-EmptyRandom-{size}": f"Walk to the goal from anywhere; {size}."
        for size in _SIZES
    },
    "MiniGrid-FourRooms": "Walk through four rooms to a goal, with a partial view.",
    "MiniGrid-LockedRoom": "Find the key of a locked room, and the goal in it.",
    **{
        f"MiniGrid-MemoryS{size}": f"Recall what was at the start; {size} cells."
        for size in (8, 16, 32, 64, 128)
    },
    "MiniGrid-Unlock": "Take the key and open the door.",
    "MiniGrid-UnlockPickUp": "Take the key, open the door, pick up the prize.",
}
_ACTIONS = ("forward", "turn right", "turn left", "pick up", "put down", "toggle")


def wrap(env: Any, params: Any) -> Raw:
    """Return an environment of xminigrid and its parameters as a `Raw` environment."""
    from xminigrid.core.constants import NUM_COLORS, NUM_LAYERS, NUM_TILES

    if "AutoReset" in type(env).__name__:
        raise UserError(
            f"environment {type(env).__name__}: it resets by itself; expected one "
            "without a wrapper that does"
        )

    def see(timestep):
        def one_hot(cells):
            if cells.dtype != jnp.uint8 or cells.shape[-1] != NUM_LAYERS:
                return cells
            tiles = jax.nn.one_hot(cells[..., 0], NUM_TILES)
            colors = jax.nn.one_hot(cells[..., 1], NUM_COLORS)
            return jnp.concatenate([tiles, colors], -1)

        return jax.tree.map(one_hot, timestep.observation)

    def reset(key):
        timestep = env.reset(params, key)
        return timestep, see(timestep)

    def step(key, timestep, action):
        del key  # the state has one
        timestep = env.step(params, timestep, action)
        # At the time limit the last step has a discount of 1.
        done = timestep.last() & (timestep.discount == 0)
        return timestep, see(timestep), timestep.reward, done

    return Raw(
        name=type(env).__name__,
        reset=reset,
        step=step,
        action=Discrete(int(env.num_actions(params))),
        max_steps=int(params.max_steps),
    )


def _options(name: str) -> Mapping[str, Option]:
    return {
        "max_steps": Option(
            None,
            "time limit of an episode in steps, on which rewards depend; none: that of "
            "xminigrid",
            AtLeastOne | None,
        ),
        "view_size": Option(
            None,
            "side of the square view in cells, an odd number; none: that of xminigrid",
            AtLeastOne | None,
        ),
    }


def _make(name: str, options: Any) -> Raw:
    import xminigrid

    given = {key: value for key, value in own(options).items() if value is not None}
    env, params = xminigrid.make(name)
    if given:
        params = params.replace(**given)
    return wrap(env, params)


def _recognize(value: Any) -> Raw | None:
    from xminigrid.environment import Environment

    pair = isinstance(value, tuple) and len(value) == 2
    env = value[0] if pair else value
    if not isinstance(env, Environment):
        return None
    return wrap(env, value[1] if pair else env.default_params())


SUITE = Suite(
    package="xminigrid",
    extra="xminigrid",
    about="MiniGrid's grid worlds",
    goals=_GOALS,
    options=_options,
    make=_make,
    wrap=_recognize,
    traits={"actions": _ACTIONS},
)
