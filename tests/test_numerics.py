"""What is not finite ranks last, is counted, never spreads, and can be found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neuroevo
from neuroevo.config import resolve
from neuroevo.config.custom import parts_in
from neuroevo.config.layers import Layer
from neuroevo.core import keys, trees
from neuroevo.run import debugging, loop
from neuroevo.run.run import Run
from neuroevo.spaces import Box, Spec
from neuroevo.store import genome_file
from neuroevo.store.directory import CENTER
from neuroevo.store.metrics import read_metrics
from neuroevo.types import Encoding, Policy, Strategy

# A candidate is one number, which is also its action: it says what breaks.
BREAKS = {
    "nothing": 0.0,
    "a reward, nan": 0.1,
    "a reward, inf": 0.2,
    "a reward, -inf": 0.3,
    "an observation, nan": 0.4,
    "an observation, inf": 0.5,
    "the parameters": 0.6,
    "an action": 0.7,
    "the genome": np.nan,
}


def breaks(code, what):
    return jnp.abs(code - BREAKS[what]) < 0.01


def reset(key):
    return jnp.int32(0), jnp.ones(1)


def step(key, t, action):
    """Reward 1 for four steps, unless something breaks in the third."""
    code, late = action[0], t >= 2
    reward, observation = jnp.float32(1), jnp.float32(1)
    for value in ("nan", "inf", "-inf"):
        broken = late & breaks(code, f"a reward, {value}")
        reward = jnp.where(broken, float(value), reward)
    for value in ("nan", "inf"):
        broken = late & breaks(code, f"an observation, {value}")
        observation = jnp.where(broken, float(value), observation)
    return t + 1, observation[None], reward, t >= 3


def make_decoder(policy, spec):
    def loss(genome):
        return jnp.where(breaks(genome[0], "the parameters"), -1.0, 1.0)

    def decode(genome, start):
        return genome + 0 * jnp.log(loss(genome))

    return Encoding(lambda key: jnp.zeros(1), decode)


def fixed(*names):
    """A strategy that always asks for these, and keeps what it is told."""
    codes = jnp.array([[BREAKS[name]] for name in names], jnp.float32)
    return Strategy(
        init=lambda key, genome: jnp.zeros(len(names)),
        ask=lambda key, state: (codes, state),
        tell=lambda key, population, fitness, state: fitness,
        center=lambda state: jnp.zeros(1),
    )


def drifting(population):
    """A strategy that makes NaN of its own state after a few generations."""
    return Strategy(
        init=lambda key, genome: jnp.zeros(1),
        ask=lambda key, state: (jnp.tile(state, (population, 1)), state),
        tell=lambda key, genomes, fitness, state: jnp.sqrt(0.02 - state) - 0.1 + state,
        center=lambda state: state,
    )


OPTIONS = {
    "env": neuroevo.Environment(Spec((1,), Box((1,))), reset, step, 10),
    "encoding": make_decoder,
    "policy": Policy(
        init=lambda key: jnp.zeros(1),
        apply=lambda params, observation: params,
        act=lambda code, key: jnp.where(breaks(code, "an action"), jnp.nan, code),
        losses={},
    ),
    "normalization": "running",
    "generations": 2,
    "policies": 2,
    "episodes": 2,
    "center_every": 1,
    "center_policies": 1,
    "final_policies": 0,
    "devices": 2,
    "chunk": 3,
}


def make_run(*names):
    options = OPTIONS | {"strategy": lambda n: fixed(*names), "population": len(names)}
    custom, options = parts_in(options)
    return Run(resolve.resolve([Layer("test", options)], custom=custom))


def test_whatever_breaks_the_candidate_fails_alone():
    run = make_run(*BREAKS)
    run.initialize()
    loop.train(run)
    fitness = np.asarray(run.state.strategy)
    assert fitness[0] == 4.0
    assert not np.isfinite(fitness[1:]).any()
    for row in run.metrics:
        assert row["failures"] == len(BREAKS) - 1
        assert row["fitness_mean"] == row["fitness_max"] == row["center_return"] == 4.0
    for leaf in jax.tree.leaves(run.state.task):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("a reward, nan", "policy 0, episode 0: step 2: the reward is nan"),
        ("a reward, -inf", "policy 0, episode 0: step 2: the reward is -inf"),
        # The third step shows it to the policy in the fourth.
        ("an observation, inf", "policy 0, episode 0: step 3: the observation is inf"),
        ("an action", "policy 0, episode 0: step 0: the action is nan"),
        ("the genome", "its genome: 1 of 1 numbers are not finite, the first is nan"),
        ("the parameters", "policy 0: its decoded parameters: 1 of 1 numbers are not "),
    ],
)
def test_the_first_broken_value_is_found(what, found):
    run = make_run("nothing", what, "the genome")
    run.state = run.engine.init(keys.search(0))
    state = run.state._replace(generation=jnp.int32(6))
    message = debugging.explain(run.config.settings, run.parts, state)
    assert message.startswith("generation 7, candidate 1")
    assert found in message
    if what == "the parameters":
        assert "invalid value (nan) encountered in log, " in message
        assert message.endswith(" in decode") and "test_numerics.py:" in message


def test_nothing_is_found_where_there_is_nothing():
    run = make_run("nothing")
    run.state = run.engine.init(keys.search(0))
    message = debugging.explain(run.config.settings, run.parts, run.state)
    assert "the strategy makes numbers that are not finite" in message


def test_debugging_ends_a_run_at_its_first_failure():
    options = OPTIONS | {"strategy": lambda n: fixed("nothing", "an action")}
    with pytest.raises(neuroevo.UserError) as error:
        neuroevo.evolve(**options, population=2, debug_nans=True)
    assert str(error.value) == (
        "generation 1, candidate 1, policy 0, episode 0: step 0: the action is nan"
    )


def test_a_diverged_strategy_stops_the_run_and_spoils_nothing(tmp_path):
    options = OPTIONS | {
        "strategy": drifting,
        "population": 2,
        "generations": 10,
        "run_dir": tmp_path / "run",
        "checkpoint": {"every_generations": 1},
    }
    for resume in (False, True):
        with pytest.raises(neuroevo.UserError, match="drifting has diverged: in gener"):
            neuroevo.evolve(**options, resume=resume)
        rows = read_metrics(tmp_path / "run")
        assert all(row["failures"] == 0 for row in rows)
        kept = {int(p.name) for p in (tmp_path / "run" / "checkpoints").iterdir()}
        assert max(kept) == len(rows) > 0
        genome = genome_file.load(tmp_path / "run" / CENTER).arrays
        assert all(np.isfinite(array).all() for array in genome.values())


def test_is_finite_looks_at_numbers_alone():
    tree = {"x": jnp.ones(2), "n": jnp.arange(3), "key": jax.random.key(0)}
    assert trees.is_finite(tree) and trees.is_finite({})
    assert not trees.is_finite(tree | {"y": jnp.array([[1.0, -jnp.inf]])})
    assert trees.is_finite({"nothing": jnp.ones((0, 3))})
    for place in range(100):  # whatever lane of a vector it falls into
        assert not trees.is_finite(jnp.ones(100).at[place].set(jnp.nan))
