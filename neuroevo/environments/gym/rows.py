"""Several environments alike in a process, by their numbers; it imports no JAX."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from neuroevo.environments.gym import actions as described
from neuroevo.environments.gym.spaces import Observer

RESULT = np.dtype([("reward", np.float64), ("ended", np.bool_)])  # of a step
MASK = "action_mask"  # in `info`


class Rows:
    """Several environments alike; `observe` turns what they show into arrays.

    Attributes:
        observe: turns what an environment shows into an array.
        action: the description of an action.
        legal: (B, n) bool, which actions are legal after the last call; n is 0 without
            masks.
        most: number of environments, if it is fixed.
        max_steps: the time limit of the environment.
    """

    observe: Observer
    action_type: np.dtype
    action_shape: tuple[int, ...]
    legal: np.ndarray
    most: int | None = None
    max_steps: int | None = None

    def __init__(self, observation: Any, action: Any) -> None:
        self.observe = Observer(observation)
        self.action = described.describe_action(action)
        self.discrete = self.action["kind"] == "Discrete"
        self.action_type, self.action_shape = described.type_of(self.action)
        self._choices = sum(described.choices(self.action))
        self._masked: bool | None = None  # until the first reset

    def describe(self) -> dict[str, Any]:
        """Return what the other process must know, after a step for a test."""
        self.reset([0], [0])
        self._masked = bool(self._masked)
        action = np.zeros((1, *self.action_shape), self.action_type)
        if self._choices:
            action[0] = described.first_legal(self.action, self.legal[0])
        else:
            action[0] = described.recorded(self.action, self.sample())
        self.step([0], action, np.zeros(1, RESULT))
        self.reset([0], [0])
        return {
            "shape": self.observe.shape,
            "dtype": self.observe.dtype.name,
            "features": self.observe.features,
            "action": self.action,
            "choices": self._choices if self._masked else 0,
            "max_steps": self.max_steps,
            "most": self.most,
        }

    def allow(self, i: int, mask: Any) -> None:
        """Note the mask of the i-th environment of a call.

        Raises:
            TypeError: if it does not fit the actions.
        """
        if self._masked is False:
            raise TypeError(
                f"info has an {MASK}, but not after the first reset; expected it then"
            )
        self._masked = True
        self.legal[i] = described.legal_values(self.action, mask)

    def sample(self) -> Any:
        """Return an action of the space."""
        raise NotImplementedError

    def reset(self, rows: list[int], seeds: list[int]) -> memoryview:
        """Begin new episodes with seeds; return the observations."""
        raise NotImplementedError

    def step(
        self, rows: list[int], actions: np.ndarray, results: np.ndarray
    ) -> memoryview:
        """Take a step of each; fill in `results`, and return the observations."""
        raise NotImplementedError

    def render(self, row: int) -> Any:
        """Return a picture of one of them, or None."""
        raise NotImplementedError

    def new(self, count: int) -> np.ndarray:
        """Return room for `count` observations; all actions are legal until `allow`."""
        size = 0 if self._masked is False else self._choices
        self.legal = np.ones((count, size), np.bool_)
        return np.empty((count, *self.observe.shape), self.observe.dtype)


class Singles(Rows):
    """Environments one by one, each made when it is needed."""

    def __init__(self, make: Callable[[], Any], first: Any) -> None:
        super().__init__(first.observation_space, first.action_space)
        self._make, self._envs = make, {0: first}
        self._space = first.action_space
        self.max_steps = first.spec and first.spec.max_episode_steps

    def sample(self) -> Any:
        """Return an action of the space."""
        self._space.seed(0)
        return self._space.sample()

    def reset(self, rows: list[int], seeds: list[int]) -> memoryview:
        """Begin new episodes with seeds; return the observations."""
        found = self.new(len(rows))
        for i, (row, seed) in enumerate(zip(rows, seeds, strict=True)):
            env = self._envs.get(row)
            if env is None:
                env = self._envs[row] = self._make()
            observation, info = env.reset(seed=seed)
            found[i] = self.observe(observation)
            if MASK in info:
                self.allow(i, info[MASK])
        return found.data

    def step(
        self, rows: list[int], actions: np.ndarray, results: np.ndarray
    ) -> memoryview:
        """Take a step of each; fill in `results`, and return the observations."""
        found = self.new(len(rows))
        given = actions.tolist() if self.discrete else actions
        if actions.dtype.names:
            given = [described.taken(self.action, each) for each in actions]
        rewards, ends = [], []
        for i, row in enumerate(rows):
            step = self._envs[row].step(given[i])
            observation, reward, terminated, truncated, info = step
            found[i] = self.observe(observation)
            if MASK in info:
                self.allow(i, info[MASK])
            rewards.append(reward)
            ends.append(terminated or truncated)
        results["reward"] = _scalars("reward", rewards)
        results["ended"] = _scalars("terminated or truncated", ends)
        return found.data

    def render(self, row: int) -> Any:
        """Return a picture of one of them, or None."""
        env = self._envs[row]
        return env.render() if env.render_mode == "rgb_array" else None


def _scalars(what: str, values: list[Any]) -> np.ndarray:
    """Return the values of several environments as one array.

    Raises:
        TypeError: if they are not scalars.
    """
    try:
        found = np.array(values)
    except ValueError:  # of different shapes
        found = np.array(None)
    if found.ndim != 1 or found.dtype.kind not in "biuf":
        raise TypeError(f"step: expected a scalar as {what}; got {values[0]!r}")
    return found


class Vectors(Rows):
    """One vector environment, whose environments do not reset by themselves."""

    def __init__(self, env: Any) -> None:
        from gymnasium.vector import AutoresetMode
        from gymnasium.vector.utils import iterate

        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.DISABLED:
            raise TypeError(
                f"a vector environment whose autoreset_mode is {mode}; expected "
                "gymnasium.vector.AutoresetMode.DISABLED, so that every episode begins "
                "with a seed"
            )
        super().__init__(env.single_observation_space, env.single_action_space)
        self._env, self._iterate, self._begun = env, iterate, False
        self.most = env.num_envs
        self.max_steps = env.spec and env.spec.max_episode_steps
        self._ended = np.ones(env.num_envs, bool)
        env.single_action_space.seed(0)
        self._idle = env.single_action_space.sample()
        shape = (env.num_envs, *self.action_shape)
        self._actions = np.zeros(shape, self.action_type)
        self._actions[:] = described.recorded(self.action, self._idle)
        self._masks: dict[int, Any] = {}  # of each environment, if they have any

    def sample(self) -> Any:
        """Return an action of the space."""
        return self._idle

    def _reset(self, rows: list[int], seeds: list[int]) -> Any:
        mask = np.full(self._env.num_envs, not self._begun)  # all of them at first
        mask[rows] = self._begun = True
        every: list[int | None] = [0] * self._env.num_envs
        for row, seed in zip(rows, seeds, strict=True):
            every[row] = seed
        self._ended[rows] = False
        batch, infos = self._env.reset(seed=every, options={"reset_mask": mask})
        self._note(infos, np.flatnonzero(mask).tolist())
        return batch

    def _note(self, infos: Any, rows: Iterable[int]) -> None:
        """Keep the masks of some environments."""
        if MASK in infos:
            self._masks.update({row: _pick(infos, MASK, row) for row in rows})

    def _of(self, rows: list[int], batch: Any) -> memoryview:
        each = list(self._iterate(self._env.observation_space, batch))
        found = self.new(len(rows))
        for i, row in enumerate(rows):
            found[i] = self.observe(each[row])
            if self._masks:
                self.allow(i, self._masks[row])
        return found.data

    def reset(self, rows: list[int], seeds: list[int]) -> memoryview:
        """Begin new episodes with seeds; return the observations."""
        return self._of(rows, self._reset(rows, seeds))

    def step(
        self, rows: list[int], actions: np.ndarray, results: np.ndarray
    ) -> memoryview:
        """Take a step of each; fill in `results`, and return the observations."""
        # All of them take a step, and none may do so after its end.
        idle = np.flatnonzero(self._ended).tolist()
        if idle:
            self._reset(idle, idle)
        for row in self._masks.keys() - set(rows):
            legal = described.legal_values(self.action, self._masks[row])
            self._actions[row] = described.first_legal(self.action, legal)
        self._actions[rows] = actions
        given = described.taken(self.action, self._actions)
        batch, rewards, terminated, truncated, infos = self._env.step(given)
        self._note(infos, range(self._env.num_envs))
        self._ended |= np.asarray(terminated) | np.asarray(truncated)
        results["reward"] = np.asarray(rewards)[rows]
        results["ended"] = self._ended[rows]
        return self._of(rows, batch)

    def render(self, row: int) -> None:
        """Return a picture of one of them, or None."""
        return None


def _pick(infos: Any, key: Any, row: int) -> Any:
    """Return what the `info` of one of several environments has, or None."""
    found = infos[key]
    if isinstance(found, dict):  # of dicts, with the flags of their keys beside them
        return {k: _pick(found, k, row) for k in found if f"_{k}" in found}
    return found[row] if infos.get(f"_{key}", np.ones(row + 1))[row] else None
