"""Tasks, on which policies are measured: an environment with a normalization."""

import functools

import jax
import jax.numpy as jnp

from neuroevo.core import acting, keys, rollout, trees
from neuroevo.core.rollout import Dynamics, Episodes, Moves
from neuroevo.progress import UNLIMITED, Group
from neuroevo.spaces import Box, Discrete, Spec, best, choices, outputs
from neuroevo.tasks.growth import Growth, grow
from neuroevo.tasks.normalization import Normalizer
from neuroevo.tasks.recording import make_collect, make_record
from neuroevo.types import (
    Act,
    Action,
    Actor,
    Array,
    Environment,
    EnvState,
    Key,
    Memory,
    Observation,
    Outcome,
    Params,
    Stats,
    Task,
    TaskState,
)


def make_task(
    environment: Environment, normalizer: Normalizer, growth: Growth | None = None
) -> Task:
    """Combine an environment and an observation normalizer into a task.

    The key of an episode determines it: `evaluate` and `Task.record` give the same
    episode for the same key (under per-episode normalization, only if it is evaluated
    alone).

    Args:
        environment: the environment.
        normalizer: the normalization; see `neuroevo.tasks.normalization`.
        growth: how the episodes of a search grow; None for whole episodes.

    Returns:
        The task.
    """
    dynamics = make_dynamics(environment, normalizer)

    def init(key: Key) -> TaskState:
        return normalizer.init(functools.partial(warm_up, environment, key))

    def normalize(state: TaskState, observation: Observation) -> Observation:
        return normalizer.apply(state, normalizer.start(state), observation)

    task = Task(
        spec=environment.spec,
        init=init,
        begin=functools.partial(rollout.begin, dynamics),
        play=functools.partial(rollout.play, dynamics),
        update=normalizer.update,
        record=make_record(dynamics),
        collect=make_collect(dynamics),
        normalize=None if normalizer.per_episode else normalize,
        constants=normalizer.constants,
        descriptor=environment.descriptor,
    )
    return task if growth is None else grow(task, dynamics, growth)


def make_dynamics(environment: Environment, normalizer: Normalizer) -> Dynamics:
    """Return the dynamics of episodes in `environment`, observed with `normalizer`."""
    of_choices = choices(environment.spec.action)
    is_box = isinstance(environment.spec.action, Box)
    # Whether ended episodes keep the last observation that the policy saw. For images
    # this takes a fifth of the time, and games draw them from integers.
    is_vector = len(environment.spec.observation) == 1
    at_step = jax.vmap(keys.at_step, in_axes=(0, None))
    descriptor = environment.descriptor

    def describe(state: EnvState, observation: Observation) -> Array | None:
        """Return what describes the episodes if they end here, (E, D)."""
        if descriptor is None or descriptor.of is None:
            return None
        found = jax.vmap(descriptor.of)(state, observation)
        return jnp.asarray(found, jnp.float32)

    def begin(task_state: TaskState, resets: Key) -> Episodes:
        state, observation = jax.vmap(environment.reset)(resets)
        return Episodes(
            state=trees.strong(state),
            observation=jnp.asarray(observation, jnp.float32),
            alive=jnp.ones(resets.shape, bool),
            returns=jnp.zeros(resets.shape),
            lengths=jnp.zeros(resets.shape, jnp.int32),
            normalizer=normalizer.start(task_state),
            descriptors=describe(state, observation),
        )

    def advance(
        act: Act, task_state: TaskState, moves: Moves, t: Array, now: Episodes
    ) -> tuple[Episodes, tuple[Action, Array]]:
        # A policy may have to wait after its time limit, for others in its group or for
        # its successor; the environment does not report the time limit as an end.
        counts = now.alive & (t < environment.max_steps)
        seen = normalizer.observe(task_state, now.normalizer, now.observation, counts)
        observation = normalizer.apply(task_state, seen, now.observation)
        # Folding in `t` needs no key in the carry, and costs nothing at all where the
        # policy or the environment ignores its key.
        act_keys, step_keys = (at_step(key, t) for key in moves)
        legal = None
        if environment.legal is not None:
            legal = acting.some(jax.vmap(environment.legal)(now.state), of_choices)
        action, memory = jax.vmap(act)(now.memory, observation, legal, act_keys)
        if is_box:
            action = jnp.clip(action, -1.0, 1.0)
        if legal is not None:
            enforce = functools.partial(acting.enforce, counts=of_choices)
            action = jax.vmap(enforce)(action, legal)
        state, observation, reward, done = jax.vmap(environment.step)(
            step_keys, now.state, action
        )
        reward = jnp.asarray(reward, jnp.float32)
        if is_box:  # an environment may take anything for an action, and go on
            reward = jnp.where(_finite(action), reward, jnp.nan)
        reward = jnp.where(counts, reward, 0.0)
        goes_on = counts & ~jnp.asarray(done, bool)
        described = describe(state, observation)
        if described is not None:
            described = jnp.where(counts[:, None], described, now.descriptors)
        observation = jnp.asarray(observation, jnp.float32)
        if is_vector:
            observation = jnp.where(goes_on[:, None], observation, now.observation)
        after = Episodes(
            state=trees.strong(state),
            observation=observation,
            alive=jnp.where(counts, goes_on, now.alive),
            returns=now.returns + reward,
            lengths=now.lengths + counts,
            normalizer=seen,
            memory=trees.strong(memory),
            descriptors=described,
        )
        return after, (action, reward)

    def finish(end: Episodes) -> Outcome:
        # A simulation that has broken down stays so, and may go on to reward.
        broken = ~_finite(end.observation) & (end.alive | is_vector)
        returns = jnp.where(broken, jnp.nan, end.returns)
        # An environment may report the time limit as an end of its own.
        truncated = end.alive | (end.lengths >= environment.max_steps)
        stats = normalizer.stats(end.normalizer)
        described = end.descriptors
        if described is not None:
            described = jnp.where(jnp.isfinite(returns)[:, None], described, jnp.nan)
        return Outcome(returns, end.lengths, stats, truncated, described)

    return Dynamics(begin, advance, finish, environment.max_steps)


def evaluate(
    task: Task, actor: Actor, params: Params, state: TaskState, episodes: Key
) -> Outcome:
    """Return the outcome of one policy in `episodes`, given by their keys (E,)."""

    def load(groups: Array) -> Group:
        alone = jax.tree.map(lambda x: x[None, None], params)
        return Group(alone, episodes[None], jnp.ones((1, 1), bool))

    progress = task.begin(actor, load, state, 1, 1)
    progress, _ = task.play(actor, load, state, 1, progress, UNLIMITED)
    return jax.tree.map(lambda x: x[0, 0], progress.outcomes)


def warm_up(
    environment: Environment, key: Key, gather: Normalizer, episodes: int
) -> Stats:
    """Return the statistics that `gather` collects in `episodes` of random actions."""
    task = make_task(environment, gather)
    actor = random_act(environment.spec)

    @jax.jit
    def run(key: Key) -> Stats:
        drawn = keys.episode_keys(key, episodes)
        return evaluate(task, actor, (), task.init(key), drawn).stats

    return run(key)


def random_act(spec: Spec) -> Actor:
    """Return the policy without parameters that draws each action uniformly."""

    def draw(legal: Array | None, key: Key) -> Action:
        if isinstance(spec.action, Box):
            return jax.random.uniform(key, spec.action.shape, minval=-1.0)
        if isinstance(spec.action, Discrete) and legal is None:
            return jax.random.randint(key, (), 0, spec.action.n)
        # The largest of uniform random numbers is as likely to be any of them.
        numbers = jax.random.uniform(key, outputs(spec))
        return best(acting.only_legal(numbers, legal), spec.action)

    def act(
        params: Params,
        memory: Memory,
        observation: Observation,
        legal: Array | None,
        key: Key,
    ) -> tuple[Action, Memory]:
        return draw(legal, key), memory

    return Actor(act)


def _finite(x: Array) -> Array:
    """Return whether all numbers of each row are finite."""
    return jnp.isfinite(x).all(axis=range(1, x.ndim))
