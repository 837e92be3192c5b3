"""Environments of Gymnasium in processes of their own; see `worker` for one of them.

The processes are not forked, which is unsafe beside JAX's threads, and they do not
import the user's main script: a function that makes an environment is sent to them
with cloudpickle, as Gymnasium itself does. They ignore Ctrl-C and end when this process
does, in whatever way.
"""

import contextlib
import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from neuroevo.environments.gym import worker
from neuroevo.environments.gym.rows import RESULT
from neuroevo.errors import EnvironmentFailure, UserError
from neuroevo.types import Shown

_CODE = "from neuroevo.environments.gym import worker; worker.main()"
_PATIENCE = 120  # seconds in which a process must have made its first environment


class Workers:
    """Environments that are made alike, dealt to at most `count` processes.

    It is `types.Instances`. The processes start when they are needed.

    Attributes:
        facts: what a process has found out about the environment.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Any],
        *,
        count: int,
        timeout: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the first process, and make an environment there.

        Args:
            name: name of the environment, for messages.
            make: makes one of the environments.
            count: number of processes, at most.
            timeout: seconds in which a process must have answered.
            environment: environment variables of the processes.

        Raises:
            UserError: if the environment cannot be made, or does not fit its spaces.
        """
        import cloudpickle

        self.name, self._count, self._timeout = name, count, timeout
        self._variables = environment or {}
        try:
            self._make = cloudpickle.dumps(make)
        except Exception as error:
            raise UserError(
                f"environment {name}: the function that makes it cannot be sent to "
                f"another process: {error}"
            ) from error
        self._processes: list[_Process] = []
        self._closing = weakref.finalize(self, _close, self._processes)
        self.facts = self._start_first()
        self._shape, self._dtype = tuple(self.facts["shape"]), self.facts["dtype"]

    def require(self, count: int) -> None:
        """Start the processes that `count` environments need."""
        wanted = 1 if self.facts["most"] else min(count, self._count)
        missing = max(1, wanted) - len(self._processes)
        started = [self._spawn() for _ in range(missing)]
        for process in started:
            self._ask(process, worker.MAKE, self._make)
        for process in started:
            self._answer(process, "make", _PATIENCE)
        self._processes += started

    def reset(self, rows: np.ndarray, seeds: np.ndarray) -> Shown:
        """Begin new episodes of the environments `rows`; return what they show."""
        shown = self._new(rows)
        mine = self._deal(rows)
        for process, own in mine:
            self._ask(process, worker.RESET, _ints(rows[own]), _ints(seeds[own]))
        for process, own in mine:
            self._read(shown, own, self._answer(process, "reset"), 0)
        return shown

    def step(
        self, rows: np.ndarray, actions: np.ndarray
    ) -> tuple[Shown, np.ndarray, np.ndarray]:
        """Take a step of the environments `rows`; see `types.Instances`."""
        shown, results = self._new(rows), np.empty(len(rows), RESULT)
        mine = self._deal(rows)
        for process, own in mine:
            count = struct.pack("=q", int(np.count_nonzero(own)))
            self._ask(
                process, worker.STEP, count, _ints(rows[own]), actions[own].tobytes()
            )
        for process, own in mine:
            content = self._answer(process, "step")
            size = int(np.count_nonzero(own))
            results[own] = np.frombuffer(content, RESULT, size)
            self._read(shown, own, content, size * RESULT.itemsize)
        return shown, results["reward"], results["ended"]

    def render(self, row: int) -> np.ndarray | None:
        """Return a picture of the environment `row`, if it has one."""
        process = self._processes[row % len(self._processes)]
        self._ask(process, worker.RENDER, row.to_bytes(8, "little"))
        content = self._answer(process, "render")
        if not content:
            return None
        shape = struct.unpack_from("=3q", content)
        return np.frombuffer(content, np.uint8, offset=24).reshape(shape)

    def close(self) -> None:
        """End the processes; they start again when they are needed."""
        _close(self._processes)

    def _start_first(self) -> dict[str, Any]:
        process = self._spawn()
        self._processes.append(process)
        try:
            self._ask(process, worker.MAKE, self._make)
            return json.loads(self._answer(process, "make", _PATIENCE))
        except BaseException:
            self.close()
            raise

    def _spawn(self) -> "_Process":
        return _Process(self._variables)

    def _deal(self, rows: np.ndarray) -> list[tuple["_Process", np.ndarray]]:
        """Return the processes that have some of `rows`, each with a mask of them."""
        if not self._processes:
            self.require(int(rows.max()) + 1)
        owner = rows % len(self._processes)
        masks = [owner == i for i in range(len(self._processes))]
        pairs = zip(self._processes, masks, strict=True)
        return [(process, mask) for process, mask in pairs if mask.any()]

    def _new(self, rows: np.ndarray) -> Shown:
        """Return room for what the environments `rows` show."""
        choices = self.facts["choices"]
        return Shown(
            np.empty((len(rows), *self._shape), self._dtype),
            np.empty((len(rows), choices), np.bool_) if choices else None,
        )

    def _read(
        self, shown: Shown, own: np.ndarray, content: bytearray, offset: int
    ) -> None:
        """Fill in what some environments show: `content`, from `offset` on."""
        size, choices = int(np.count_nonzero(own)), self.facts["choices"]
        count = size * math.prod(self._shape)
        seen = np.frombuffer(content, self._dtype, count, offset)
        shown.observations[own] = seen.reshape(-1, *self._shape)
        if choices:
            legal = np.frombuffer(content, np.bool_, offset=offset + seen.nbytes)
            shown.legal[own] = legal.reshape(-1, choices)

    def _ask(self, process: "_Process", kind: bytes, *parts: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.send(process.channel, kind, *parts)  # or the answer will fail

    def _answer(
        self, process: "_Process", what: str, timeout: float | None = None
    ) -> bytearray:
        """Return the answer of a process.

        Raises:
            EnvironmentFailure: if there is none, or if it is an error.
        """
        timeout = timeout or self._timeout
        process.channel.settimeout(timeout)
        try:
            kind, content = worker.receive(process.channel)
        except TimeoutError:
            self.close()
            raise EnvironmentFailure(
                f"environment {self.name}: no answer to {what} in {timeout:g} s; "
                "expected one, or a larger env.timeout"
            ) from None
        except (EOFError, ConnectionResetError):
            how = process.ending()
            self.close()
            raise EnvironmentFailure(
                f"environment {self.name}: its process has ended in {what}, {how}"
            ) from None
        except BaseException:  # an interruption: the answer would come later
            self.close()
            raise
        if kind == worker.DONE:
            return content
        self.close()
        raise self._failure(what, **json.loads(content))

    def _failure(
        self, what: str, type: str, message: str, where: str
    ) -> EnvironmentFailure:
        text = " ".join(message.split())
        if type == "TypeError" and not where:  # our own words
            return EnvironmentFailure(f"environment {self.name}: {text}")
        at = f" ({where})" if where and type != "DependencyNotInstalled" else ""
        return EnvironmentFailure(
            f"environment {self.name}: {what} raised {type}: {text}{at}"
        )


class _Process:
    """A process with the socket to it.

    The other ends of its socket and of a pipe are in this process only, so that it
    ends when they are closed.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.channel, other = socket.socketpair()
        life, self._life = os.pipe()
        self._errors = tempfile.TemporaryFile()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE, str(other.fileno()), str(life)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(other.fileno(), life),
                env={**os.environ, **_variables(), **variables},
                start_new_session=True,  # out of reach of Ctrl-C from its first moment
            )
        os.close(life)

    def ending(self) -> str:
        """Return how the process has ended, with its last words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.returncode
        if code is not None and code < 0:
            how = f"by {signal.Signals(-code).name}"
        else:
            how = f"with exit code {code}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"{how}: {lines[-1]}" if lines else how

    def close(self) -> None:
        """End the process: ask, then force it."""
        with contextlib.suppress(OSError):
            os.close(self._life)
        self.channel.close()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


def _close(processes: list[_Process]) -> None:
    while processes:
        processes.pop().close()


def _variables() -> dict[str, str]:
    """Return the environment variables that every process gets."""
    defaults = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    return {
        # It imports what this process can, and leaves the accelerator to it.
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "JAX_PLATFORMS": "cpu",
        "OMP_NUM_THREADS": "1",
        "PYGAME_HIDE_SUPPORT_PROMPT": "1",
        **{k: v for k, v in defaults.items() if k not in os.environ},
    }


def _ints(values: Sequence[int] | np.ndarray) -> bytes:
    return np.asarray(values, np.int64).tobytes()
