"""Craftax: Minecraft in two dimensions, with symbolic observations or pixels."""

from collections.abc import Mapping
from typing import Any

from neuroevo.environments.options import AtLeastOne, Option
from neuroevo.environments.suites import Raw, Suite
from neuroevo.spaces import Discrete

_GOALS = {
    "Craftax-Symbolic-v1": "Unlock as many of 67 achievements as possible.",
    "Craftax-Classic-Symbolic-v1": "Unlock as many of 22 achievements as possible.",
    "Craftax-Pixels-v1": "Unlock as many of 67 achievements as possible; pixels.",
    "Craftax-Classic-Pixels-v1": "Unlock as many of 22 achievements; pixels.",
}
_LIMIT = "max_timesteps"


def wrap(env: Any, params: Any, max_steps: int | None = None) -> Raw:
    """Return an environment of Craftax and its parameters as a `Raw` environment.

    Args:
        env: an environment; its ``step_env`` never resets.
        params: its parameters.
        max_steps: the time limit; by default that of `params`.
    """
    max_steps = int(getattr(params, _LIMIT)) if max_steps is None else max_steps
    # The rollout enforces the time limit, so what ends an episode here is death.
    params = params.replace(**{_LIMIT: max_steps + 1})

    def reset(key):
        observation, state = env.reset_env(key, params)
        return state, observation

    def step(key, state, action):
        observation, state, reward, done, _ = env.step_env(key, state, action, params)
        return state, observation, reward, done

    return Raw(env.name, reset, step, Discrete(env.num_actions), max_steps)


def _options(name: str) -> Mapping[str, Option]:
    limit, text = _LIMITS["Classic" in name], "time limit of an episode in steps"
    options = {"max_steps": Option(limit, text, AtLeastOne)}
    text = "duration of a day and a night in steps"
    return options | {"day_length": Option(300, text, AtLeastOne)}


_LIMITS = {True: 10_000, False: 100_000}


def _make(name: str, options: Any) -> Raw:
    from craftax.craftax_env import make_craftax_env_from_name

    env = make_craftax_env_from_name(name, auto_reset=False)
    params = env.default_params.replace(day_length=options.day_length)
    return wrap(env, params, options.max_steps)


def _recognize(value: Any) -> Raw | None:
    pair = isinstance(value, tuple) and len(value) == 2
    env = value[0] if pair else value
    if isinstance(env, type) or type(env).__module__.partition(".")[0] != "craftax":
        return None
    return wrap(env, value[1] if pair else env.default_params)


SUITE = Suite(
    package="craftax",
    extra="craftax",
    about="Minecraft in two dimensions",
    goals=_GOALS,
    options=_options,
    make=_make,
    wrap=_recognize,
    traits={"slow": True},
)
