"""Wrappers that make an environment harder: sticky actions and noisy observations.

Every JAX environment that is known by name has them as options, beside a descriptor of
what happens in an episode (`neuroevo.environments.descriptors`).
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Interval

from neuroevo.environments import descriptors
from neuroevo.environments.options import Option
from neuroevo.environments.randomization import Drawn
from neuroevo.spaces import Box, Discrete, MultiDiscrete, choices, split
from neuroevo.types import Action, Array, Environment, EnvState, Key

OPTIONS: Mapping[str, Option] = {
    "sticky_actions": Option(
        0.0,
        "probability that the action before is repeated instead of the policy's",
        Annotated[float, Interval(ge=0, le=1)],
    ),
    "observation_noise": Option(
        0.0,
        "standard deviation of Gaussian noise on all that is observed",
        Annotated[float, Interval(ge=0, le=2**24)],
    ),
    **descriptors.OPTION,
}


class Sticky(NamedTuple):
    """The state of an environment with sticky actions."""

    state: EnvState
    action: Action  # the one before
    begun: Array  # bool: whether there was one


def wrapped(build: Callable[[Any], Environment]) -> Callable[[Any], Environment]:
    """Return `build`, with the wrappers that the options ask for."""

    def method(options: Any) -> Environment:
        environment = build(options)
        if options.sticky_actions:
            environment = sticky(environment, options.sticky_actions)
        if options.observation_noise:
            environment = noisy(environment, options.observation_noise)
        if options.descriptor:
            known = descriptors.measures(options, environment.spec.observation)
            environment = descriptors.described(environment, options.descriptor, known)
        return environment

    return method


def own(options: Any) -> dict[str, Any]:
    """Return the options that an environment itself has, without those above."""
    return {name: x for name, x in vars(options).items() if name not in OPTIONS}


def bare(state: Any) -> EnvState:
    """Return the state of an environment itself, within that of its wrappers."""
    while isinstance(state, Sticky | Drawn | descriptors.Summed):
        state = state.state
    return state


def sticky(environment: Environment, probability: float) -> Environment:
    """Return an environment that now and then repeats the action before.

    This is how Machado et al., "Revisiting the Arcade Learning Environment" (JAIR 61,
    2018, arXiv 1709.06009), make deterministic games stochastic. An action that has
    become illegal is not repeated.

    Args:
        environment: the environment.
        probability: that of a repetition, at each step but the first.

    Example:
        >>> chooser = neuroevo.Environment(
        ...     spec=neuroevo.Spec(observation=(1,), action=neuroevo.Discrete(2)),
        ...     reset=lambda key: (jnp.zeros(()), jnp.ones(1)),
        ...     step=lambda key, state, action: (state, jnp.ones(1), action, False),
        ...     max_steps=10,
        ... )
        >>> stuck = sticky(chooser, 1.0)
        >>> state, _ = stuck.reset(jax.random.key(0))
        >>> state, *_ = stuck.step(jax.random.key(1), state, jnp.int32(1))
        >>> _, _, reward, _ = stuck.step(jax.random.key(2), state, jnp.int32(0))
        >>> int(reward)
        1
    """
    action = environment.spec.action
    legal = environment.legal

    def reset(key: Key) -> tuple[EnvState, Array]:
        state, observation = environment.reset(key)
        return Sticky(state, _any_action(action), jnp.bool_(False)), observation

    def step(
        key: Key, state: Sticky, action: Action
    ) -> tuple[EnvState, Array, Array, Array]:
        key, draw = jax.random.split(key)
        repeat = state.begun & jax.random.bernoulli(draw, probability)
        if legal is not None:
            mask = legal(state.state)
            repeat &= _allows(mask, state.action, environment.spec.action)
        taken = jnp.where(repeat, state.action, action)
        after, *results = environment.step(key, state.state, taken)
        return Sticky(after, taken, jnp.bool_(True)), *results  # type: ignore[return-value]

    mask = legal and (lambda state: legal(state.state))
    descriptor = environment.descriptor
    if descriptor is not None and descriptor.of is not None:
        of = descriptor.of
        descriptor = descriptor._replace(of=lambda state, seen: of(state.state, seen))
    return environment._replace(
        reset=reset, step=step, legal=mask, descriptor=descriptor
    )


def noisy(environment: Environment, std: float) -> Environment:
    """Return an environment whose observations have Gaussian noise.

    Args:
        environment: the environment.
        std: standard deviation, in the units of the observation.

    Example:
        >>> still = neuroevo.Environment(
        ...     spec=neuroevo.Spec(observation=(1,), action=neuroevo.Discrete(2)),
        ...     reset=lambda key: (jnp.zeros(()), jnp.ones(1)),
        ...     step=lambda key, state, action: (state, jnp.ones(1), 0.0, False),
        ...     max_steps=10,
        ... )
        >>> state, observation = noisy(still, 0.1).reset(jax.random.key(0))
        >>> float(abs(observation - 1).max()) < 1
        True
    """

    def blurred(key: Key, observation: Array) -> Array:
        observation = jnp.asarray(observation, jnp.float32)
        return observation + std * jax.random.normal(key, observation.shape)

    def reset(key: Key) -> tuple[EnvState, Array]:
        key, draw = jax.random.split(key)
        state, observation = environment.reset(key)
        return state, blurred(draw, observation)

    def step(
        key: Key, state: EnvState, action: Action
    ) -> tuple[EnvState, Array, Array, Array]:
        key, draw = jax.random.split(key)
        state, observation, reward, done = environment.step(key, state, action)
        return state, blurred(draw, observation), reward, done

    return environment._replace(reset=reset, step=step)


def _any_action(space: Discrete | MultiDiscrete | Box) -> Action:
    match space:
        case Discrete():
            return jnp.int32(0)
        case MultiDiscrete(counts):
            return jnp.zeros(len(counts), jnp.int32)
    return jnp.zeros(space.shape)


def _allows(mask: Array, action: Action, space: Any) -> Array:
    """Return whether a mask allows all values of an action."""
    values = jnp.atleast_1d(action)
    parts = zip(split(mask, choices(space)), values, strict=True)
    return jnp.stack([part[value] for part, value in parts]).all()
