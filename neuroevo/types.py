"""The parts of a neuroevolution run, as values that hold pure functions.

Each part is a NamedTuple of functions over pytrees, in the manner of optax: anything
with these fields is a part, whether or not it is registered under a name. Shapes are
given without batch dimensions unless stated; the engine adds them with ``vmap``.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from neuroevo.spaces import Spec

Array = jax.Array
Key = jax.Array  # a typed PRNG key (``jax.random.key``)
Genome = Any  # pytree of float arrays: what a strategy searches over
Start = Any  # pytree: the part of decoding that all candidates share
Params = Any  # pytree of arrays: the parameters of a policy
Observation = jax.Array
Action = jax.Array
Output = Any  # what a policy's network returns: logits, or (mean, log_std)
Target = jax.Array
TaskState = Any  # pytree of arrays: what a task learns during a run
Stats = Any  # pytree of arrays that can be summed over evaluations
StrategyState = Any  # pytree of arrays


class Policy(NamedTuple):
    """A network with an action head.

    `losses` names the imitation losses that fit the head, each a function of the
    outputs for a batch (leading axis D) and its targets (D labels, (D, n) label
    probabilities or (D, A) actions) to a scalar; the first one is the default.
    """

    init: Callable[[Key], Params]
    apply: Callable[[Params, Observation], Output]
    act: Callable[[Output, Key], Action]
    losses: Mapping[str, Callable[[Output, Target], Array]]


class Encoding(NamedTuple):
    """How a genome becomes a policy's parameters.

    `decode` must be traceable under ``jit`` and ``vmap``. Its second argument is what
    `start` made of a fresh key. The engine calls `start` once per policy seed and
    shares the result among all candidates of a generation, so that work which does not
    depend on the genome (drawing initial parameters, say) is done once. By default the
    key itself is passed on. `constants` are arrays that are not searched over but that
    belong in a genome file (fixed labels, say).
    """

    init: Callable[[Key], Genome]
    decode: Callable[[Genome, Start], Params]
    start: Callable[[Key], Start] = lambda key: key
    constants: Mapping[str, Array] = {}


class Environment(NamedTuple):
    """One episode at a time, as pure functions; what a custom environment provides.

    `step` must not reset by itself: after the end of an episode it may return
    anything, NaN included, for nothing of it is counted. Before the end, a reward or an
    observation that is not finite makes the episode a failure: its return is NaN.
    `done` tells of the environment's own end; the time limit is the rollout's business.
    Actions in a `Box` arrive in ``[-1, 1]``. The state is a pytree of arrays whose
    shapes and dtypes never change.
    """

    spec: Spec
    reset: Callable[[Key], tuple[Any, Observation]]  # -> state, observation
    step: Callable[[Key, Any, Action], tuple[Any, Observation, Array, Array]]
    # (key, state, action) -> state, observation, reward, done
    max_steps: int  # the time limit


class Outcome(NamedTuple):
    """What one policy achieved in E episodes; never a trajectory."""

    returns: Array  # (E,) undiscounted return of each episode
    lengths: Array  # (E,) int32 number of steps of each episode
    stats: Stats  # summable over policies, for `Task.update`


class Trajectory(NamedTuple):
    """One recorded episode, padded to the time limit T; for rendering only."""

    observations: Array  # (T, *observation) as the environment gave them
    actions: Array  # (T, *action) as the environment received them
    rewards: Array  # (T,)
    states: Any  # pytree of (T, …): the environment's state before each step
    alive: Array  # (T,) bool: False after the end of the episode


class Row(NamedTuple):
    """B rows of policies, see `Task.play`; those of a row are given the same keys."""

    params: Params  # (B, width, …)
    keys: Key  # (B, E) one for each episode
    valid: Array  # (B, width) bool: others have no return


class Task(NamedTuple):
    """What a policy is to do: an environment with its observation normalization.

    `evaluate` takes ``act(observation, key) -> action``, the task's state and E keys,
    one for each episode.

    `play` evaluates the policies in rows of `width` that are below `count`, of `size`
    rows, and returns their outcomes with the leading axes (size, width). It takes
    ``act(params, observation, key) -> action``, ``load(rows) -> Row``, the task's
    state, `size`, `count`, and the number of slots. Every slot holds a row. As soon as
    a quarter of them have ended, the next rows take their places: no policy waits long
    for another that plays on.
    """

    spec: Spec
    init: Callable[[Key], TaskState]
    evaluate: Callable[[Callable[[Observation, Key], Action], TaskState, Key], Outcome]
    play: Callable[..., Outcome]
    update: Callable[[TaskState, Stats], TaskState]
    record: Callable[[Callable[[Observation, Key], Action], TaskState, Key], Trajectory]
    constants: Callable[[TaskState], Mapping[str, Array]]  # for a genome file


class Strategy(NamedTuple):
    """A search over genomes that maximizes fitness.

    `ask` returns a population (a genome with a leading axis) and a state; `tell` takes
    the population's fitness, in which a non-finite value ranks last; `center` is the
    strategy's present answer.
    """

    init: Callable[[Key, Genome], StrategyState]
    ask: Callable[[Key, StrategyState], tuple[Genome, StrategyState]]
    tell: Callable[[Key, Genome, Array, StrategyState], StrategyState]
    center: Callable[[StrategyState], Genome]


class Session(NamedTuple):
    """What a logger is told of a run, whenever it starts or goes on."""

    name: str
    path: Path | None  # the run's directory
    config: Mapping[str, Any]  # as in config.yaml
    generation: int  # the last one that this logger has logged, in sessions before
    memo: Mapping[str, Any]  # what `Logger.memo` was then


class Logger(NamedTuple):
    """A place, besides the run directory, that the figures of a run go to.

    `log` takes further rows of ``metrics.jsonl`` in order, each generation once however
    often the run was interrupted, and returns when they are safe. `finish` is the last
    call: with what ``summary.json`` holds, empty if nothing in it is new, or with None
    if the run was interrupted. `memo` is plain data for the run's next session.
    """

    log: Callable[[Sequence[Mapping[str, Any]]], None]
    finish: Callable[[Mapping[str, Any] | None], None] = lambda summary: None
    memo: Mapping[str, Any] = {}
