"""What the machine can do, measured in the process that measures everything else."""

import os

import jax
import jax.numpy as jnp

from neuroevo.devices import label
from neuroevo.store.provenance import environment

MATRIX, MATRIX_QUICK = 2048, 256  # rows and columns
ARRAY, ARRAY_QUICK = 2**26, 2**16  # numbers in all, 4 bytes each: far beyond any cache
# Repetitions in one compiled call, which reuses its buffers: no memory page is new.
PRODUCTS, SWEEPS = 4, 32
FASTER = 50  # times as many on an accelerator, whose calls would else be too short


def describe(devices):
    """Return where and when a table's figures were measured."""
    facts = environment()
    processor = facts["processor"] or "unknown processor"
    versions = [f"{name} {version}" for name, version in facts["versions"].items()]
    machine = {
        "processor": f"{processor}, {os.cpu_count()} cores",
        "devices": label(devices),
        "system": facts["platform"],
    }
    revision = facts["git_revision"] or "unknown"
    return {
        "machine": machine,
        "jax": jax.__version__,
        "versions": ", ".join([f"Python {facts['python']}", *versions]),
        "when": f"{facts['started'][:10]}, {revision[:12]}",
    }


def matmul(devices, quick=False):
    """Return a function that multiplies square float32 matrices, and its work.

    Every device multiplies its own. The precision is JAX's default, on a
    GPU less than that of networks, which neuroevo raises.
    """
    n = MATRIX_QUICK if quick else MATRIX
    x = jnp.full((len(devices), n, n), 1 / n)
    products = _repetitions(PRODUCTS, devices)

    def multiply(x):
        return jax.lax.fori_loop(0, products, lambda _, y: y @ x, x)

    work = {"FLOP": len(devices) * products * 2.0 * n**3}
    return _on_each(devices, multiply, x), work


def triad(devices, quick=False):
    """Return a function that computes ``y += a x`` on large arrays, and its work.

    Each number is moved three times (STREAM; McCalpin, 1995): x and y in, y out.
    """
    n = (ARRAY_QUICK if quick else ARRAY) // len(devices)
    x = jnp.ones((len(devices), n))
    sweeps = _repetitions(SWEEPS, devices)

    def sweep(x, y):
        return jax.lax.fori_loop(0, sweeps, lambda _, y: y + 0.5 * x, y)

    work = {"B": len(devices) * sweeps * 3 * 4.0 * n}
    return _on_each(devices, sweep, x, 2 * x), work


def _repetitions(number, devices):
    return number * (1 if devices[0].platform == "cpu" else FASTER)


def _on_each(devices, function, *args):
    args = jax.pmap(lambda *args: args, devices=devices)(*args)
    mapped = jax.pmap(function, devices=devices)
    return lambda: mapped(*args)
