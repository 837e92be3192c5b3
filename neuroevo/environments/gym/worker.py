"""A process that steps environments of Gymnasium for another process.

It imports neither JAX nor anything else of neuroevo. It answers the requests that
arrive at its socket, one after another, and ends when the other process does. See
`neuroevo.environments.gym.workers` for the other side.
"""

import json
import os
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neuroevo.environments.gym.spaces import Observer, describe_action

# Requests, and answers.
MAKE, RESET, STEP, RENDER = b"M", b"R", b"S", b"P"
DONE, FAILED = b"D", b"F"
RESULT = np.dtype([("reward", np.float64), ("ended", np.bool_)])  # of a step
_HEADER = struct.Struct("=cQ")


def send(to: socket.socket, kind: bytes, *parts: bytes | memoryview) -> None:
    """Send a message: its kind, and its content in parts."""
    content = b"".join(parts)
    to.sendall(_HEADER.pack(kind, len(content)) + content)


def receive(source: socket.socket) -> tuple[bytes, bytearray]:
    """Return the kind and the content of the next message.

    Raises:
        EOFError: if the other process has ended.
    """
    kind, size = _HEADER.unpack(_receive(source, _HEADER.size))
    return kind, _receive(source, size)


def _receive(source: socket.socket, size: int) -> bytearray:
    content = bytearray(size)
    rest = memoryview(content)
    while rest:
        count = source.recv_into(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return content


def main() -> None:
    """Answer requests until the other process ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the other process decides
        signal.signal(number, signal.SIG_IGN)
    requests, life = map(int, sys.argv[1:])
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    with socket.socket(fileno=requests) as channel:
        worker = _Worker()
        while True:
            try:
                kind, content = receive(channel)
            except (EOFError, OSError):
                os._exit(0)
            try:
                answer = worker.answers[kind](content)
            except BaseException as error:
                send(channel, FAILED, json.dumps(_explain(error)).encode())
            else:
                send(channel, DONE, *answer)


def _end_with(life: int) -> None:
    """End this process, whatever it does, when the other end of a pipe is closed."""
    os.read(life, 1)
    os._exit(0)


def _explain(error: BaseException) -> dict[str, str]:
    """Return the type, message and origin of an error."""
    here = str(Path(__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [f for f in frames if not f.filename.startswith(here)]
    where = f"{foreign[-1].filename}:{foreign[-1].lineno}" if foreign else ""
    return {"type": type(error).__name__, "message": str(error), "where": where}


class _Worker:
    """The environments of this process, by their numbers."""

    def __init__(self) -> None:
        self.answers: dict[bytes, Callable[[bytearray], tuple[Any, ...]]] = {
            MAKE: self.make,
            RESET: self.reset,
            STEP: self.step,
            RENDER: self.render,
        }
        self.rows: _Rows

    def make(self, content: bytearray) -> tuple[Any, ...]:
        """Make an environment with the function in `content`, and describe it."""
        import cloudpickle
        import gymnasium

        gymnasium.logger.min_level = gymnasium.logger.ERROR
        make = cloudpickle.loads(bytes(content))
        first = make()
        if isinstance(first, gymnasium.vector.VectorEnv):
            self.rows = _Vector(first)
        elif isinstance(first, gymnasium.Env):
            self.rows = _Singles(make, first)
        else:
            raise TypeError(
                "expected a gymnasium.Env or a gymnasium.vector.VectorEnv; got "
                f"{type(first).__module__}.{type(first).__qualname__}"
            )
        return (json.dumps(self.rows.describe()).encode(),)

    def reset(self, content: bytearray) -> tuple[Any, ...]:
        """Begin the episodes of some environments with seeds; return observations."""
        rows, seeds = np.frombuffer(content, np.int64).reshape(2, -1)
        return (self.rows.reset(rows.tolist(), seeds.tolist()),)

    def step(self, content: bytearray) -> tuple[Any, ...]:
        """Take a step of some environments; return results and observations."""
        (count,) = struct.unpack_from("=q", content)
        rows = np.frombuffer(content, np.int64, count, 8)
        actions = np.frombuffer(content, self.rows.action_type, offset=8 + 8 * count)
        actions = actions.reshape(count, *self.rows.action_shape)
        results = np.zeros(count, RESULT)
        observations = self.rows.step(rows.tolist(), actions, results)
        return results.tobytes(), observations

    def render(self, content: bytearray) -> tuple[Any, ...]:
        """Return the picture (height, width, 3) of an environment, or nothing."""
        frame = self.rows.render(int.from_bytes(content, "little"))
        if frame is None:
            return ()
        frame = np.ascontiguousarray(frame, np.uint8)
        return struct.pack("=3q", *frame.shape), frame.data


class _Rows:
    """Several environments alike; `observe` turns what they show into arrays."""

    observe: Observer
    action_type: np.dtype
    action_shape: tuple[int, ...]
    most: int | None = None  # environments, if their number is fixed
    max_steps: int | None = None

    def __init__(self, observation: Any, action: Any) -> None:
        self.observe = Observer(observation)
        self.action = describe_action(action)
        self.discrete = self.action["kind"] == "Discrete"
        self.action_type = np.dtype(self.action["dtype"])
        self.action_shape = tuple(self.action["shape"])

    def describe(self) -> dict[str, Any]:
        """Return what the other process must know, after a step for a test."""
        self.reset([0], [0])
        action = np.zeros((1, *self.action_shape), self.action_type)
        if not self.discrete:
            action[0] = self.sample()
        else:
            action[0] = self.action["start"]
        self.step([0], action, np.zeros(1, RESULT))
        self.reset([0], [0])
        return {
            "shape": self.observe.shape,
            "dtype": self.observe.dtype.name,
            "features": self.observe.features,
            "action": self.action,
            "max_steps": self.max_steps,
            "most": self.most,
        }

    def sample(self) -> Any:
        raise NotImplementedError

    def reset(self, rows: list[int], seeds: list[int]) -> memoryview:
        raise NotImplementedError

    def step(
        self, rows: list[int], actions: np.ndarray, results: np.ndarray
    ) -> memoryview:
        raise NotImplementedError

    def render(self, row: int) -> Any:
        raise NotImplementedError

    def _new(self, count: int) -> np.ndarray:
        return np.empty((count, *self.observe.shape), self.observe.dtype)


class _Singles(_Rows):
    """Environments one by one, each made when it is needed."""

    def __init__(self, make: Callable[[], Any], first: Any) -> None:
        super().__init__(first.observation_space, first.action_space)
        self._make, self._envs = make, {0: first}
        self._space = first.action_space
        self.max_steps = first.spec and first.spec.max_episode_steps

    def sample(self) -> Any:
        self._space.seed(0)
        return self._space.sample()

    def reset(self, rows: list[int], seeds: list[int]) -> memoryview:
        found = self._new(len(rows))
        for i, (row, seed) in enumerate(zip(rows, seeds, strict=True)):
            env = self._envs.get(row)
            if env is None:
                env = self._envs[row] = self._make()
            found[i] = self.observe(env.reset(seed=seed)[0])
        return found.data

    def step(
        self, rows: list[int], actions: np.ndarray, results: np.ndarray
    ) -> memoryview:
        found = self._new(len(rows))
        given = actions.tolist() if self.discrete else actions
        rewards, ends = [], []
        for i, row in enumerate(rows):
            step = self._envs[row].step(given[i])
            observation, reward, terminated, truncated, _ = step
            found[i] = self.observe(observation)
            rewards.append(reward)
            ends.append(terminated or truncated)
        results["reward"] = _scalars("reward", rewards)
        results["ended"] = _scalars("terminated or truncated", ends)
        return found.data

    def render(self, row: int) -> Any:
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


class _Vector(_Rows):
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
        idle = np.asarray(env.single_action_space.sample())
        self._actions = np.repeat(idle[None], env.num_envs, axis=0)

    def sample(self) -> Any:
        return self._actions[0]

    def _reset(self, rows: list[int], seeds: list[int]) -> Any:
        mask = np.full(self._env.num_envs, not self._begun)  # all of them at first
        mask[rows] = self._begun = True
        every: list[int | None] = [0] * self._env.num_envs
        for row, seed in zip(rows, seeds, strict=True):
            every[row] = seed
        self._ended[rows] = False
        return self._env.reset(seed=every, options={"reset_mask": mask})[0]

    def _of(self, rows: list[int], batch: Any) -> memoryview:
        each = list(self._iterate(self._env.observation_space, batch))
        found = self._new(len(rows))
        for i, row in enumerate(rows):
            found[i] = self.observe(each[row])
        return found.data

    def reset(self, rows: list[int], seeds: list[int]) -> memoryview:
        return self._of(rows, self._reset(rows, seeds))

    def step(
        self, rows: list[int], actions: np.ndarray, results: np.ndarray
    ) -> memoryview:
        # All of them take a step, and none may do so after its end.
        idle = np.flatnonzero(self._ended).tolist()
        if idle:
            self._reset(idle, idle)
        self._actions[rows] = actions
        batch, rewards, terminated, truncated, _ = self._env.step(self._actions)
        self._ended |= np.asarray(terminated) | np.asarray(truncated)
        results["reward"] = np.asarray(rewards)[rows]
        results["ended"] = self._ended[rows]
        return self._of(rows, batch)

    def render(self, row: int) -> None:
        return None
