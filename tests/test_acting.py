"""How policies act in a rollout: legal actions only, and with a memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neuroevo
from neuroevo.core import acting
from neuroevo.core.acting import act_with, reactive
from neuroevo.errors import UserError
from neuroevo.policies.heads import head
from neuroevo.progress import UNLIMITED, Group
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.tasks.normalization import NoNormalization
from neuroevo.tasks.task import evaluate, make_task, random_act
from neuroevo.types import Environment, Policy

KEYS = jax.random.split(jax.random.key(1), 16)
N = 5


def picky(legal=None) -> Environment:
    """Each state forbids some of five actions; a forbidden one would cost 1000."""

    def allowed(state):
        return (state["t"] + jnp.arange(N)) % 3 != 0

    def reset(key):
        return {"t": jax.random.randint(key, (), 0, 9)}, jnp.zeros(2)

    def step(key, state, action):
        reward = jnp.where(allowed(state)[action], 1.0, -1000.0)
        return {"t": state["t"] + 1}, jnp.ones(2), reward, False

    return Environment(Spec((2,), Discrete(N)), reset, step, 7, legal or allowed)


@pytest.mark.parametrize(
    "act",
    [
        random_act(Spec((2,), Discrete(N))),
        *[
            act_with(
                Policy(
                    init=lambda key: jnp.arange(5.0),
                    apply=lambda params, observation, by=by: by * params,
                    act=head(Discrete(N), choice)[0],
                    losses={},
                )
            )
            for choice in ("sample", "greedy")
            for by in (1.0, -1.0, np.float32(-3e38))
        ],
        reactive(lambda params, observation, key: jax.random.randint(key, (), 0, N)),
        reactive(lambda params, observation, key: 0),
    ],
)
def test_an_illegal_action_is_never_taken(act):
    task = make_task(picky(), NoNormalization().build((2,)))
    end = jax.jit(functools.partial(evaluate, task, act, jnp.arange(5.0)))((), KEYS)
    np.testing.assert_array_equal(end.returns, 7)


def test_where_no_action_is_legal_all_are():
    nothing = picky(legal=lambda state: jnp.zeros(N, bool))
    task = make_task(nothing, NoNormalization().build((2,)))
    steps = task.record(random_act(nothing.spec), (), (), KEYS[0])
    assert len(set(steps.actions.tolist())) > 2
    likely = acting.only_legal(jnp.arange(3.0), acting.some(jnp.zeros(3, bool), (3,)))
    np.testing.assert_array_equal(likely, jnp.arange(3.0))


def test_logits_of_legal_actions_stay_as_they_are():
    legal = jnp.array([True, False, True, True])
    logits = acting.only_legal(jnp.array([0.5, 2.0, -jnp.inf, jnp.nan]), legal)
    least = jnp.finfo(jnp.float32).min
    np.testing.assert_array_equal(logits, [0.5, -jnp.inf, least, jnp.nan])


def one_line(*words, **custom):
    with pytest.raises(UserError) as caught:
        neuroevo.evolve(encoding="direct", generations=1, **custom)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (lambda state: jnp.ones(4, bool), ["bool[5]", "got bool[4]"]),
        (lambda state: jnp.ones(N), ["bool[5]", "got float32[5]"]),
        (lambda state: None, ["bool[5]", "None"]),
    ],
)
def test_masks_that_do_not_fit(mask, words):
    one_line("env.legal: expected which actions are legal", *words, env=picky(mask))


def test_masks_are_for_discrete_actions_and_logits():
    continuous = picky()._replace(spec=Spec((2,), Box((2,))))
    one_line("env.legal: expected None unless", "Box", env=continuous)

    def policy(spec):
        act, losses = head(spec.action, "greedy")
        return Policy(lambda key: jnp.zeros(2), lambda p, x: x, act, losses)

    one_line(
        "policy.apply: expected logits", "got float32[2]", env=picky(), policy=policy
    )


# --- memory ---------------------------------------------------------------------------


def recall(limit=6, spec=None) -> Environment:
    """The first observation says which action pays, later ones say nothing."""

    def reset(key):
        cue = jax.random.randint(key, (), 0, 2)
        return {"cue": cue, "t": 0}, jax.nn.one_hot(cue, 2)

    def step(key, state, action):
        right = (action == state["cue"]) & (state["t"] > 0)
        state = {"cue": state["cue"], "t": state["t"] + 1}
        return state, jnp.zeros(2), right.astype(float), state["t"] > 2 + state["cue"]

    return Environment(spec or Spec((2,), Discrete(2)), reset, step, limit)


def hoarder(gain=1.0):
    """A policy whose memory is the sum of all observations."""

    def apply(params, observation, memory):
        memory = memory + observation
        return params * memory, memory

    return Policy(
        init=lambda key: jnp.float32(gain),
        apply=apply,
        act=head(Discrete(2), "greedy")[0],
        losses={},
        init_memory=lambda params: jnp.zeros(2),
    )


def test_memory_lasts_for_an_episode_and_starts_anew():
    """Through two slots, many episodes follow each other; each remembers its own."""
    task = make_task(recall(), NoNormalization().build((2,)))
    policy, rows = hoarder(), 9
    keys = jax.random.split(jax.random.key(0), (rows, 3))

    def load(groups):
        params = jnp.ones((len(groups), 2)) * jnp.array([1.0, -1.0])  # right, wrong
        return Group(params, keys[groups], jnp.ones((len(groups), 2), bool))

    @functools.partial(jax.jit, static_argnums=0)
    def play(slots):
        actor = act_with(policy)
        progress = task.begin(actor, load, (), rows, slots)
        return task.play(actor, load, (), rows, progress, UNLIMITED)[0].outcomes

    few, many = play(2), play(rows)
    np.testing.assert_array_equal(few.returns[:, 0], few.lengths[:, 0] - 1)
    assert not few.returns[:, 1].any()
    assert set(np.unique(few.lengths)) == {3, 4}
    jax.tree.map(np.testing.assert_array_equal, few, many)


def test_recording_and_collecting_carry_memory():
    task = make_task(recall(), NoNormalization().build((2,)))
    actor, right = act_with(hoarder()), jnp.float32(1)
    for key in KEYS[:4]:
        steps = task.record(actor, right, (), key)
        assert steps.rewards.sum() == len(steps.rewards) - 1
    found = task.collect(actor, right[None], (), KEYS[None])
    lengths = np.bincount(found.episodes)
    np.testing.assert_array_equal(found.returns[0], lengths - 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"apply": lambda p, x, memory: x}, ["2 results (output, memory)"]),
        (
            {"apply": lambda p, x, memory: (x, memory[:1])},
            ["a memory like policy.init_memory's", "float32[2]", "got float32[1]"],
        ),
    ],
)
def test_memories_that_do_not_fit(change, words):
    policy = hoarder()._replace(**change)
    one_line("policy.apply: expected", *words, env=recall(), policy=lambda spec: policy)


def test_an_objective_has_no_episodes_to_remember():
    def fitness(apply, params, key):
        return 0.0

    one_line(
        "has a memory",
        fitness=fitness,
        spec=Spec((2,), Discrete(2)),
        policy=lambda spec: hoarder(),
    )
