"""Who is measured.

Each contender is a function ``(run, generations, quick)`` of a `neuroevo.run.run.Run`,
which says what to do. It compiles and returns ``sample(seed)``, one timed repetition.
"""

import time
from typing import NamedTuple

import evojax_problem
import evosax_problem
import jax
import jax.numpy as jnp
import machine
import numpy as np
import plain

from neuroevo.core import counting, keys
from neuroevo.core.state import Budget
from neuroevo.run import loop, tuning
from neuroevo.spaces import Discrete


class Sample(NamedTuple):
    """One repetition."""

    seconds: float  # a generation
    work: dict[str, float]  # done in a generation, by unit
    fitness: list[float] = []  # mean of the population in each generation


def neuroevo(run, generations, quick):
    """Generations of the engine, in compiled calls as a run makes them."""
    advance = _long if tuning.is_lengthy(run.config, run.parts) else _quick
    advance = advance(run, generations)

    def sample(seed):
        run.state = jax.block_until_ready(run.engine.init(keys.search(seed)))
        seconds, log = _time(advance)
        steps, fitness = counting.to_int(log.steps), np.asarray(log.fitness_mean)
        assert len(steps) == generations
        work = {"env steps": float(steps.mean())}
        return Sample(seconds / generations, work, fitness.tolist())

    return sample


def _quick(run, generations):
    """Return a function that runs all generations in one compiled call."""

    def advance(generations=generations):
        limits = np.int32(generations), np.int32(2**31 - 1), np.float32(np.inf)
        _, done, log = run.engine.advance(run.state, Budget(*limits))
        return jax.tree.map(lambda x: np.asarray(x)[: int(done)], log)

    run.state = run.engine.init(keys.search(0))
    advance(0)  # compiles, and runs nothing
    return advance


def _long(run, generations):
    """Return a function that runs each generation in several compiled calls."""

    def advance():
        long, logs = loop.LongGeneration(run), []
        while len(logs) < generations:
            _, told = long.step()
            if told:
                run.state, _, log = told
                logs.append(log)
        return jax.tree.map(lambda *xs: np.concatenate(xs), *logs)

    run.state = run.engine.init(keys.search(0))
    loop.LongGeneration(run).compile()
    return advance


def _one_by_one(make_generation):
    """Return the contender of a generation that is called again and again."""

    def contender(run, generations, quick):
        init, generation = make_generation(run)
        program = _compiled(generation, init(keys.search(0)))

        def advance(state):
            reports = []
            for _ in range(generations):
                state, report = jax.block_until_ready(program(state))
                reports.append(report)
            return np.array(reports, float).T

        def sample(seed):
            state = jax.block_until_ready(init(keys.search(seed)))
            seconds, (fitness, steps) = _time(lambda: advance(state))
            work = {"env steps": float(steps.mean())}
            return Sample(seconds / generations, work, fitness.tolist())

        return sample

    return contender


def _compiled(generation, state):
    if hasattr(generation, "lower"):
        return generation.lower(state).compile()
    jax.block_until_ready(generation(state))  # several programs: a call compiles them
    return generation


plain_formulation = _one_by_one(plain.make_generation)
evosax = _one_by_one(evosax_problem.make_generation)
evojax = _one_by_one(evojax_problem.make_generation)


def constant_actions(run, generations, quick):
    """Steps of the same episodes, with no policy, never ending.

    Every device plays its share of them in one vmap.
    """
    settings, environment = run.config.settings, run.parts.environment
    count = len(jax.local_devices())
    batch = settings.population * settings.policies * settings.episodes // count
    action = environment.spec.action
    shape = () if isinstance(action, Discrete) else action.shape
    actions = jnp.zeros((batch, *shape), jnp.int32 if shape == () else jnp.float32)

    @jax.pmap
    def play(keys):
        def step(carry, t):
            state, total = carry
            step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, t)
            state, _, reward, _ = jax.vmap(environment.step)(step_keys, state, actions)
            return (state, total + reward), None

        state, _ = jax.vmap(environment.reset)(keys)
        carry = state, jnp.zeros(batch)
        return jax.lax.scan(step, carry, jnp.arange(environment.max_steps))[0]

    def play_all(key):
        return play(jax.random.split(key, (count, batch)))

    return _probe(play_all, {"env steps": float(count * batch * environment.max_steps)})


def near_inference(run, generations, quick):
    """The networks of all candidates, each near that of the center."""
    return _inference(run, run.parts.policy.apply_near)


def inference(run, generations, quick):
    """As many outputs of the center's network alone."""
    apply = run.parts.policy.apply
    return _inference(run, lambda center, _, observation: apply(center, observation))


def _inference(run, apply):
    """Probe ``apply(center, difference, observation)`` for a population."""
    settings, parts = run.config.settings, run.parts
    drawn = keys.search(0)
    state = parts.strategy.init(drawn.strategy, parts.encoding.init(drawn.genome))
    population, state = jax.jit(parts.strategy.ask)(drawn.run, state)
    center = parts.strategy.center(state)
    batch = settings.population, settings.episodes

    @jax.jit
    def act(observations):
        episodes = jax.vmap(apply, (None, None, 0))
        return jax.vmap(episodes, (None, 0, 0))(center, population, observations)

    def play(key):
        return act(
            jax.random.normal(key, (*batch, *parts.environment.spec.observation))
        )

    return _probe(play, {"outputs": float(np.prod(batch))})


def _machine(make):
    """Return the contender of one of the `machine`'s measurements."""

    def contender(run, generations, quick):
        function, work = make(jax.local_devices(), quick)
        return _probe(lambda key: function(), work)

    return contender


matmul = _machine(machine.matmul)
triad = _machine(machine.triad)


def _probe(function, work):
    jax.block_until_ready(function(jax.random.key(0)))

    def sample(seed):
        key = jax.random.key(seed)
        seconds, _ = _time(lambda: jax.block_until_ready(function(key)))
        return Sample(seconds, work)

    return sample


def _time(function):
    """Return how long a call took, in seconds, and its result."""
    began = time.perf_counter()
    result = function()
    return time.perf_counter() - began, result
