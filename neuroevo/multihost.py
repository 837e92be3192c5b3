"""The processes of a distributed run: how they meet, agree and end.

All processes run the same program. Process 0 decides for all of them on what only one
can know, such as files, times and signals: see `agree`. With a single process, all
functions return immediately.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import jax

from neuroevo import mailbox
from neuroevo.errors import ProcessError, UserError, first_line


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> None:
    """Join the processes of a distributed run; call it before the backend starts.

    Without arguments, JAX asks the cluster that it runs on.

    Args:
        coordinator: address and port at which process 0 can be reached.
        processes: number of processes.
        process: number of this process, from 0.

    Raises:
        UserError: if there is no such cluster, or if the arguments are invalid.
    """
    global _met
    explicit = {coordinator, processes, process} != {None}
    if explicit:
        _check_processes(coordinator, processes, process)
    # It would replace our handler of SIGTERM.
    jax.config.update("jax_enable_preemption_service", False)
    # JAX cannot be interrupted while it waits for the others, and then aborts.
    meeting = ThreadPoolExecutor(1).submit(
        jax.distributed.initialize,
        coordinator,
        processes,
        process,
        cluster_detection_method="deactivate" if explicit else None,
        initialization_timeout=2 * _MEETING_SECONDS,
    )
    where = f" at {coordinator}" if explicit else ""
    try:
        meeting.result(_MEETING_SECONDS)
    except ValueError:
        raise UserError(
            "--distributed: no cluster found (Slurm, Open MPI, Kubernetes, TPU); "
            f"expected to run on one, or {_EXPLICIT}"
        ) from None
    except TimeoutError:
        raise UserError(
            f"--distributed: the processes did not meet{where} in {_MEETING_SECONDS} "
            "s; expected all of them to be started, and process 0 at that address"
        ) from None
    except RuntimeError as error:
        raise UserError(
            f"--distributed: the processes cannot meet{where}: {first_line(error)}"
        ) from None
    _met = True


_MEETING_SECONDS = 300
_met = False
_EXPLICIT = (
    "--distributed.coordinator HOST:PORT --distributed.processes N "
    "--distributed.process I"
)


def _check_processes(
    coordinator: str | None, processes: int | None, process: int | None
) -> None:
    """Raise a `UserError` for arguments with which JAX would hang or crash."""
    if coordinator is None or processes is None or process is None:
        raise UserError(f"--distributed: expected all of {_EXPLICIT}")
    if processes < 1:
        raise UserError(
            f"--distributed.processes: expected at least 1, got {processes}"
        )
    if not 0 <= process < processes:
        raise UserError(
            "--distributed.process: expected an integer from 0 to "
            f"{processes - 1}, got {process}"
        )
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise UserError(
            f"--distributed.coordinator: expected HOST:PORT, got {coordinator!r}"
        )
    try:
        socket.getaddrinfo(host.strip("[]"), port)
        if process == 0:
            with socket.socket() as free:
                free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                free.bind(("", int(port)))
    except OSError as error:
        raise UserError(
            f"--distributed.coordinator {coordinator}: {error.strerror}; expected a "
            "host that can be found, and a free port on it"
        ) from None


def is_main() -> bool:
    """Return whether this is process 0, the only one that writes files and output."""
    return mailbox.process() == 0


def agree(decide: Callable[[Sequence[Any]], Any], value: Any = None) -> Any:
    """Return in every process the result of `decide` for the values of all processes.

    Every process must call this function. Only process 0 calls `decide`, with a list of
    the values in the order of the processes. Values and result are plain data
    (mappings, lists, texts, numbers, None) and numpy arrays.
    """
    global _round
    if mailbox.count() == 1:
        return decide([value])
    if is_main():
        others = range(1, mailbox.count())
        try:
            agreed = decide([value, *(_receive(str(process)) for process in others)])
        except BaseException as error:
            _tell(error)
            raise
        # A process that took part in this round has read the previous reply.
        mailbox.clear(f"neuroevo/{_round - 1}/")
        _send(_REPLY, value=agreed)
    else:
        _send(str(mailbox.process()), value=value)
        agreed = _receive(_REPLY)
    _round += 1
    return agreed


def from_main(function: Callable[[], Any]) -> Any:
    """Return in every process the result of `function` in process 0; see `agree`."""
    return agree(lambda _: function())


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Let either all processes complete the block, or none.

    An error in one process ends the others, at the latest when they next call `agree`.

    Raises:
        UserError: if another process has raised one.
        ProcessError: if another process has failed in another way.
    """
    try:
        yield
        agree(lambda _: None)
    except BaseException as error:
        if mailbox.count() > 1:
            _tell(error)
            if isinstance(error, jax.errors.JaxRuntimeError):
                raise ProcessError(
                    f"process {mailbox.process()} failed, or lost another: "
                    f"{first_line(error)}"
                ) from error
        raise


def is_distributed() -> bool:
    """Return whether this process has joined others, or tried to."""
    return mailbox.is_open()


def leave(code: int) -> NoReturn:
    """Exit at once; JAX would wait minutes for a lost process, and then abort.

    Process 0, which carries the messages, exits last.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        if _met and is_main():
            _await_others()
        elif _met:
            # Nothing is left to do; JAX would report that process 0 exits first.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            mailbox.put(f"neuroevo/gone/{mailbox.process()}", b"gone")
    os._exit(code)


def _await_others() -> None:
    deadline = time.monotonic() + _PARTING_SECONDS
    for process in range(1, mailbox.count()):
        left = max(int(1000 * (deadline - time.monotonic())), 1)
        mailbox.get(f"neuroevo/gone/{process}", left)
    # Let the last of them exit: JAX aborts a process that sees process 0 exit.
    time.sleep(_GRACE_SECONDS)


_PARTING_SECONDS = 10
_GRACE_SECONDS = 0.5
_REPLY = "reply"
_round = 0  # of messages: one from each process to process 0, then the reply


def _send(name: str, **message: Any) -> None:
    """Leave a message for the other processes under `name`, once in a round."""
    from flax import serialization  # takes a while

    content = serialization.msgpack_serialize(message)
    mailbox.put(f"neuroevo/{_round}/{name}", content)


def _receive(name: str) -> Any:
    """Wait for the value sent under `name`, and return it; raise a reported failure."""
    from flax import serialization

    sent = mailbox.get(f"neuroevo/{_round}/{name}")
    message = serialization.msgpack_restore(sent)
    if "failure" in message:
        raise (UserError if message["mistake"] else ProcessError)(message["failure"])
    return message["value"]


def _tell(error: BaseException) -> None:
    """Report a failure to the other processes, so that they fail, too."""
    what = [f"process {mailbox.process()}", type(error).__name__, first_line(error)]
    if isinstance(error, UserError | ProcessError):
        del what[1]
    failure = ": ".join(filter(None, what))
    name = _REPLY if is_main() else str(mailbox.process())
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # nobody is there any more
        _send(name, failure=failure, mistake=isinstance(error, UserError))
