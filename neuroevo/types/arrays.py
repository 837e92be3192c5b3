"""Names for the arrays and pytrees that the parts exchange."""

from typing import Any

import jax

Array = jax.Array
Key = jax.Array  # a typed PRNG key (``jax.random.key``)
Genome = Any  # pytree of float arrays, over which a strategy searches
Start = Any  # pytree: the part of decoding that all candidates share
Params = Any  # pytree of arrays: the parameters of a policy
Observation = jax.Array
Action = jax.Array
Output = Any  # what a policy's network returns: logits, or (mean, log_std)
Memory = Any  # pytree of arrays: what a policy remembers of an episode
Target = jax.Array
EnvState = Any  # pytree of arrays: the state of one episode
TaskState = Any  # pytree of arrays: what a task learns during a run
Stats = Any  # pytree of arrays that can be summed over evaluations
StrategyState = Any  # pytree of arrays
Data = Any  # pytree of arrays: what an evaluation needs that does not change
