"""EvoJAX's simulation manager with the parts of a run; for the direct encoding only.

EvoJAX evaluates; the strategy is the run's, because EvoJAX's wrapper of OpenAI-ES needs
an evosax of 2022. It is optional: ``pip install --no-deps evojax``.
"""

from typing import Any
from unittest import mock

import flax.struct
import jax
import jax.numpy as jnp
import plain
from jax.flatten_util import ravel_pytree


def make_generation(run):
    """Return ``init(key)`` and ``generation(state)``, which is not one program.

    A generation gives the next state, the mean fitness and the environment steps made,
    those after the ends of episodes included.
    """
    from evojax.sim_mgr import SimManager

    settings, strategy = run.config.settings, run.parts.strategy
    task, policy = make_task(run), make_policy(run)
    # With several devices it calls `jax.tree_map`, which is no more.
    with mock.patch("jax.local_device_count", return_value=1):
        manager = SimManager(
            n_repeats=settings.episodes,
            test_n_repeats=1,
            pop_size=settings.population,
            n_evaluations=1,
            policy_net=policy,
            train_vec_task=task,
            valid_vec_task=task,
        )
    steps = settings.population * settings.episodes * task.max_steps

    @jax.jit
    def init(search):
        key, genome_key, strategy_key = jax.random.split(search.run, 3)
        return key, strategy.init(strategy_key, run.parts.encoding.init(genome_key))

    @jax.jit
    def ask(state):
        key, strategy_state = state
        key, ask_key = jax.random.split(key)
        population, asked = strategy.ask(ask_key, strategy_state)
        flat = jax.vmap(lambda genome: ravel_pytree(genome)[0])(population)
        return (key, asked), population, flat

    @jax.jit
    def tell(state, population, fitness):
        key, asked = state
        key, tell_key = jax.random.split(key)
        return key, strategy.tell(tell_key, population, fitness, asked)

    def generation(state):
        state, population, flat = ask(state)
        fitness, _ = manager.eval_params(flat, test=False)
        return tell(state, population, fitness), (fitness.mean(), jnp.float32(steps))

    return init, generation


def make_task(run):
    """Return the environment of a run as EvoJAX's task."""
    from evojax.task.base import TaskState, VectorizedTask

    environment = run.parts.environment

    @flax.struct.dataclass
    class State(TaskState):
        obs: jax.Array
        inner: Any
        key: jax.Array

    def begin(key):
        key, reset_key = jax.random.split(key)
        inner, observation = environment.reset(reset_key)
        return State(observation, inner, key)

    def advance(state, action):
        key, step_key = jax.random.split(state.key)
        inner, observation, reward, done = environment.step(
            step_key, state.inner, action
        )
        return State(observation, inner, key), reward, jnp.asarray(done, jnp.float32)

    class Task(VectorizedTask):
        max_steps = environment.max_steps
        obs_shape = environment.spec.observation
        act_shape = ()
        reset = staticmethod(jax.jit(jax.vmap(begin)))
        step = staticmethod(jax.jit(jax.vmap(advance)))

    return Task()


def make_policy(run):
    """Return the policy of a run as EvoJAX's."""
    from evojax.policy.base import PolicyNetwork, PolicyState

    network = plain.make_network(run)
    start = jax.jit(run.parts.encoding.init)(jax.random.key(0))
    flat, unravel = ravel_pytree(start)

    def act(params, observation, key):
        key, act_key = jax.random.split(key)
        output = network.apply({"params": unravel(params)}, observation)
        return plain.sample(output, act_key), key

    class Network(PolicyNetwork):
        num_params = flat.size

        def get_actions(self, t_states, params, p_states):
            actions, keys = jax.vmap(act)(params, t_states.obs, p_states.keys)
            return actions, PolicyState(keys=keys)

    return Network()
