"""Messages between the processes of a distributed run, through JAX's coordinator.

Only this module and `neuroevo.run.cache_repair` use ``jax._src``. JAX 0.10 and 0.11,
the versions that pyproject.toml allows, have no public access to their key-value store.
The public module `jax.experimental.multihost_utils` sends arrays between devices and
starts the backend, but processes have to agree before there are devices.
"""

from typing import Any

from jax._src.distributed import global_state as _state

FOREVER = 10**12  # milliseconds


def is_open() -> bool:
    """Return whether this process has joined others, or tried to."""
    return _state.client is not None


def process() -> int:
    """Return the number of this process; 0 if there are no others."""
    return _state.process_id


def count() -> int:
    """Return the number of processes; 1 if there are no others."""
    return _state.num_processes


def put(name: str, message: bytes) -> None:
    """Leave a message for all processes; it replaces one of the same name."""
    _client().key_value_set_bytes(name, message, allow_overwrite=True)


def get(name: str, milliseconds: int = FOREVER) -> bytes:
    """Wait for a message, and return it.

    Raises:
        jax.errors.JaxRuntimeError: if the message does not arrive in time, or if
            another process is lost.
    """
    return _client().blocking_key_value_get_bytes(name, milliseconds)


def clear(prefix: str) -> None:
    """Remove the messages whose names begin with `prefix`."""
    _client().key_value_delete(prefix)


def _client() -> Any:
    assert _state.client is not None, "no coordinator: see `multihost.connect`"
    return _state.client
