"""Actions of Gymnasium's environments that have several parts, and their masks."""

import functools

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector import AutoresetMode

from neuroevo import spaces
from neuroevo.core import keys
from neuroevo.core.acting import reactive
from neuroevo.environments.gym import actions, making, suite
from neuroevo.errors import EnvironmentFailure, UserError
from neuroevo.tasks import host
from neuroevo.tasks.normalization import NoNormalization
from neuroevo.tasks.task import random_act

LIGHTS = MultiDiscrete([2, 3], start=[0, 4])
SPACES = {
    "discrete": Discrete(3, start=2),
    "choices": Dict({"gear": Discrete(3, start=1), "lights": LIGHTS}),
    "nested": Tuple((Dict({"a": MultiBinary(2)}), Tuple((Discrete(2), LIGHTS)))),
    "mixed": Dict({"gear": Discrete(3), "pedal": Box(0, 4, (2, 1)), "to": Box(-1, 1)}),
}


@pytest.mark.parametrize("name", SPACES)
def test_actions_travel_as_records(name):
    space = SPACES[name]
    description = actions.describe_action(space)
    kind, shape = actions.type_of(description)
    space.seed(1)
    for _ in range(8):
        sample, record = space.sample(), np.zeros((1, *shape), kind)
        record[0] = actions.recorded(description, sample)
        found = actions.taken(description, record[0])
        assert space.contains(found)
        np.testing.assert_equal(found, sample)


def test_parts_become_one_action():
    facts = [actions.describe_action(space) for space in SPACES.values()]
    takers = [making._taker("Mine", each) for each in facts]
    assert [taker.space for taker in takers] == [
        spaces.Discrete(3),
        spaces.MultiDiscrete((3, 2, 3)),
        spaces.MultiDiscrete((2, 2, 2, 2, 3)),
        spaces.Box((6,)),
    ]
    several = takers[1].convert(np.array([[0, 0, 0], [2, 1, 2]]))
    assert actions.taken(facts[1], several[1])["gear"] == 3
    assert actions.taken(facts[1], several[1])["lights"].tolist() == [1, 6]
    mixed = takers[3].convert(np.array([[-1, 0.5, 0.2, 1, 0, -1]], np.float32))
    found = actions.taken(facts[3], mixed[0])
    assert SPACES["mixed"].contains(found)
    assert (found["gear"], found["pedal"].tolist()) == (1, [[4], [2]])
    assert found["to"].tolist() == [-1]


ONES = np.ones(3, np.int8)


@pytest.mark.parametrize(
    "name, mask, expected",
    [
        ("discrete", np.array([0, 1, 1], np.int8), [0, 1, 1]),
        ("discrete", None, [1, 1, 1]),
        (
            "choices",
            {"gear": ONES == 0, "lights": (ONES[:2], 0 * ONES)},
            [0] * 3 + [1] * 2,
        ),
        ("choices", {"lights": None, "gear": 0 * ONES}, [0] * 3 + [1] * 5),
        (
            "nested",
            ({"a": np.eye(2, dtype=bool)}, (ONES[1:] * 0, (ONES[:2], ONES))),
            [1, 0, 0, 1, 0, 0, 1, 1, 1, 1, 1],
        ),
    ],
)
def test_masks_are_those_of_gymnasium(name, mask, expected):
    found = actions.legal_values(actions.describe_action(SPACES[name]), mask)
    expected += [0] * (len(found) - len(expected))
    assert found.dtype == bool and found.astype(int).tolist() == expected


@pytest.mark.parametrize(
    "name, mask, expected",
    [
        ("discrete", np.ones(4, bool), r"has shape \(4,\); expected \(3,\)$"),
        ("discrete", [0, 2, 1], r"is \[0, 2, 1\], of type int64; expected .* 0 and 1"),
        ("discrete", np.ones(3), "of type float64; expected"),
        ("choices", (ONES, None), r"expected a Dict with masks for gear, lights"),
        (
            "choices",
            {"gear": ONES, "lights": np.ones(5)},
            r"has shape \(5,\); expected \(2,\), \(3,\) in a tuple",
        ),
        ("nested", ONES, "expected a Tuple with masks for 0, 1"),
        ("mixed", {"gear": ONES}, "the action is not discrete; expected none"),
    ],
)
def test_masks_that_do_not_fit_are_told(name, mask, expected):
    with pytest.raises(TypeError, match=expected):
        actions.legal_values(actions.describe_action(SPACES[name]), mask)


class Gears(gymnasium.Env):
    """Takes no illegal action; rewards say which one was taken."""

    observation_space, action_space = Box(-1, 1, (1,)), SPACES["choices"]
    masks = True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), self._info()

    def _info(self):
        draw = functools.partial(self.np_random.integers, 2, dtype=np.int8)
        self.mask = {"gear": draw(size=3), "lights": (draw(size=2), draw(size=3))}
        return {"action_mask": self.mask} if self.masks else {}

    def step(self, action):
        gear, (left, right) = action["gear"], action["lights"]
        chosen = (gear - 1, left, right - 4)
        for value, mask in zip(
            chosen, (self.mask["gear"], *self.mask["lights"]), strict=True
        ):
            if mask.any() and not mask[value]:
                raise ValueError(f"{action} is illegal")
        self.t += 1
        reward = 100.0 * gear + 10.0 * left + right
        return np.zeros(1, np.float32), reward, self.t == 6, False, self._info()


class Careless(Gears):
    masks = False


def several(kind):
    return gymnasium.vector.SyncVectorEnv(
        [kind] * 8, autoreset_mode=AutoresetMode.DISABLED
    )


def returns(make, actor=None):
    """Return what eight episodes of random actions bring."""
    environment = suite.from_function(make, workers=1).build()
    task = host.make_host_task(environment, NoNormalization().build((1,)))
    drawn = keys.episode_keys(jax.random.key(3), 8)[None]
    load = host._loading((), drawn)
    actor = actor or random_act(environment.spec)
    try:
        share = task.host.begin(actor, load, (), np.arange(1), (1, 1, 8), 1)
        share.play(np.inf)
    finally:
        task.host.close()
    return share.outcomes.returns.ravel()


def test_an_illegal_action_is_never_taken():
    found = returns(Gears)
    assert len(set(found)) == 8
    np.testing.assert_array_equal(found, returns(functools.partial(several, Gears)))
    with pytest.raises(EnvironmentFailure, match="is illegal"):
        returns(Careless)


def test_a_policy_that_knows_no_masks_is_corrected():
    def first(params, observation, key):
        del params, observation, key
        return jax.numpy.zeros(3, int)

    assert np.isfinite(returns(Gears, reactive(first))).all()


def late(self):
    self.mask = {"gear": ONES, "lights": (ONES[:2], ONES)}
    return {"action_mask": self.mask} if self.t else {}


WRONG = {
    "shape": (
        {"_info": lambda self: {"action_mask": np.ones(4, bool)}},
        r"^environment Wrong: info\['action_mask'\] is array.*; expected a Dict with",
    ),
    "late": ({"_info": late}, "info has an action_mask, but not after the first reset"),
    "empty": ({"action_space": Dict({})}, "its action space is empty; expected an"),
    "text": (
        {"action_space": Tuple((gymnasium.spaces.Text(3),))},
        "its action space is a Text; expected Discrete, Box, MultiDiscrete, MultiBin",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_actions_and_masks_are_one_line(what):
    changes, expected = WRONG[what]
    kind = type("Wrong", (Gears,), changes)
    with pytest.raises(UserError, match=expected):
        suite.from_function(kind, workers=1).build()
