"""Physics: one batch of all episodes, and what the factors that they draw change."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from suites import KEYS, SUITES

from neuroevo.environments import physics
from neuroevo.environments.brax import suite as brax
from neuroevo.environments.quiet import quiet
from neuroevo.environments.randomization import Drawn
from neuroevo.environments.wrappers import bare
from neuroevo.errors import UserError
from neuroevo.registry import envs

STEP = 0.001
XML = f"""<mujoco>
  <option timestep="{STEP}"/>
  <custom>
    <numeric name="constraint_ang_damping" data="0.5"/>
    <numeric name="spring_mass_scale" data="1"/>
    <numeric name="spring_inertia_scale" data="1"/>
  </custom>
  <worldbody>
    <body name="weight">
      <joint name="down" type="slide" axis="0 0 -1"/>
      <geom type="sphere" size="0.1" mass="2" contype="0" conaffinity="0"/>
    </body>
    <body name="wheel" pos="3 0 0">
      <joint name="turn" type="hinge" axis="0 1 0" damping="0.5"/>
      <geom type="sphere" size="0.5" mass="2" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator><motor joint="turn" ctrllimited="true" ctrlrange="-1 1"/></actuator>
</mujoco>"""
EVERY = tuple(f"{name}:0.5:2" for name in sorted(physics.FACTORS))


def machine(backend):
    """Return an environment of brax with a falling weight and a driven wheel."""
    with quiet():
        base = importlib.import_module("brax.envs.base")
        system = importlib.import_module("brax.io.mjcf").loads(XML)

    class Machine(base.PipelineEnv):
        def reset(self, key):
            zero = jnp.zeros(())
            start = self.pipeline_init(jnp.zeros(2), jnp.array([0.0, 1.0]))
            return base.State(start, start.qd, zero, zero)

        def step(self, state, action):
            after = self.pipeline_step(state.pipeline_state, action)
            return state.replace(pipeline_state=after, obs=after.qd)

    return Machine(system, backend=backend)


def after_a_step(environment, key):
    state, _ = environment.reset(key)
    state, velocities, *_ = environment.step(key, state, jnp.ones(1))
    return state.parameters, velocities


@pytest.mark.parametrize(
    "backend, inertia",
    [
        ("generalized", 0.2),  # of a sphere, 0.4 * 2 * 0.5**2
        pytest.param("mjx", 0.2, marks=pytest.mark.slow),
        # These take powers of the masses; here, they count all as 1.
        pytest.param("positional", 1.0, marks=pytest.mark.slow),
        pytest.param("spring", 1.0, marks=pytest.mark.slow),
    ],
)
def test_drawn_factors_act_as_physics_says(backend, inertia):
    environment = brax.wrap(machine(backend), randomize=EVERY)
    play = jax.jit(jax.vmap(functools.partial(after_a_step, environment)))
    factors, velocities = play(KEYS)
    assert factors.keys() == physics.FACTORS.keys()
    for drawn in factors.values():
        assert 0.5 <= drawn.min() < 0.8 and 1.6 < drawn.max() <= 2
    np.testing.assert_allclose(
        velocities[:, 0], 9.81 * factors["gravity"] * STEP, rtol=0.01
    )
    torque = factors["strength"] - 0.5 * factors["damping"]
    speed = torque / (inertia * factors["mass"]) * STEP
    np.testing.assert_allclose(velocities[:, 1] - 1, speed, rtol=0.02, atol=1e-5)
    again, same = play(KEYS)
    jax.tree.map(np.testing.assert_array_equal, (again, same), (factors, velocities))


def test_without_the_option_nothing_changes():
    env = machine("generalized")
    environment = brax.wrap(env)
    state, _ = jax.eval_shape(environment.reset, KEYS[0])
    assert type(state) is not Drawn and bare(state) is state
    model = env.sys
    drawn, _ = jax.eval_shape(brax.wrap(env, randomize=EVERY).reset, KEYS[0])
    assert env.sys is model
    assert jax.tree.structure(bare(drawn)) == jax.tree.structure(state)


@pytest.mark.slow
def test_without_the_option_results_are_those_of_the_environment():
    env = machine("generalized")
    environment = brax.wrap(env)

    def ours(key):
        state, _ = environment.reset(key)
        return environment.step(key, state, jnp.ones(1))[0]

    def own(key):
        return env.step(env.reset(key), jnp.ones(1))

    both = jax.jit(ours)(KEYS[0]), jax.jit(own)(KEYS[0])
    jax.tree.map(np.testing.assert_array_equal, *both)


def test_constants_follow_from_the_mass_as_in_mujoco():
    mujoco = importlib.import_module("mujoco")
    mjx = importlib.import_module("mujoco.mjx")
    model = mujoco.MjModel.from_xml_string(XML)
    found = physics.scaled(mjx.put_model(model, impl="jax"), {"mass": 1.7})
    model.body_mass *= 1.7
    model.body_inertia *= 1.7
    mujoco.mj_setConst(model, mujoco.MjData(model))
    for path in physics.FACTORS["mass"]:
        if "." not in path:
            expected = getattr(model, path)
            np.testing.assert_allclose(getattr(found, path), expected, rtol=1e-5)


def test_each_factor_scales_something_of_every_kind_of_model():
    mujoco = importlib.import_module("mujoco")
    mjx = importlib.import_module("mujoco.mjx")
    model = mujoco.MjModel.from_xml_string(XML)
    for each in (mjx.put_model(model, impl="jax"), machine("generalized").sys):
        for name, paths in physics.FACTORS.items():
            scaled = physics.scaled(each, {name: 3.0})
            for path, power in paths.items():
                before = physics._find(each, path)
                if before is not None:
                    after = physics._find(scaled, path)
                    finite = np.isfinite(before)
                    np.testing.assert_array_equal(np.isfinite(after), finite)
                    np.testing.assert_allclose(
                        after[finite], before[finite] * 3.0**power, rtol=1e-6
                    )
            assert any(physics._find(each, path) is not None for path in paths)


@pytest.mark.parametrize(
    "text, words",
    [
        ("mas:1:2", "did you mean 'mass'"),
        ("mass:0:2", "mass: expected factors above 0"),
        ("friction:-1:2", "friction: expected factors of at least 0"),
        ("mass", "NAME:LOW:HIGH, such as mass:0.5:1.5"),
    ],
)
@pytest.mark.parametrize("name", ["hopper", "CartpoleBalance"])
def test_what_cannot_be_drawn_is_told_in_a_line(name, text, words):
    if name == "CartpoleBalance" and SUITES["playground"].missing():
        pytest.skip("playground is missing")
    with pytest.raises(UserError, match="env.randomize") as error:
        envs.get(name)(randomize=(text,)).build()
    assert words in str(error.value)


def test_what_has_no_physics_has_no_option():
    assert "randomize" not in vars(envs.get("fast")())
    env = importlib.import_module("brax.envs").get_environment("fast")
    with pytest.raises(UserError, match="env.randomize: Fast has no sys"):
        brax.wrap(env, randomize=EVERY)


def test_bodies_are_found_within_the_states_of_wrappers():
    options = brax.config("hopper")(randomize=EVERY, sticky_actions=0.1)
    state, _ = jax.eval_shape(options.build().reset, KEYS[0])
    found = jax.eval_shape(options.bodies().coordinates, state)
    assert found.shape == (6,)


def test_nested_batches_become_one():
    def function(key, state, action):
        noise = jax.random.normal(key, action.shape)
        return {"x": jnp.sin(state["x"] @ action), "n": state["n"] + 1}, noise

    def nested(function):
        function = jax.vmap(function)  # episodes
        function = jax.vmap(function, (None, 0, 0))  # policies in a group
        return jax.vmap(function, (None, 0, None))  # and groups

    groups, policies, episodes = 2, 3, 4
    state = {"x": jnp.linspace(-1, 1, 24), "n": jnp.arange(24)}
    state = jax.tree.map(lambda x: x.reshape(groups, policies, episodes), state)
    state["x"] = state["x"][..., None] * jnp.ones(5)
    arguments = KEYS[:episodes], state, jnp.ones((policies, episodes, 5))
    one = nested(physics.in_one_batch(function))
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-6),
        jax.jit(one)(*arguments),
        nested(function)(*arguments),
    )
    assert "f32[24] = sin" in str(jax.make_jaxpr(one)(*arguments))


def played(name, key, steps=20, **options):
    """Return what is observed, and received, in the steps of an episode."""
    environment = envs.get(name)(**options).build()
    start = environment.reset(key)

    def step(carry, t):
        action = jnp.sin(t + jnp.arange(environment.spec.action.shape[0]))
        state, seen, reward, _ = environment.step(key, carry[0], action)
        return (state, seen), (seen, reward)

    return jax.lax.scan(step, start, jnp.arange(steps, dtype=jnp.float32))[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hopper", "CartpoleBalance"])
def test_episodes_differ_by_what_they_draw(name):
    if name == "CartpoleBalance" and SUITES["playground"].missing():
        pytest.skip("playground is missing")
    options = {"randomize": ("mass:0.5:2", "friction:0.1:0.1")}
    play = jax.jit(jax.vmap(lambda key: played(name, key, **options)))
    same = jnp.stack([KEYS[0], KEYS[0], KEYS[1]])
    seen, rewards = play(same)
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(rewards[0], rewards[1])
    fixed = {"randomize": ("mass:1:1", "friction:0.1:0.1")}
    play = jax.jit(lambda key: played(name, key, **fixed))
    assert np.abs(play(KEYS[0])[0] - seen[0]).max() > 1e-3
