"""Games of pgx.

A game for several players becomes an environment for one of them, chosen at random; an
opponent moves for the others until it is the player's turn again.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from neuroevo.environments.options import Option, Share
from neuroevo.environments.suites import Raw, Suite, environment, limit
from neuroevo.environments.wrappers import own
from neuroevo.spaces import Discrete
from neuroevo.types import Action, Environment, EnvState, Key

_GOALS = {
    "2048": "Slide and merge tiles on a 4 x 4 board; reward: what is merged.",
    "animal_shogi": "Win at animal shogi, on a 3 x 4 board, against an opponent.",
    "backgammon": "Win at backgammon against an opponent.",
    "chess": "Win at chess against an opponent.",
    "connect_four": "Get four discs in a row before an opponent does.",
    "gardner_chess": "Win at chess on a 5 x 5 board against an opponent.",
    "go_9x9": "Win at Go on a 9 x 9 board against an opponent.",
    "go_19x19": "Win at Go on a 19 x 19 board against an opponent.",
    "hex": "Connect two sides of an 11 x 11 board before an opponent does.",
    "kuhn_poker": "Win chips at poker with three cards against an opponent.",
    "leduc_holdem": "Win chips at Leduc hold'em poker against an opponent.",
    "minatar-asterix": "Collect gold and avoid enemies; pgx's MinAtar.",
    "minatar-breakout": "Break bricks with a ball; pgx's MinAtar.",
    "minatar-freeway": "Cross a road as often as possible; pgx's MinAtar.",
    "minatar-seaquest": "Rescue divers from submarines; pgx's MinAtar.",
    "minatar-space_invaders": "Shoot aliens before they land; pgx's MinAtar.",
    "othello": "Own more discs than an opponent at the end of Othello.",
    "shogi": "Win at shogi against an opponent.",
    "sparrow_mahjong": "Win at mahjong with few tiles against two opponents.",
    "tic_tac_toe": "Get three marks in a row before an opponent does.",
}
# In moves of the player. Board games end by themselves before 1000.
_LIMITS = {"2048": 10_000, "minatar-freeway": 2500}

Opponent = Callable[[EnvState, Key], Action]


def at_random(state: EnvState, key: Key) -> Action:
    """Return a legal action at random, as an opponent."""
    return jax.random.categorical(key, jnp.where(state.legal_action_mask, 0, -jnp.inf))


def against(env: Any, opponent: Opponent, max_steps: int = 1000) -> Environment:
    """Return a game of pgx as an `Environment` for one of its players.

    Args:
        env: the game, as from ``pgx.make``.
        opponent: takes the state of the game and a key, and returns an action of the
            player whose turn it is; see `at_random`.
        max_steps: the most moves of the player.
    """
    return environment(wrap(env, max_steps, opponent))


def wrap(env: Any, max_steps: int = 1000, opponent: Opponent = at_random) -> Raw:
    """Return a game of pgx as a `Raw` environment for one player.

    Its state is that of the game, and a reward that the player got before its turn.
    """

    def wait(state, key, reward):
        """Let the opponent move until it is the player's turn, or the game ends."""

        def waits(carry):
            state = carry[0]
            return (state.current_player != 0) & ~state.terminated

        def turn(carry):
            state, key, reward = carry
            key, choice, chance = jax.random.split(key, 3)
            state = env.step(state, opponent(state, choice), chance)
            return state, key, reward + state.rewards[0]

        if env.num_players == 1:
            return state, reward
        state, _, reward = jax.lax.while_loop(waits, turn, (state, key, reward))
        return state, reward

    def reset(key):
        start, key = jax.random.split(key)
        state, reward = wait(env.init(start), key, jnp.float32(0))
        return (state, reward), state.observation

    def step(key, state, action):
        state, before = state
        chance, key = jax.random.split(key)
        state = env.step(state, action, chance)
        state, reward = wait(state, key, before + state.rewards[0])
        return (state, jnp.float32(0)), state.observation, reward, state.terminated

    actions = jax.eval_shape(env.init, jax.random.key(0)).legal_action_mask.shape[0]
    return Raw(
        name=env.id,
        reset=reset,
        step=step,
        action=Discrete(actions),
        max_steps=max_steps,
        legal=lambda state: state[0].legal_action_mask,
    )


def _options(name: str) -> Mapping[str, Option]:
    options = dict(limit(_LIMITS.get(name, 1000)))
    if name.startswith("minatar"):
        options["use_minimal_action_set"] = Option(
            True, "use only the actions that have an effect, instead of MinAtar's six"
        )
        options["sticky_action_prob"] = Option(
            0.1, "probability that the last action is repeated", Share
        )
    return options


def _make(name: str, options: Any) -> Raw:
    import pgx

    env = pgx.make(name)
    given = own(options)
    max_steps = given.pop("max_steps")
    return wrap(type(env)(**given) if given else env, max_steps)


def _recognize(value: Any) -> Raw | None:
    import pgx

    return wrap(value) if isinstance(value, pgx.Env) else None


SUITE = Suite(
    package="pgx",
    extra="pgx",
    about="board games, 2048 and MinAtar",
    goals=_GOALS,
    options=_options,
    make=_make,
    wrap=_recognize,
)
