"""Signals: the first one ends a run in an orderly way, the second one immediately."""

import _thread
import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from types import FrameType
from typing import Any

from neuroevo import multihost

ONE_SIGNAL = 0.5  # seconds in which a signal may arrive twice: `timeout` sends two
_STOPPING = (
    "neuroevo: writing a checkpoint and stopping; interrupt again to stop immediately"
)


@contextlib.contextmanager
def interruptible(
    leave: Callable[[int], None] | None = None,
) -> Iterator[Callable[[], int | None]]:
    """Let SIGINT and SIGTERM request an orderly end, and a second signal end at once.

    The second signal raises a KeyboardInterrupt with its number in the main thread.
    Python delays that until a compiled program ends, so `leave` is also called with the
    number immediately, in another thread.

    Yields:
        A function that returns the received signal, or None.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    received: list[int] = []
    repeated: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if repeated:
            raise KeyboardInterrupt(repeated.pop())

    def repeat(number: int) -> None:
        repeated.append(number)
        _thread.interrupt_main(signal.Signals(number))
        if leave:
            leave(number)

    # Python's own handlers wait for compiled programs; what it writes here does not.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    watcher = threading.Thread(
        target=_watch,
        args=(reader, before.keys(), received, repeat),
        name="signals",
        daemon=True,
    )
    watcher.start()
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        writer.close()  # which ends the watcher
        watcher.join(1)


def _watch(
    reader: socket.socket,
    awaited: Collection[int],
    received: list[int],
    repeat: Callable[[int], None],
) -> None:
    """Note the first signal that arrives at `reader`, and call `repeat` at the next."""
    first = None
    with reader:
        for data in iter(lambda: reader.recv(1), b""):
            number, now = data[0], time.monotonic()
            if number not in awaited:
                continue
            if first is None:
                first = now
                received.append(number)
                if multihost.is_main():
                    print(_STOPPING, file=sys.stderr, flush=True)
            elif now - first > ONE_SIGNAL:
                repeat(number)
                return


class Interrupted(KeyboardInterrupt):
    """A first signal has ended a run in Python, after a checkpoint.

    Attributes:
        run: the `neuroevo.Run` up to that point.
    """

    def __init__(self, run: Any):
        kept = f"; evolve(run_dir={str(run.path)!r}, resume=True) continues it"
        super().__init__(
            f"the run was interrupted after generation {run.generation}"
            f"{kept if run.path else ''}"
        )
        self.run = run
