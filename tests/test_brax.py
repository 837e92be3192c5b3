"""The environments of brax: names, options, and what they become."""

import functools
import importlib
import inspect
from types import SimpleNamespace
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from suites import KEYS, LIMIT, defaults_of

from neuroevo import registry
from neuroevo.environments.brax import registered
from neuroevo.environments.brax import suite as brax
from neuroevo.environments.brax import tables as brax_tables
from neuroevo.errors import UserError
from neuroevo.spaces import Box, Spec
from neuroevo.tasks.normalization import NoNormalization, Running
from neuroevo.tasks.task import evaluate, make_task, random_act

BRAX_SPECS = {  # observation and action sizes of gym's MuJoCo environments
    "ant": (27, 8),
    "fast": (2, 1),
    "halfcheetah": (17, 6),
    "hopper": (11, 3),
    "humanoid": (244, 17),
    "humanoidstandup": (244, 17),
    "inverted_pendulum": (4, 1),
    "inverted_double_pendulum": (8, 1),
    "pusher": (23, 7),
    "reacher": (11, 2),
    "walker2d": (17, 6),
}


def test_brax_names_are_those_of_brax():
    assert set(brax_tables.OPTIONS) == set(BRAX_SPECS)
    importlib.import_module("brax.envs")
    assert set(registered.constructors()) - set(brax_tables.OPTIONS) == {"swimmer"}
    assert "swimmer" not in brax.names()
    assert registry.envs.get("brax:hopper") is brax.config("hopper")


@pytest.mark.parametrize("name", brax_tables.OPTIONS)
def test_brax_options_are_those_of_brax(name):
    importlib.import_module("brax.envs")
    constructor = registered.constructors()[name]
    found = {
        parameter.name: parameter.default
        for parameter in inspect.signature(constructor).parameters.values()
        if parameter.name not in ("backend", "kwargs", "obs_mode")
    }
    ours = defaults_of(brax.config(name))
    common = brax_tables.common_options(name)
    assert ours == {key: option.default for key, option in common.items()} | found


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("hopper", "ant") else pytest.mark.slow)
        for name in brax_tables.OPTIONS
    ],
)
def test_brax_spec(name):
    options = brax.config(name)
    environment = options().build()
    observation, action = BRAX_SPECS[name]
    assert environment.spec == Spec((observation,), Box((action,)))
    assert environment.max_steps == 1000
    assert options.suggests == {"normalization": "running"}
    if choices := brax_tables.backends(name):
        assert get_args(get_type_hints(options)["backend"]) == choices
        assert options().backend == choices[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, backend",
    [
        (name, backend)
        for name in brax_tables.OPTIONS
        for backend in brax_tables.backends(name)
    ],
)
def test_brax_backend_traces(name, backend):
    environment = brax.config(name)(backend=backend).build()
    task = make_task(environment, NoNormalization().build(None))
    act = random_act(environment.spec)
    end = jax.eval_shape(functools.partial(evaluate, task, act, ()), (), KEYS)
    assert end.returns.shape == (16,)


def test_brax_options_are_typed():
    options = brax.config("hopper")
    hints = get_type_hints(options)
    assert hints["healthy_z_range"] == tuple[float, float]
    assert hints["episode_length"] is int
    assert options().healthy_z_range == (0.7, float("inf"))
    assert options().backend == "positional"


def test_an_environment_that_a_user_registers_with_brax(monkeypatch):
    envs = importlib.import_module("brax.envs")
    fast = type(envs.get_environment("fast"))

    class Faster(fast):
        def __init__(self, boost=2.0, label=None, backend=None):
            super().__init__()
            self.boost = boost

    monkeypatch.setattr(envs, "_envs", dict(envs._envs))
    envs.register_environment("faster", Faster)
    assert ("faster", "faster, registered with brax.") in registry.envs.summaries()
    options = registry.envs.get("faster")
    assert defaults_of(options) == {
        "backend": "positional",
        "episode_length": 1000,
        "action_repeat": 1,
        "boost": 2.0,
    }
    assert not registry.is_bundled(options())  # it is checked like parts made in Python
    assert options(boost=3.0).build().spec == Spec((2,), Box((1,)))
    brax.config.cache_clear()


def test_brax_action_repeat():
    once = brax.config("fast")().build()
    twice = brax.config("fast")(action_repeat=2, episode_length=7).build()
    assert twice.max_steps == 4
    state, _ = once.reset(KEYS[0])
    action, total = jnp.ones(1), 0.0
    state_twice, _, reward_twice, _ = twice.step(KEYS[0], state, action)
    for _ in range(2):
        state, _, reward, _ = once.step(KEYS[0], state, action)
        total += reward
    assert reward_twice == total
    assert state_twice.obs[0] == state.obs[0]


def test_physics_is_traced_once_for_all_programs(monkeypatch):
    """Once for each program and `vmap`, it would take seconds each time."""
    envs = importlib.import_module("brax.envs")
    env, traced = envs.get_environment("fast"), []
    for name in ("reset", "step"):
        own = getattr(env, name)
        monkeypatch.setattr(
            env, name, lambda *a, f=own, n=name: traced.append(n) or f(*a)
        )
    environment = brax.wrap(env)
    for key, act in ((KEYS[0], jnp.ones(1)), (KEYS, jnp.ones((len(KEYS), 1)))):
        play = environment.reset, environment.step
        reset, step = map(jax.vmap, play) if key.ndim else play
        state, _ = jax.eval_shape(reset, key)
        program = jax.jit(step).lower(key, state, act).as_text()
        assert "call @step" not in program  # it is inlined: programs are as before
    assert traced == ["reset", "step"]


def test_physics_is_in_one_batch():
    environment = brax.config("fast")().build()
    keys, actions = KEYS.reshape(2, 8), jnp.ones((2, 8, 1))
    reset, step = (jax.vmap(jax.vmap(f)) for f in (environment.reset, environment.step))
    programs = (
        jax.make_jaxpr(reset)(keys),
        jax.make_jaxpr(step)(keys, jax.eval_shape(reset, keys)[0], actions),
    )
    for program in programs:
        assert {eqn.primitive.name for eqn in program.eqns} <= {
            "broadcast_in_dim",
            "custom_vmap_call",
            "reshape",
        }


def check_brax_rollout(name):
    environment = brax.config(name)(episode_length=LIMIT).build()
    task = make_task(environment, Running().build(environment.spec.observation))
    act = random_act(environment.spec)
    state = task.init(KEYS[0])
    end = jax.jit(functools.partial(evaluate, task, act, ()))(state, KEYS)
    assert np.isfinite(end.returns).all()
    assert (end.lengths >= 1).all() and (end.lengths <= LIMIT).all()
    after = task.update(state, end.stats)
    assert after.count == end.lengths.sum()
    assert np.isfinite(after.mean).all() and (after.var > 0).all()
    return task, act, state, end


def test_brax_rollout():
    check_brax_rollout("fast")  # has no physics


@pytest.mark.slow
def test_brax_rollout_of_inverted_pendulum():
    check_brax_rollout("inverted_pendulum")  # the fastest of the others to compile


@pytest.mark.slow
def test_brax_rollout_of_hopper():
    task, act, state, end = check_brax_rollout("hopper")
    assert len(set(np.asarray(end.returns).tolist())) == len(KEYS)
    steps = task.record(act, (), state, KEYS[0])
    assert len(steps.rewards) == end.lengths[0]
    np.testing.assert_allclose(steps.rewards.sum(), end.returns[0], rtol=1e-3)
    assert (np.abs(steps.actions) <= 1).all()
    assert len(steps.states.pipeline_state.q) == len(steps.rewards)  # to be drawn


def test_brax_user_errors():
    with pytest.raises(UserError, match="backend should be in"):
        brax.config("hopper")(backend="bullet").build()


def test_a_foot_touches_the_ground_where_brax_finds_contact():
    """Its height follows from its shape; brax collides it with the floor."""
    from brax import contact, kinematics

    options = brax.config("walker2d")()
    system = brax._construct(options, "walker2d").sys
    model = system.mj_model
    feet = [model.geom(f"{name}_geom").id for name in ("foot", "foot_left")]

    @jax.jit
    @jax.vmap
    def both(q):
        x, _ = kinematics.forward(system, q, jnp.zeros(system.qd_size()))
        state = SimpleNamespace(pipeline_state=SimpleNamespace(x=x))
        known = options.measures()
        ours = [known[f"{f}-contact"].of(state, None) for f in ("foot", "foot-left")]
        found = contact.get(system, x)
        ends = (found.geom1, found.geom2)
        near = [
            jnp.min(found.dist, where=(ends[0] == f) | (ends[1] == f), initial=jnp.inf)
            for f in feet
        ]
        return jnp.stack(ours), jnp.stack(near), x.pos[0, 0], known["x"].of(state, None)

    noise = jax.random.uniform(jax.random.key(0), (64, system.q_size()), minval=-1.0)
    touches, distance, x, ours = both(0.3 * noise)
    assert 0.2 < touches.mean() < 0.8
    np.testing.assert_array_equal(touches, distance < 0.01)
    np.testing.assert_array_equal(x, ours)


def test_a_robot_is_described_by_where_it_gets_and_how():
    config = brax.config("hopper")
    made = config(descriptor=("x:0:10", "foot-contact")).build().descriptor
    assert made == made._replace(
        names=("x", "foot-contact"), low=(0.0, 0.0), high=(10.0, 1.0)
    )
    with pytest.raises(UserError, match="expected x, y, foot-contact, height"):
        config(descriptor=("feet:0:1",)).build()
