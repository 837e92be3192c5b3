"""Messages between the processes of a distributed run, through JAX's coordinator.

The only module that touches ``jax._src``. JAX 0.10 and 0.11 (which pyproject.toml
bounds it to) give their store of keys and values no public name: what is public
(`jax.experimental.multihost_utils`) sends arrays from device to device, and starts the
backend, whereas processes have to agree before there are devices.
"""

from typing import Any

from jax._src.distributed import global_state as _state

FOREVER = 10**12  # milliseconds


def is_open() -> bool:
    """Return whether this process has joined others, or tried to."""
    return _state.client is not None


def process() -> int:
    """Return the number of this process, 0 without others."""
    return _state.process_id


def count() -> int:
    """Return the number of processes, 1 without others."""
    return _state.num_processes


def put(name: str, message: bytes) -> None:
    """Leave a message for all processes, in the place of one that has the name."""
    _client().key_value_set_bytes(name, message, allow_overwrite=True)


def get(name: str, milliseconds: int = FOREVER) -> bytes:
    """Return a message, once it is there.

    Raises:
        jax.errors.JaxRuntimeError: if it does not come in time, or others are lost.
    """
    return _client().blocking_key_value_get_bytes(name, milliseconds)


def clear(prefix: str) -> None:
    """Remove the messages whose names begin with `prefix`."""
    _client().key_value_delete(prefix)


def _client() -> Any:
    assert _state.client is not None, "no coordinator: see `multihost.connect`"
    return _state.client
