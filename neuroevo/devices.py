"""The only module that knows about devices.

A program is written once for one device and runs on any number of them: `distribute`
runs it on every device with the same arguments, and inside it `share` divides work
among the devices and gives every device all results. Every device does the rest of the
program in the same way, so its state is replicated without communication, and the
results do not depend on the number of devices. The devices may belong to several
processes that run the same program: see `neuroevo.multihost`.
"""

import contextlib
import functools
import operator
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import psutil

from neuroevo import cgroups, multihost
from neuroevo.core import trees
from neuroevo.errors import OutOfMemory, UserError, first_line

AXIS = "population"

# Devices of one CPU process wait for each other in a collective. XLA aborts the process
# when one waits 40 s for the slowest, which a long episode or decode may take.
_PATIENCE = " ".join(
    f"--xla_cpu_collective_{name}_seconds=1000000000"
    for name in ("call_warn_stuck_timeout", "call_terminate_timeout", "timeout")
)

# XLA orders operations either for concurrency, its default, or in sequence. With jax
# 0.10 on two cores, a generation of hopper takes a fifth longer by default than in
# sequence, and one of Breakout a tenth less; with jax 0.11, hopper takes the same.
_IN_SEQUENCE = "--xla_cpu_enable_concurrency_optimized_scheduler=false"

# XLA's preset for fast compilation takes a fifth less time to compile a physics engine
# than its default, and on one core the engine's steps alone run 1.2 to 1.4 times faster
# in batches of 16 (hopper, halfcheetah, ant). Elsewhere it gains nothing, and the last
# digits of small programs come to depend on the number of devices.
_PRESET = "--xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE"

# With XLA's older code generator, a physics engine compiles in 60 % of the time, and
# its steps are 1.1 to 1.25 times as fast (hopper, halfcheetah, ant). Small environments
# like CartPole are slower. In jax 0.10 it does not vectorize arithmetic on large
# arrays: networks of 2x512 units train four times as slowly. In jax 0.11 they gain 2 %.
# Distillation, which mostly trains, keeps the default: it gained nothing in one trial.
_OLDER_CODE = "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"

_came_late = False  # whether JAX had started before `configure`


def configure(
    devices: int | None, *, physics: bool = False, training: bool = False
) -> None:
    """Prepare JAX for `devices` devices; call it before the backend starts.

    A CPU is split into this many devices, by default one for each core that this
    process may use. The call has no effect if the backend is already running.

    With `physics`, operations run in sequence, which is faster for the many small ones
    of a physics engine, and XLA compiles them for that, which affects the last digits
    of results. With `training`, much of the work is to train networks, at which XLA's
    default code generator is faster.

    While several devices of a CPU run a program, jax 0.11 accumulates about 50 MB of
    bookkeeping per second until the program ends: calls should be short.
    """
    global _came_late
    flags, count = os.environ.get("XLA_FLAGS", ""), devices or cgroups.cores()
    if "xla_force_host_platform_device_count" not in flags:
        try:
            jax.config.update("jax_num_cpu_devices", count)
        except RuntimeError:  # the backend runs already
            _came_late = True
            return
    if "xla_cpu_collective" not in flags:
        flags = f"{flags} {_PATIENCE}"
    if physics and "xla_cpu_opt_preset" not in flags:
        flags = f"{flags} {_PRESET}"
    if physics and not training and "xla_backend_extra_options" not in flags:
        flags = f"{flags} {_OLDER_CODE}"
    if physics and "xla_cpu_enable_concurrency" not in flags:
        flags = f"{flags} {_IN_SEQUENCE}"
    os.environ["XLA_FLAGS"] = flags.strip()


def start() -> None:
    """Start the backend.

    Raises:
        UserError: if JAX cannot use the platforms that it is configured for.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter without a word
        platforms = jax.config.values["jax_platforms"]
        reason = first_line(error).partition(" (set ")[0]
        raise UserError(
            f"JAX_PLATFORMS={platforms}: no such device can be used here"
            f"{f' ({reason})' if str(error) else ''}; expected cpu, or no such variable"
        ) from None


def select(devices: int | None) -> tuple[jax.Device, ...]:
    """Return the first `devices` devices of every process, or all of them.

    Raises:
        UserError: if a process has fewer, or if processes have different numbers.
    """
    of_process: dict[int, list[jax.Device]] = {}
    for device in jax.devices():
        of_process.setdefault(device.process_index, []).append(device)
    owned = [of_process[process] for process in sorted(of_process)]
    counts = [len(each) for each in owned]
    if devices is None and len(set(counts)) > 1:
        raise UserError(
            f"--devices auto: the processes have {counts} devices; expected the same "
            f"number in each: --devices {min(counts)} or less"
        )
    if devices is not None and devices > min(counts):
        platform = owned[0][0].platform
        whose = "every process" if len(owned) > 1 else "this process"
        why = (
            "; JAX fixed that number at its first use, before this run"
            if _came_late and platform == "cpu"
            else ""
        )
        raise UserError(
            f"--devices {devices}: expected at most {min(counts)}, the number of "
            f"{platform} devices of {whose}{why}"
        )
    return tuple(device for each in owned for device in each[:devices])


def is_cpu() -> bool:
    """Return whether programs run on a CPU, where caches limit the size of batches."""
    return jax.default_backend() == "cpu"


def label(devices: Sequence[jax.Device]) -> str:
    """Return, for example, ``"2 x cpu"`` or ``"4 x cpu in 2 processes"``."""
    kind = devices[0].device_kind if devices[0].platform != "cpu" else "cpu"
    processes = len({device.process_index for device in devices})
    where = f" in {processes} processes" if processes > 1 else ""
    return f"{len(devices)} x {kind}{where}"


def memory(devices: Sequence[jax.Device]) -> tuple[int, float | None]:
    """Return how many of `devices` share one memory, and how many bytes of it are free.

    Devices of other processes do not count. The free bytes are None if unknown.
    """
    devices = local(devices)
    if devices[0].platform == "cpu":
        return len(devices), min(psutil.virtual_memory().available, cgroups.memory())
    facts = [device.memory_stats() or {} for device in devices]
    free = [f["bytes_limit"] - f["bytes_in_use"] for f in facts if "bytes_limit" in f]
    return 1, min(free, default=None)


def first(tree: Any) -> Any:
    """Return the arrays that a distributed program has left on every device, on one."""
    return jax.tree.map(lambda x: x.addressable_shards[0].data, tree)


def local(devices: Sequence[jax.Device]) -> list[jax.Device]:
    """Return the `devices` that belong to this process."""
    return [d for d in devices if d.process_index == jax.process_index()]


def of_process() -> tuple[int, int]:
    """Return the number of this process among those of the run, and their count."""
    return jax.process_index(), jax.process_count()


def total(tree: Any) -> Any:
    """Return the sum over the processes of the arrays of numpy in `tree`."""
    leaves, structure = jax.tree.flatten(tree)

    def add(values: Sequence[Any]) -> list[Any]:
        # Not sum(), which begins with an integer: bools stay bools.
        pairs = zip(*values, strict=True)
        return [functools.reduce(operator.add, each) for each in pairs]

    return jax.tree.unflatten(structure, multihost.agree(add, leaves))


def distribute(
    function: Callable, devices: Sequence[jax.Device], *, in_place: bool = False
) -> Callable:
    """Return `function`, run by every device with an argument and a result of its own.

    ``function(own, *args)`` returns ``(own, result)``, and may call `share`. What is
    passed as `own` is None or the result `own` of another call, which `in_place`
    overwrites. The result must be the same on every device, which holds if everything
    else is computed from the arguments. If the devices belong to several processes,
    each process must call it with the same arguments, and gets the result.
    """
    # The inner jit matters: with more than one CPU device jax 0.11's partitioner
    # crashes on the data-dependent loops of a physics engine that stand directly in
    # the mapped program, and not on those inside a function that it calls.
    mapped = jax.pmap(
        lambda each, args: (each[0], *jax.jit(function)(each[1], *args)),
        axis_name=AXIS,
        in_axes=(0, None),
        out_axes=(0, 0, None),
        devices=devices,
        axis_size=len(devices),
        donate_argnums=0 if in_place else (),
    )
    _meet(tuple(devices))
    index = np.arange(len(local(devices)))  # pmap needs an argument that differs

    def run(own, *args):
        # Arguments lie where results do, or a second call would compile once more.
        args = place(args, devices)
        with _out_of_memory():
            # Un-awaited programs with collectives can deadlock on CPU devices.
            return jax.block_until_ready(mapped((index, own), args)[1:])

    return run


def place(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """Return the arrays of `tree` on those of `devices` that belong to this process."""
    return jax.device_put(tree, _everywhere(tuple(devices)))


@functools.cache
def _everywhere(devices: tuple[jax.Device, ...]) -> jax.sharding.NamedSharding:
    """Return where what goes into a program, and comes out of it, lies."""
    mesh = jax.sharding.Mesh(np.array(devices), (AXIS,)).local_mesh
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


@contextlib.contextmanager
def _out_of_memory() -> Iterator[None]:
    """Turn a device's lack of memory into an error that says what would help."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        hint = ""
        if not is_cpu():
            hint = (
                "; JAX takes three quarters of a GPU's memory: if another process uses "
                "the same GPU, give each of them its share with "
                "XLA_PYTHON_CLIENT_MEM_FRACTION=.4"
            )
        raise OutOfMemory(
            f"the memory of the device is full ({first_line(error)}): use a smaller "
            f"--chunk, --population or network{hint}"
        ) from None


@functools.cache
def _meet(devices: tuple[jax.Device, ...]) -> None:
    """Connect the processes that have `devices`, all at the same time.

    Without this, a process connects in its first compiled call and waits only 30 s for
    the others, which may still be compiling. It also says on the standard output how
    many there are, even of devices of this process alone.
    """
    ours = local(devices)
    if jax.process_count() == 1:
        return
    if len(ours) < len(devices):
        multihost.agree(lambda _: None)
    gather = jax.pmap(
        lambda x: jax.lax.all_gather(x, AXIS),
        axis_name=AXIS,
        devices=devices,
        axis_size=len(devices),
    )
    with _silenced():
        jax.block_until_ready(gather(jnp.zeros(len(ours))))


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep messages of libraries written in C++ off the standard output."""
    sys.stdout.flush()
    stdout, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(null)


def share(
    function: Callable[[Any, jax.Array, jax.Array], Any],
    args: Any,
    count: int,
    active: jax.Array | int | None = None,
) -> Any:
    """Compute `count` items on all devices, and return all results on each of them.

    Each device calls ``function(args, items, number)`` with its items, see `deal`, and
    returns arrays with a leading axis for all of them.
    """
    function = jax.jit(function)  # or it would be traced for every use below
    return gather(function(args, *deal(count, active)), count)


def deal(
    count: int, active: jax.Array | int | None = None
) -> tuple[jax.Array, jax.Array]:
    """Return this device's share of `count` items, and how many it must compute.

    Items are dealt to the devices in turn, which balances items of varying cost. Of its
    items, int32, a device computes only the first ones: those below `active`.
    """
    devices = jax.lax.axis_size(AXIS)
    rounds = -(-count // devices)
    device = jax.lax.axis_index(AXIS).astype(jnp.int32)
    active = jnp.asarray(count if active is None else active, jnp.int32)
    items = jnp.minimum(device + devices * jnp.arange(rounds), count - 1)
    return items, (active - device + devices - 1) // devices


def gather(results: Any, count: int) -> Any:
    """Return the results of all `count` items, given those of this device's share."""
    shapes = jax.eval_shape(lambda: results)
    results = trees.unwrap_keys(results)
    results = jax.lax.all_gather(results, AXIS, axis=1)  # (rounds, devices, …)
    results = jax.tree.map(lambda r: r.reshape(-1, *r.shape[2:])[:count], results)
    return trees.wrap_keys(results, shapes)


def every(values: Any) -> Any:
    """Return the value that each device has, (devices, …), on all of them."""
    return jax.lax.all_gather(values, AXIS)


def share_each(
    function: Callable[[Any, jax.Array], Any],
    args: Any,
    count: int,
    active: jax.Array | int | None = None,
) -> Any:
    """Return the results of ``function(args, item)``, computed one item at a time.

    See `share`.
    """
    function = jax.jit(function)

    def on_this_device(args, items, number):
        def raw(item):
            return trees.unwrap_keys(function(args, item))

        def one(j, results):
            return jax.tree.map(lambda xs, x: xs.at[j].set(x), results, raw(items[j]))

        zeros = jax.tree.map(
            lambda s: jnp.zeros((len(items), *s.shape), s.dtype),
            jax.eval_shape(raw, items[0]),
        )
        results = jax.lax.fori_loop(0, number, one, zeros)
        return trees.wrap_keys(results, jax.eval_shape(function, args, items[0]))

    return share(on_this_device, args, count, active)


def alone(true: jax.Array, function: Callable, *args: Any) -> Any:
    """Return ``function(*args)``, compiled separately from the code around it.

    Otherwise the compiler fuses arithmetic with the exchange between devices, and the
    last digits of results depend on the number of devices. The branch of a conditional
    is compiled as a program of its own; `true` must be true in a way that the compiler
    cannot see.
    """
    shapes = jax.eval_shape(function, *args)

    def never(*args):
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    return jax.lax.cond(true, function, never, *args)
