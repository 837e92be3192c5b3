"""Parts made in Python: what does not fit is one line, before anything is compiled."""

import dataclasses
import re

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from gymnax.environments import spaces

import neuroevo
from neuroevo.config import resolve
from neuroevo.config.custom import loggers_in, parts_in
from neuroevo.config.layers import Layer
from neuroevo.errors import UserError
from neuroevo.loggers.contract import Logger
from neuroevo.run import build, checks
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.traits import EnvironmentTraits, traits
from neuroevo.types import Encoding, Environment, Strategy

SMALL = {
    "encoding": toy.offset,
    "policy": {"name": "mlp", "hidden": [4]},
    "strategy": "SimpleES",
    "population": 4,
    "generations": 1,
}


def build_with(**options):
    """Build the parts of a run with `options`; nothing is compiled."""
    custom, rest = parts_in({"env": toy.walk(), **SMALL, **options})
    layers = [Layer("evolve", rest)]
    return build.build_parts(resolve.resolve(layers, custom=custom))


def one_line(*words, **options):
    """Check that `options` are refused in one line that holds `words`."""
    with pytest.raises(UserError) as error:
        build_with(**options)
    message = str(error.value)
    assert "\n" not in message and "expected" in message and "got" in message
    for word in words:
        assert word in message, message


def env(spec=None, reset=None, step=None, max_steps=5):
    """An environment with a state {"x": (2,), "t": ()}, and whatever is given."""

    def plain_reset(key):
        return {"x": jnp.zeros(2), "t": 0}, jnp.zeros(2)

    def plain_step(key, state, action):
        after = {"x": state["x"] + jnp.sum(action), "t": state["t"] + 1}
        return after, after["x"], 1.0, False

    spec = spec or Spec((2,), Box((2,)))
    return Environment(spec, reset or plain_reset, step or plain_step, max_steps)


def stepping(**changes):
    """An environment whose step returns `changes` in place of what it should."""
    plain = env()

    def step(key, state, action):
        names = ("state", "observation", "reward", "done")
        results = dict(zip(names, plain.step(key, state, action), strict=True))
        return tuple({**results, **changes}[name] for name in names)

    return env(step=step)


STATE = {"x": jnp.zeros(2), "t": jnp.int32(0)}


def test_what_fits_is_built():
    for fitting in (
        env(),
        stepping(reward=jnp.int32(1), done=jnp.float32(1)),
        stepping(reward=np.float64(1), observation=np.zeros(2)),
        env(
            Spec((), Discrete(1)),
            reset=lambda key: (0, 0.0),
            step=lambda *_: (0, 0.0, 1, 0),
        ),
    ):
        checks.check_environment(fitting)
    for given in (env(), env):
        assert build_with(env=given).environment.spec == Spec((2,), Box((2,)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reward": jnp.zeros(1)}, ["a reward", "float32[] (a scalar)", "float32[1]"]),
        ({"reward": None}, ["a reward", "got None"]),
        ({"reward": 1j}, ["a reward", "complex64[]"]),
        ({"done": None}, ["(done), bool[] (a scalar)", "got None"]),
        ({"done": jnp.zeros(2, bool)}, ["(done)", "bool[2]"]),
        ({"done": 1j}, ["(done)", "complex64"]),
        ({"done": "no"}, ["arrays at [3]", "a str"]),
        ({"observation": jnp.zeros(5)}, ["env.spec, float32[2]", "float32[5]"]),
        ({"observation": jnp.zeros(1)}, ["env.spec, float32[2]", "float32[1]"]),
        ({"observation": {"a": jnp.zeros(2)}}, ["float32[2]", "a dict of a"]),
        ({"observation": [0.0, 0.0]}, ["float32[2]", "a list"]),
        ({"state": {**STATE, "t": 0.5}}, ["(a scalar) at ['t']", "float32"]),
        (
            {"state": {**STATE, "x": jnp.zeros(3)}},
            ["float32[2] at ['x']", "float32[3]"],
        ),
        ({"state": {"x": jnp.zeros(2)}}, ["state like env.reset's", "{'x': *}"]),
        ({"state": None}, ["state like env.reset's", "None"]),
    ],
    ids=str,
)
def test_what_a_step_returns(changes, words):
    one_line("env.step: expected", *words, env=stepping(**changes))


@pytest.mark.parametrize(
    ("step", "found"),
    [
        (lambda *_: (STATE, jnp.zeros(2), 1.0, False, {}), "5 results"),
        (lambda *_: (STATE, jnp.zeros(2), 1.0), "3 results"),
        (lambda *_: jnp.zeros(2), "float32[2]"),
        (lambda *_: None, "None"),
    ],
)
def test_how_many_results_a_step_returns(step, found):
    one_line("4 results (state, observation, reward, done)", found, env=env(step=step))


@pytest.mark.parametrize(
    ("reset", "words"),
    [
        (lambda key: (0, jnp.zeros(4)), ["env.spec, float32[2]", "float32[4]"]),
        (lambda key: (0, {"a": jnp.zeros(2)}), ["float32[2]", "a dict of a"]),
        (lambda key: (0, jnp.zeros(2), {}), ["2 results", "3 results"]),
        (lambda key: ({"name": "me"}, jnp.zeros(2)), ["arrays at [0]['name']", "str"]),
    ],
)
def test_what_a_reset_returns(reset, words):
    one_line("env.reset: expected", *words, env=env(reset=reset))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (Spec((2,), Discrete(0)), ["Discrete", "at least 1", "got 0"]),
        (Spec((2,), Discrete(2.0)), ["Discrete", "an integer", "got 2.0"]),
        (Spec((2,), Discrete(True)), ["Discrete", "got True"]),
        (Spec((2,), Box(3)), ["Box", "a tuple of integers", "got 3"]),
        (Spec((2,), Box((2.0,))), ["Box", "a tuple of integers", "got (2.0,)"]),
        (Spec((2,), Box((0,))), ["Box", "at least 1", "got (0,)"]),
        (Spec(2, Box((2,))), ["env.spec.observation", "got 2"]),
        (Spec([2], Box((2,))), ["env.spec.observation", "got [2]"]),
        (Spec((-1,), Box((2,))), ["env.spec.observation", "got (-1,)"]),
        (Spec((2,), spaces.Discrete(3)), ["neuroevo.Discrete", "gymnax"]),
        (Spec((2,), spaces.Box(-1, 1, (2,))), ["neuroevo.Box", "gymnax"]),
        (Spec((2,), gymnasium.spaces.MultiDiscrete([2, 3])), ["MultiDiscrete"]),
        (Spec((2,), Discrete), ["neuroevo.Discrete"]),
        ("two", ["a neuroevo.Spec (observation, action)", "a str"]),
    ],
    ids=str,
)
def test_specs(spec, words):
    one_line("env.spec", *words, env=env(spec=spec))


@pytest.mark.parametrize("limit", [0, -1, 2.5, None, True, 2**31])
def test_time_limits(limit):
    one_line(
        "env.max_steps", "1 to 2^31 - 1", f"got {limit!r}", env=env(max_steps=limit)
    )


class Host(gymnasium.Env):
    """An environment of gymnasium."""


@dataclasses.dataclass(frozen=True)
class NoEnvironment:
    """Options that build nothing of use."""

    def build(self):
        return 3


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (toy.Walk, ["not its class", "got the class Walk"]),
        (Environment, ["not its class", "got the class Environment"]),
        (
            Host(),
            ["expected a function that makes the Host", "got the environment itself"],
        ),
        (None, ["a name, options with a build method", "got None"]),
        (3, ["got an int"]),
        (
            lambda: 3,
            ["a neuroevo.Environment (spec, reset, step, max_steps)", "an int"],
        ),
        (NoEnvironment(), ["a neuroevo.Environment (spec, reset, step, max_steps)"]),
    ],
)
def test_what_is_no_environment(value, words):
    one_line("env: expected", *words, env=value)


@pytest.mark.parametrize("part", ["encoding", "policy", "strategy", "normalization"])
def test_what_is_no_part(part):
    one_line(f"{part}: expected", "got None", **{part: None})
    one_line(f"{part}: expected", "got an int", **{part: 3})
    one_line(f"{part}: expected", "got a str", **{part: lambda *_: "nothing"})
    one_line(f"{part}: expected", "not its class", **{part: toy.Walk})


def test_a_logger_may_be_a_value_a_function_or_options():
    logger = Logger(log=lambda rows: None)
    for given in (logger, [logger], lambda session: logger):
        (made,) = loggers_in(given, {})[0].values()
        assert made.build(None) is logger


def test_what_is_no_logger():
    for log in (3, [3], ["tensorboard", object()]):
        with pytest.raises(UserError, match="log: expected a name, or a function of a"):
            loggers_in(log, {})


# --- encodings, policies and strategies -----------------------------------------------


def encoding(init=lambda key: jnp.zeros(3), decode=None):
    """A function that returns an encoding, as `evolve` takes it."""

    def make(policy, spec):
        def plain(genome, key):
            return jax.tree.map(lambda x: x + genome.sum(), policy.init(key))

        return Encoding(init, plain if decode is None else decode(policy))

    return make


def changed(change):
    """A decode that changes a policy's parameters in a way that does not fit."""
    return lambda policy: lambda genome, key: change(policy.init(key))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            encoding(lambda key: {"n": jnp.arange(3)}),
            ["real floats at ['n']", "int32[3]"],
        ),
        (encoding(lambda key: jnp.zeros(3, complex)), ["real floats", "complex64[3]"]),
        (encoding(lambda key: {}), ["at least one number", "no array"]),
        (encoding(lambda key: jnp.zeros((0, 4))), ["at least one number", "[0, 4]"]),
        (encoding(lambda key: jnp.full(3, jnp.nan)), ["finite numbers", "3 of 3"]),
        (encoding(lambda key: {"w": jnp.array([1, jnp.inf])}), ["['w']", "1 of 2"]),
    ],
)
def test_genomes_to_start_from(made, words):
    one_line("encoding.init: expected", *words, encoding=made)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda params: jax.tree.map(lambda x: x[None], params),
            [
                "parameters like policy.init's",
                "float32[4] at ['hidden_0']",
                "float32[1, 4]",
            ],
        ),
        (
            lambda params: jax.tree.map(lambda x: x.astype(jnp.bfloat16), params),
            ["float32", "got bfloat16"],
        ),
        (lambda params: {"mine": params}, ["parameters like policy.init's", "'mine'"]),
        (lambda params: None, ["parameters like policy.init's", "got None"]),
    ],
)
def test_decoded_parameters(change, words):
    one_line(
        "encoding.decode: expected", *words, encoding=encoding(decode=changed(change))
    )


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda output, key: jnp.zeros(3), ["env.spec, float32[2]", "float32[3]"]),
        (lambda output, key: jnp.zeros(()), ["env.spec, float32[2]", "float32[]"]),
        (lambda output, key: {"a": jnp.zeros(2)}, ["env.spec", "a dict of a"]),
    ],
)
def test_actions(act, words):
    def policy(spec):
        return build_with().policy._replace(act=act)

    one_line("policy.act: expected", *words, policy=policy)


def strategy(**changes):
    """A function that returns a strategy of one genome, changed by `changes`."""

    def make(population):
        def ask(key, state):
            return jax.tree.map(lambda x: jnp.stack([x] * population), state), state

        plain = Strategy(
            init=lambda key, genome: genome,
            ask=ask,
            tell=lambda key, genomes, fitness, state: state,
            center=lambda state: state,
        )
        return plain._replace(**changes)

    return make


def test_a_strategy_that_fits_is_built():
    build_with(strategy=strategy())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ask": lambda key, state: (state, state)}, ["4 genomes", "float32[4]"]),
        ({"ask": lambda key, state: state}, ["2 results (population, state)"]),
        ({"tell": lambda *_: 0}, ["strategy.tell", "state like strategy.init's"]),
        ({"center": lambda state: 0.0}, ["strategy.center", "genome like"]),
    ],
)
def test_strategies(changes, words):
    one_line("expected", *words, strategy=strategy(**changes))


# --- errors of a part's own, and environments of other libraries ----------------------


def test_an_error_in_a_part_says_what_was_called():
    def step(key, state, action):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as error:
        build_with(env=env(step=step))
    traced = "neuroevo was tracing env.step with "
    assert any(note.startswith(traced) for note in error.value.__notes__)


@pytest.mark.parametrize(
    "made", [gymnax.make("Pendulum-v1")[0], gymnax.make("Pendulum-v1")]
)
def test_a_gymnax_environment_is_wrapped(made):
    parts = build_with(env=made)
    assert parts.environment.spec == Spec((3,), Box((1,)))
    assert parts.environment.max_steps == 200
    (custom, _) = parts_in({"env": made})
    assert custom["env"].name == "Pendulum-v1"


def test_a_brax_environment_is_wrapped_and_one_with_wrappers_is_not():
    import brax.envs

    parts = build_with(env=brax.envs.get_environment("fast"))
    assert parts.environment.spec == Spec((2,), Box((1,)))
    (custom, _) = parts_in({"env": brax.envs.get_environment("fast")})
    assert traits(EnvironmentTraits, custom["env"]).slow
    with pytest.raises(UserError, match="environment Fast: it has wrappers"):
        build_with(env=brax.envs.create("fast"))


def test_evolve_and_evaluate_with_parts_made_in_python(capsys):
    run = neuroevo.evolve(env=toy.walk(limit=3), **SMALL, devices=1, display=False)
    result = run.evaluate(policies=1, episodes=1)
    assert re.fullmatch(r"Environment|walk", result["env"])
