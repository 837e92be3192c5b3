"""The only module that knows about devices and processes.

A program is written once for one device and runs on any number of them: `spread` runs
it on every device with the same arguments, and inside it `map_items` divides work among
the devices and gives every device all the results. Whatever else the program does is
done by every device alike, so its state is replicated without being communicated, and
the results do not depend on the number of devices.

The devices may belong to several processes, which run the same program. What only one
of them can know (files, times, signals) process 0 decides for all: see `agree`.
"""

import contextlib
import functools
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

# The only way to send messages before devices are known; pyproject.toml bounds jax.
from jax._src.distributed import global_state as _world

from neuroevo.errors import ProcessError, UserError
from neuroevo.types import CHUNK

AXIS = "population"

# Devices of one CPU process wait for each other in a collective. XLA aborts the process
# when one waits 40 s for the slowest, which a long episode or decode may take.
_PATIENCE = " ".join(
    f"--xla_cpu_collective_{name}_seconds=1000000000"
    for name in ("call_warn_stuck_timeout", "call_terminate_timeout", "timeout")
)


def configure(devices: int | None) -> None:
    """Prepare JAX for `devices` devices; call it before the backend starts.

    A CPU shows as many devices as asked for, by default one for each core that this
    process may use. Does nothing once the backend runs.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" not in flags:
        try:
            jax.config.update("jax_num_cpu_devices", devices or _cores())
        except RuntimeError:  # the backend runs already
            return
    if "xla_cpu_collective" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_PATIENCE}".strip()


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def select(devices: int | None) -> tuple[jax.Device, ...]:
    """Return the first `devices` devices of every process, or all of them.

    Raises:
        UserError: if one has fewer, or not as many as another.
    """
    of_process: dict[int, list[jax.Device]] = {}
    for device in jax.devices():
        of_process.setdefault(device.process_index, []).append(device)
    owned = [of_process[process] for process in sorted(of_process)]
    counts = [len(each) for each in owned]
    if devices is None and len(set(counts)) > 1:
        raise UserError(
            f"--devices auto: the processes have {counts} devices; expected as many in "
            f"each: --devices {min(counts)} or less"
        )
    if devices is not None and devices > min(counts):
        platform = owned[0][0].platform
        whose = "every process" if len(owned) > 1 else "this process"
        raise UserError(
            f"--devices {devices}: expected at most {min(counts)}, the number of "
            f"{platform} devices of {whose}"
        )
    return tuple(device for each in owned for device in each[:devices])


def describe(devices: Sequence[jax.Device]) -> str:
    """Return, for example, ``"2 x cpu"`` or ``"4 x cpu in 2 processes"``."""
    kind = devices[0].device_kind if devices[0].platform != "cpu" else "cpu"
    processes = len({device.process_index for device in devices})
    where = f" in {processes} processes" if processes > 1 else ""
    return f"{len(devices)} x {kind}{where}"


def spread(function: Callable, devices: Sequence[jax.Device]) -> Callable:
    """Return `function`, run by every device with the same arguments.

    `function` may call `map_items`; its result must be the same on every device, as it
    is when everything else is computed from the arguments. With the devices of several
    processes, each must call it, with the same arguments, and has the result.
    """
    # The inner jit matters: with more than one CPU device jax 0.11's partitioner
    # crashes on the data-dependent loops of a physics engine that stand directly in
    # the mapped program, and not on those inside a function that it calls.
    mapped = jax.pmap(
        lambda _, args: jax.jit(function)(*args),
        axis_name=AXIS,
        in_axes=(0, None),
        out_axes=None,
        devices=devices,
        axis_size=len(devices),
    )
    _meet(tuple(devices))
    # What goes in and comes out lies on the devices of this process.
    mesh = jax.sharding.Mesh(np.array(devices), (AXIS,)).local_mesh
    index = jnp.arange(mesh.size)
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def run(*args):
        # Arguments lie where results do, or a second call would compile once more.
        args = jax.device_put(args, everywhere)
        # Un-awaited programs with collectives can deadlock on CPU devices.
        return jax.block_until_ready(mapped(index, args))

    return run


@functools.cache
def _meet(devices: tuple[jax.Device, ...]) -> None:
    """Connect the processes that have `devices`, all at the same time.

    A process waits 30 s for the others to connect, which it would do in its first
    compiled call, and they may still be compiling theirs.
    """
    local = [d for d in devices if d.process_index == _world.process_id]
    if len(local) == len(devices):
        return
    agree(lambda _: None)
    gather = jax.pmap(
        lambda x: jax.lax.all_gather(x, AXIS),
        axis_name=AXIS,
        devices=devices,
        axis_size=len(devices),
    )
    with _silenced():
        jax.block_until_ready(gather(jnp.zeros(len(local))))


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep what a library written in C++ has to say off the standard output."""
    sys.stdout.flush()
    stdout, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(null)


def map_items(
    function: Callable[[Any, jax.Array], Any],
    args: Any,
    count: int,
    chunk: int,
    active: jax.Array | int | None = None,
) -> Any:
    """Return ``function(args, i)`` for every i below `count`, stacked.

    Items are evaluated in chunks of `chunk` under ``vmap``, so that memory is bounded
    and a loop inside `function` ends with the chunk's last item (which it may find out
    by a collective over the axis `CHUNK`). Chunks are dealt to the devices in turn,
    which balances items whose cost varies along the population; what a chunk holds does
    not depend on the number of devices. Items from `active` on are skipped, chunk by
    chunk; their results are zeros or undefined.
    """
    devices = jax.lax.axis_size(AXIS)
    chunks = -(-count // chunk)
    rounds = -(-chunks // devices)

    mapped = jax.vmap(function, in_axes=(None, 0), axis_name=CHUNK)

    def evaluate(args, items):
        return jax.tree.map(_raw, mapped(args, items))

    def on_this_device(args, device, active):
        def one_round(j, results):
            items = (device + devices * j) * chunk + jnp.arange(chunk)
            chunk_results = evaluate(args, jnp.minimum(items, count - 1))
            return jax.tree.map(lambda r, c: r.at[j].set(c), results, chunk_results)

        shapes = jax.eval_shape(evaluate, args, jnp.arange(chunk))
        empty = jax.tree.map(lambda s: jnp.zeros((rounds, *s.shape), s.dtype), shapes)
        active_chunks = (active + chunk - 1) // chunk
        my_rounds = (active_chunks - device + devices - 1) // devices
        return jax.lax.fori_loop(0, my_rounds, one_round, empty)

    active = jnp.asarray(count if active is None else active, jnp.int32)
    device = jax.lax.axis_index(AXIS).astype(jnp.int32)
    results = on_this_device(args, device, active)
    results = jax.lax.all_gather(results, AXIS, axis=1)  # (rounds, devices, chunk, …)
    results = jax.tree.map(lambda r: r.reshape(-1, *r.shape[3:])[:count], results)
    return jax.tree.map(_like, results, jax.eval_shape(mapped, args, jnp.arange(1)))


def alone(true: jax.Array, function: Callable, *args: Any) -> Any:
    """Return ``function(*args)``, compiled apart from what surrounds it.

    Otherwise the compiler fuses arithmetic with the exchange between devices, and the
    last digits of results depend on their number. The branch of a conditional is a
    program of its own; `true` must hold without the compiler being able to tell.
    """
    shapes = jax.eval_shape(function, *args)

    def never(*args):
        return jax.tree.map(_zeros, shapes)

    return jax.lax.cond(true, function, never, *args)


def _zeros(shape: jax.ShapeDtypeStruct) -> jax.Array:
    if jax.dtypes.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), shape.shape)
    return jnp.zeros(shape.shape, shape.dtype)


def _raw(leaf: jax.Array) -> jax.Array:
    """Return the data of a typed PRNG key, which collectives do not take."""
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def _like(leaf: jax.Array, shape: jax.ShapeDtypeStruct) -> jax.Array:
    """Undo `_raw` for a leaf of which `shape` has the type."""
    if jax.dtypes.issubdtype(shape.dtype, jax.dtypes.prng_key):
        impl = jax.random.key_impl(jnp.empty((), shape.dtype))
        return jax.random.wrap_key_data(leaf, impl=impl)
    return leaf


# ------------------------------------------------------------------------- processes


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> None:
    """Join the processes of a distributed run; call it before the backend starts.

    Without arguments, JAX takes them from the cluster that it runs on.

    Args:
        coordinator: address and port that process 0 can be reached at.
        processes: how many there are.
        process: which one this is, from 0.

    Raises:
        UserError: if there is no such cluster, or the arguments cannot be right.
    """
    global _met
    explicit = {coordinator, processes, process} != {None}
    if explicit:
        _check_processes(coordinator, processes, process)
    # It would replace our handler of SIGTERM.
    jax.config.update("jax_enable_preemption_service", False)
    # JAX lets nobody interrupt it while it waits for the others, and then aborts.
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
            "s; expected all of them to be started, and process 0 to be found there"
        ) from None
    except RuntimeError as error:
        raise UserError(
            f"--distributed: the processes cannot meet{where}: {_first_line(error)}"
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
    """Raise a `UserError` for what JAX would wait for in vain, or crash at."""
    if None in (coordinator, processes, process):
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
            "host that can be found and a free port of it"
        ) from None


def is_main() -> bool:
    """Return whether this is process 0, which alone writes files and shows anything."""
    return _world.process_id == 0


def agree(decide: Callable[[Sequence[Any]], Any], value: Any = None) -> Any:
    """Return, in every process, what `decide` makes of every process' `value`.

    Every process must call it. Process 0 alone calls `decide`, with a list in the order
    of the processes. Values and result are plain data (mappings, lists, texts, numbers,
    None) and numpy arrays.
    """
    global _round
    if _world.num_processes == 1:
        return decide([value])
    if is_main():
        others = range(1, _world.num_processes)
        try:
            agreed = decide([value, *(_receive(str(process)) for process in others)])
        except BaseException as error:
            _tell(error)
            raise
        # Who was in this round has read the reply of the one before.
        _world.client.key_value_delete(f"neuroevo/{_round - 1}/")
        _send(_REPLY, value=agreed)
    else:
        _send(str(_world.process_id), value=value)
        agreed = _receive(_REPLY)
    _round += 1
    return agreed


def from_main(function: Callable[[], Any]) -> Any:
    """Return, in every process, what `function` returns in process 0; see `agree`."""
    return agree(lambda _: function())


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Have all processes complete what is inside, or none.

    An error in one of them ends the others, at the latest when they next `agree`.

    Raises:
        UserError: if another process has raised one.
        ProcessError: if another process has failed otherwise.
    """
    try:
        yield
        agree(lambda _: None)
    except BaseException as error:
        if _world.num_processes > 1:
            _tell(error)
            if isinstance(error, jax.errors.JaxRuntimeError):
                raise ProcessError(
                    f"process {_world.process_id} failed, or lost another: "
                    f"{_first_line(error)}"
                ) from error
        raise


def is_distributed() -> bool:
    """Return whether this process has joined others, or tried to."""
    return _world.client is not None


def leave(code: int) -> NoReturn:
    """Exit; JAX would wait for minutes for a process that is lost, and then abort.

    Process 0, which carries the messages, goes last.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        if _met and is_main():
            _await_others()
        elif _met:
            _world.client.key_value_set(f"neuroevo/gone/{_world.process_id}", "")
    os._exit(code)


def _await_others() -> None:
    deadline = time.monotonic() + _PARTING_SECONDS
    for process in range(1, _world.num_processes):
        left = max(int(1000 * (deadline - time.monotonic())), 1)
        _world.client.blocking_key_value_get(f"neuroevo/gone/{process}", left)


_PARTING_SECONDS = 10
_REPLY = "reply"
_FOREVER = 10**12  # milliseconds
_round = 0  # of messages: one from each process to process 0, then the reply


def _send(name: str, **message: Any) -> None:
    """Leave a message for the other processes under `name`, once in a round."""
    from flax import serialization  # takes a while

    _world.client.key_value_set_bytes(
        f"neuroevo/{_round}/{name}",
        serialization.msgpack_serialize(message),
        allow_overwrite=True,
    )


def _receive(name: str) -> Any:
    """Return the value sent under `name`, once it is there; raise a failure."""
    from flax import serialization

    sent = _world.client.blocking_key_value_get_bytes(
        f"neuroevo/{_round}/{name}", _FOREVER
    )
    message = serialization.msgpack_restore(sent)
    if "failure" in message:
        raise (UserError if message["mistake"] else ProcessError)(message["failure"])
    return message["value"]


def _tell(error: BaseException) -> None:
    """Let the other processes fail, too."""
    what = [f"process {_world.process_id}", type(error).__name__, _first_line(error)]
    if isinstance(error, UserError | ProcessError):
        del what[1]
    failure = ": ".join(filter(None, what))
    name = _REPLY if is_main() else str(_world.process_id)
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # nobody is there any more
        _send(name, failure=failure, mistake=isinstance(error, UserError))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
