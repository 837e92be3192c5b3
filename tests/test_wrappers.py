"""Sticky actions, noise, drawn parameters, growing episodes, and what ends them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import CARTPOLE, walk

import neuroevo
from neuroevo.environments import wrappers
from neuroevo.errors import UserError
from neuroevo.progress import Role
from neuroevo.registry import envs
from neuroevo.spaces import Box, Discrete, MultiDiscrete, Spec
from neuroevo.tasks.growth import Growth

KEYS = jax.random.split(jax.random.key(0), 500)


def echo(action, legal=None):
    """An environment that shows, and rewards, the action that was taken."""

    def seen(action):
        return jnp.asarray(action, jnp.float32).reshape(-1)

    size = seen(wrappers._any_action(action)).shape

    def step(key, state, action):
        return state + 1, seen(action), seen(action).sum(), False

    return neuroevo.Environment(
        Spec(size, action), lambda key: (jnp.int32(0), jnp.zeros(size)), step, 9, legal
    )


def played(environment, first, second):
    """The two actions that were taken, for many keys."""

    def play(key):
        keys = jax.random.split(key, 3)
        state, _ = environment.reset(keys[0])
        state, one, *_ = environment.step(keys[1], state, first)
        state, two, *_ = environment.step(keys[2], state, second)
        return one, two

    return jax.jit(jax.vmap(play))(KEYS)


@pytest.mark.parametrize(
    "space, first, second",
    [
        (Discrete(3), 1, 2),
        (MultiDiscrete((2, 3)), [1, 0], [0, 2]),
        (Box((2,)), [0.5, -0.5], [-1.0, 1.0]),
    ],
    ids=["discrete", "several", "box"],
)
def test_actions_stick_as_often_as_asked(space, first, second):
    first, second = jnp.asarray(first), jnp.asarray(second)
    one, two = played(wrappers.sticky(echo(space), 0.25), first, second)
    assert (one == first).all()  # there is nothing to repeat
    stuck = (two == first.reshape(-1)).all(axis=1)
    assert ((two == second.reshape(-1)).all(axis=1) | stuck).all()
    assert abs(stuck.mean() - 0.25) < 0.06


def test_an_action_that_became_illegal_is_not_repeated():
    def legal(state):  # each of the first two actions once
        return jnp.arange(3) >= state

    _, two = played(wrappers.sticky(echo(Discrete(3), legal), 1.0), 0, 2)
    assert (two == 2).all()
    _, two = played(wrappers.sticky(echo(Discrete(3), legal), 1.0), 1, 2)
    assert (two == 1).all()


def test_noise_has_the_size_that_was_asked_for():
    one, two = played(wrappers.noisy(echo(Box((2,))), 0.3), jnp.zeros(2), jnp.zeros(2))
    assert abs(np.std(one) - 0.3) < 0.03
    assert abs(np.corrcoef(one[:, 0], two[:, 0])[0, 1]) < 0.15


def make(name, **options):
    return envs.get(name)(**options).build()


def test_wrappers_are_options_of_every_environment_in_jax():
    for name in ("CartPole-v1", "hopper"):
        assert {"sticky_actions", "observation_noise"} <= vars(envs.get(name)()).keys()
    plain, noisy = make("CartPole-v1"), make("CartPole-v1", observation_noise=0.1)
    key = jax.random.key(3)
    assert not np.allclose(plain.reset(key)[1], noisy.reset(key)[1])


def test_episodes_draw_parameters():
    environment = make("CartPole-v1", randomize=("length:0.4:0.6", "masspole:1:2"))
    (_, drawn), _ = jax.jit(jax.vmap(environment.reset))(KEYS)
    assert 0.4 <= drawn.length.min() < 0.42
    assert 0.58 < drawn.length.max() <= 0.6
    # What follows from the parameters follows from those that were drawn.
    np.testing.assert_allclose(drawn.polemass_length, drawn.masspole * drawn.length)
    assert abs(np.corrcoef(drawn.length, drawn.masspole)[0, 1]) < 0.15


def test_a_range_of_one_number_is_that_number():
    at = make("CartPole-v1", randomize=("gravity:5:5",))
    fixed = make("CartPole-v1", gravity=5.0)
    state, _ = fixed.reset(KEYS[0])
    (_, drawn), _ = at.reset(KEYS[0])
    _, seen, *_ = fixed.step(KEYS[1], state, jnp.int32(1))
    _, same, *_ = at.step(KEYS[1], (state, drawn), jnp.int32(1))
    np.testing.assert_allclose(seen, same, rtol=1e-6)


@pytest.mark.parametrize(
    "text, words",
    [
        ("gravty:8:12", "did you mean 'gravity'"),
        ("gravity", "NAME:LOW:HIGH"),
        ("gravity:12:8", "NAME:LOW:HIGH"),
        ("gravity:8:inf", "NAME:LOW:HIGH"),
        ("gravity:a:b", "NAME:LOW:HIGH"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_line(text, words):
    with pytest.raises(UserError, match="env.randomize") as error:
        make("CartPole-v1", randomize=(text,))
    assert words in str(error.value)


# --- growing episodes -----------------------------------------------------------------


def test_growth_is_even_and_ends():
    early = Growth(10, 4).skipped
    lengths = [50 - int(early(50, jnp.int32(i), Role.SEARCH)) for i in range(6)]
    assert lengths == [10, 20, 30, 40, 50, 50]
    for role in (Role.CENTER, Role.FINAL):
        assert early(50, jnp.int32(0), role) == 0
    assert Growth(80, 4).skipped(50, jnp.int32(0), Role.SEARCH) == 0


OPTIONS = {
    "encoding": "direct",
    "policy": {"hidden": []},
    "population": 4,
    "policies": 1,
    "episodes": 2,
    "center_every": 1,
    "center_policies": 1,
    "final_policies": 1,
    "final_episodes": 2,
    "devices": 1,
}


def test_only_candidates_play_short_episodes(tmp_path):
    """Each step of the walk is worth at most 1, and it ends at the limit here."""
    safe = walk(noise=0.0, limit=12)._replace(
        step=lambda key, state, action: (state, state, jnp.float32(1), False)
    )
    run = neuroevo.evolve(
        env=safe,
        episode_growth=(3, 3),
        generations=5,
        run_dir=tmp_path / "run",
        **OPTIONS,
    )
    rows = run.metrics
    assert [row["fitness_mean"] for row in rows] == [3, 6, 9, 12, 12]
    assert [row["center_return"] for row in rows] == [12] * 5
    assert [row["truncated"] for row in rows] == [1.0] * 5
    assert run.summary["best_return_mean"] == 12
    again = neuroevo.load(tmp_path / "run", env=safe)
    result = again.evaluate(policies=1, episodes=2)
    assert result["return_mean"] == 12
    assert result["truncated"] == 1.0


@pytest.mark.slow
def test_growth_resumes_where_it_was(tmp_path):
    growing = {**CARTPOLE, "episode_growth": (2, 4), "center_every": 1}
    whole = neuroevo.evolve(**growing | {"generations": 4})
    neuroevo.evolve(**growing | {"generations": 2}, run_dir=tmp_path / "run")
    neuroevo.evolve(
        **growing | {"generations": 4}, run_dir=tmp_path / "run", resume=True
    )
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    for row, line in zip(whole.metrics, rows, strict=True):
        assert f'"fitness_mean":{row["fitness_mean"]}' in line.replace(": ", ":")


def test_what_ends_an_episode_is_told():
    """Lost points end their episodes; the others reach the limit."""
    lost = walk(noise=1.5, limit=6)
    run = neuroevo.evolve(env=lost, generations=1, **OPTIONS | {"episodes": 16})
    share = run.metrics[0]["truncated"]
    assert 0 < share < 1
    assert run.best.evaluate(2, 8, seed=0)["truncated"] < 1


def test_growth_needs_episodes_in_jax():
    with pytest.raises(UserError, match="episode_growth: expected an environment"):
        neuroevo.evolve(env="digits", episode_growth=(10, 10), generations=1)
