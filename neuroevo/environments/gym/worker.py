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

from neuroevo.environments.gym.pools import MakePool, PoolRows
from neuroevo.environments.gym.rows import RESULT, Rows, Singles, Vectors

# Requests, and answers.
MAKE, RESET, STEP, RENDER = b"M", b"R", b"S", b"P"
DONE, FAILED = b"D", b"F"
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


def _rows(make: Callable[[], Any]) -> Rows:
    """Return the environments that `make` makes.

    Raises:
        TypeError: if it makes anything else.
    """
    import gymnasium

    if isinstance(make, MakePool):
        return PoolRows(make)
    first = make()
    if isinstance(first, gymnasium.vector.VectorEnv):
        return Vectors(first)
    if isinstance(first, gymnasium.Env):
        return Singles(make, first)
    raise TypeError(
        "expected a gymnasium.Env or a gymnasium.vector.VectorEnv; got "
        f"{type(first).__module__}.{type(first).__qualname__}"
    )


class _Worker:
    """The environments of this process, by their numbers."""

    def __init__(self) -> None:
        self.answers: dict[bytes, Callable[[bytearray], tuple[Any, ...]]] = {
            MAKE: self.make,
            RESET: self.reset,
            STEP: self.step,
            RENDER: self.render,
        }
        self.rows: Rows

    def make(self, content: bytearray) -> tuple[Any, ...]:
        """Make an environment with the function in `content`, and describe it."""
        import cloudpickle
        import gymnasium

        gymnasium.logger.min_level = gymnasium.logger.ERROR
        make = cloudpickle.loads(bytes(content))
        self.rows = _rows(make)
        return (json.dumps(self.rows.describe()).encode(),)

    def reset(self, content: bytearray) -> tuple[Any, ...]:
        """Begin the episodes of some environments with seeds; return what they show."""
        rows, seeds = np.frombuffer(content, np.int64).reshape(2, -1)
        observations = self.rows.reset(rows.tolist(), seeds.tolist())
        return observations, self.rows.legal.tobytes()

    def step(self, content: bytearray) -> tuple[Any, ...]:
        """Take a step of some environments; return results, and what they show."""
        (count,) = struct.unpack_from("=q", content)
        rows = np.frombuffer(content, np.int64, count, 8)
        actions = np.frombuffer(content, self.rows.action_type, offset=8 + 8 * count)
        actions = actions.reshape(count, *self.rows.action_shape)
        results = np.zeros(count, RESULT)
        observations = self.rows.step(rows.tolist(), actions, results)
        return results.tobytes(), observations, self.rows.legal.tobytes()

    def render(self, content: bytearray) -> tuple[Any, ...]:
        """Return the picture (height, width, 3) of an environment, or nothing."""
        frame = self.rows.render(int.from_bytes(content, "little"))
        if frame is None:
            return ()
        frame = np.ascontiguousarray(frame, np.uint8)
        return struct.pack("=3q", *frame.shape), frame.data
