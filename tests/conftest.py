"""Four CPU devices for the whole suite, whatever a test's run would ask for."""

import jax

from neuroevo import sharding

sharding.configure(4)
assert len(jax.devices()) == 4  # starts the backend
