"""Work divided among devices: the same results, and no deadlock."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuroevo import cgroups, devices
from neuroevo.errors import UserError


def on_devices(count, function):
    """Return `function`, run by every device with the same arguments."""
    found = jax.devices()[:count]
    program = devices.distribute(lambda _, *args: (None, function(*args)), found)
    return lambda *args: program(None, *args)[1]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 7, 8])
def test_items_are_mapped_in_order(number, count):
    def square(offset, item):
        return {"squares": item**2 + offset, "keys": jax.random.key(item)}

    def program(offset):
        return devices.share_each(square, offset, count)

    results = on_devices(number, program)(5)
    np.testing.assert_array_equal(results["squares"], np.arange(count) ** 2 + 5)
    expected = jax.vmap(jax.random.key)(jnp.arange(count))
    assert (results["keys"] == expected).all()


@pytest.mark.parametrize("active", [0, 3, 5, 8])
def test_inactive_items_are_not_computed(active):
    def program(active):
        return devices.share_each(lambda _, item: jnp.ones(()), None, 8, active)

    results = np.asarray(on_devices(2, program)(active))
    np.testing.assert_array_equal(results, np.arange(8) < active)


@pytest.mark.parametrize("number, active", [(1, 5), (2, 5), (2, 0), (3, 8)])
def test_every_item_is_dealt_to_one_device(number, active):
    def tell(_, items, count):
        device = jax.lax.axis_index(devices.AXIS)
        return {
            "item": items,
            "device": jnp.full(len(items), device),
            "is_active": jnp.arange(len(items)) < count,
        }

    def program(active):
        return devices.share(tell, None, 8, active)

    dealt = on_devices(number, program)(active)
    np.testing.assert_array_equal(dealt["item"], np.arange(8))
    np.testing.assert_array_equal(dealt["device"], np.arange(8) % number)
    np.testing.assert_array_equal(dealt["is_active"], np.arange(8) < active)


def test_many_calls_do_not_deadlock():
    """Some 64 collectives that nobody awaits would end the process on CPU devices."""

    def add(x, item):
        return (x + item) % 1000

    program = on_devices(2, lambda x: devices.share_each(add, x, 2).sum())
    found = expected = 0
    for _ in range(200):
        found, expected = program(found), expected % 1000 + (expected + 1) % 1000
    assert int(found) == expected


STRAGGLER = """
import time
import jax, jax.numpy as jnp
from neuroevo import devices

devices.configure(2)

def spin(steps, item):
    spin = lambda _, x: jnp.sin(x) + 1
    return jax.lax.fori_loop(0, steps * item, spin, jnp.ones(1000))

program = devices.distribute(
    lambda _, steps: (None, devices.share_each(spin, steps, 2)), jax.devices()
)
steps, seconds = 100, 0.0
while seconds < {seconds}:
    steps = int(steps * min(10, max(2, 1.2 * {seconds} / max(seconds, 1e-3))))
    began = time.monotonic()
    program(None, steps)
    seconds = time.monotonic() - began
print("waited", seconds)
"""


@pytest.mark.slow
def test_a_straggler_is_waited_for():
    """XLA aborts a process whose device waits 40 s for another, unless told not to."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", STRAGGLER.format(seconds=45)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("waited") and "stuck" not in done.stderr


@pytest.mark.parametrize(
    "own",
    [
        "",
        "--xla_cpu_enable_concurrency_optimized_scheduler=true --xla_x=1",
        "--xla_cpu_opt_preset=CPU_OPT_PRESET_DEFAULT",
        "--xla_backend_extra_options=xla_cpu_optimize_for_size",
    ],
)
def test_a_users_own_flags_stay_and_win(own, monkeypatch):
    monkeypatch.setattr(devices.jax.config, "update", lambda *_: None)
    monkeypatch.setenv("XLA_FLAGS", own)
    for _ in range(2):
        devices.configure(4, physics=True)
        flags = os.environ["XLA_FLAGS"].split()
        assert flags[: len(own.split())] == own.split()
        names = [flag.partition("=")[0] for flag in flags]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("options", "older"),
    [
        ({"physics": True}, True),
        ({"physics": True, "training": True}, False),
        ({}, False),
    ],
)
def test_physics_is_compiled_by_the_older_code_generator(options, older, monkeypatch):
    monkeypatch.setattr(devices.jax.config, "update", lambda *_: None)
    monkeypatch.setenv("XLA_FLAGS", "")
    devices.configure(2, **options)
    assert ("disable_new_fusion_emitters" in os.environ["XLA_FLAGS"]) == older


def test_devices_keep_results_of_their_own():
    """A call goes on where each device was, and may overwrite what it was given."""

    def program(own, by):
        own = jnp.int32(0) if own is None else own
        own = own + by + jax.lax.axis_index(devices.AXIS)
        return own, devices.every(own)

    mine = jax.devices()[:3]
    begin = devices.distribute(program, mine)
    go_on = devices.distribute(program, mine, in_place=True)
    first, shown = begin(None, 5)
    np.testing.assert_array_equal(shown, [5, 6, 7])
    second, shown = go_on(first, 1)
    np.testing.assert_array_equal(shown, [6, 8, 10])
    np.testing.assert_array_equal(second, shown)
    assert first.is_deleted()


# --- what the machine allows ----------------------------------------------------------

GIB = 2**30
HIERARCHIES = {
    "version 2, in a container": (
        "0::/",
        {"cpu.max": "150000 100000", "memory.max": f"{4 * GIB}"},
        (2, 4 * GIB),
    ),
    "version 2, bounded above": (
        "0::/batch/job",
        {
            "batch/cpu.max": "100000 100000",
            "batch/job/cpu.max": "max 100000",
            "batch/memory.max": f"{GIB}",
            "batch/job/memory.max": "max",
        },
        (1, GIB),
    ),
    "version 1": (
        "4:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/",
        {
            "cpu/job/cpu.cfs_quota_us": "300000",
            "cpu/job/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/job/memory.limit_in_bytes": f"{2 * GIB}",
        },
        (3, 2 * GIB),
    ),
    "version 1, no limits": (
        "4:memory:/\n3:cpu,cpuacct:/",
        {
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": "9223372036854771712",
        },
        (8, np.inf),
    ),
    "a fraction of a core": ("0::/", {"cpu.max": "20000 100000"}, (1, np.inf)),
    "files that make no sense": (
        "0::/",
        {"cpu.max": "many", "memory.max": ""},
        (8, np.inf),
    ),
    "no control groups": (None, {}, (8, np.inf)),
}


@pytest.mark.parametrize("name", HIERARCHIES)
def test_control_groups_bound_cores_and_memory(name, tmp_path, monkeypatch):
    membership, files, expected = HIERARCHIES[name]
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"{content}\n")
    if membership is not None:
        (tmp_path / "membership").write_text(f"{membership}\n")
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert (cgroups.cores(), cgroups.memory()) == expected


def test_devices_that_came_too_late_are_explained():
    """Of a CPU, JAX fixes their number at its first use: `jnp.zeros`, say."""
    devices.configure(6)  # this process has four, and has used them
    expected = "expected at most 4, .* JAX fixed that number at its first use, before"
    with pytest.raises(UserError, match=expected):
        devices.select(6)


def test_a_full_memory_is_one_line():
    program = on_devices(1, lambda n: 2 * jnp.zeros((2**24, 2**22)).at[n].set(1.0))
    with pytest.raises(UserError, match="is full .* use a smaller --chunk") as error:
        program(jnp.int32(3))
    assert "\n" not in str(error.value)
