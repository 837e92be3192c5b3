"""evosax's own problems, as its examples use them; for the direct encoding only.

Policy, strategy and normalization are those of a `neuroevo.run.run.Run`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import plain
from evosax.algorithms import Open_ES
from evosax.problems import BraxProblem, GymnaxProblem

from neuroevo.environments.brax import suite


class Actor(nn.Module):
    """The policy in the form that evosax's problems call."""

    network: nn.Module

    @nn.compact
    def __call__(self, x, key):
        """Return an action."""
        return plain.sample(self.network(x), key)


def make_generation(run):
    """Return ``init(key)`` and the jitted ``generation(state)``.

    A generation gives the next state, the mean fitness and the environment steps made,
    those after the ends of episodes included: the problems do not tell them apart.
    """
    settings, options = run.config.settings, run.config.parts["strategy"]
    assert (run.config.names["strategy"], options.optimizer) == ("Open_ES", "adam")
    problem = make_problem(run)
    strategy = Open_ES(
        population_size=settings.population,
        solution=problem.sample(jax.random.key(0)),
        optimizer=optax.adam(options.learning_rate),
        std_schedule=optax.constant_schedule(options.std),
    )
    params = strategy.default_params
    steps = settings.population * settings.episodes * problem.episode_length

    def init(search):
        key, sample_key, strategy_key, problem_key = jax.random.split(search.run, 4)
        start = strategy.init(strategy_key, problem.sample(sample_key), params)
        return key, *_strong((start, problem.init(problem_key)))

    def generation(state):
        key, strategy_state, problem_state = state
        key, ask_key, tell_key, eval_key = jax.random.split(key, 4)
        population, asked = strategy.ask(ask_key, strategy_state, params)
        fitness, problem_state, _ = problem.eval(eval_key, population, problem_state)
        told, _ = strategy.tell(tell_key, population, -fitness, asked, params)
        return (key, *_strong((told, problem_state))), (fitness.mean(), steps)

    return jax.jit(init), jax.jit(generation)


def make_problem(run):
    """Return evosax's problem for the environment of a run."""
    common = {
        "env_name": run.config.names["env"],
        "policy": Actor(plain.make_network(run)),
        "num_rollouts": run.config.settings.episodes,
        "use_normalize_obs": run.config.names["normalization"] == "running",
    }
    options = run.config.parts["env"]
    if not hasattr(options, "episode_length"):
        limit = {"max_steps_in_episode": options.max_steps_in_episode}
        return GymnaxProblem(**common, env_params=limit)
    own = suite.arguments(options)
    return BraxProblem(**common, episode_length=options.episode_length, env_kwargs=own)


def _strong(tree):
    """Drop weak types, for which evosax's states would be compiled a second time."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.asarray(x).dtype), tree)
