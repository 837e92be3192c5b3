"""Teachers: policies that show what to do, and that label what their students see."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neuroevo import loading
from neuroevo.core import keys, trees
from neuroevo.core.acting import act_with, reactive
from neuroevo.errors import UserError, in_one_line
from neuroevo.run.outer_loss import statistics
from neuroevo.solution import Solution
from neuroevo.spaces import (
    Box,
    Discrete,
    MultiDiscrete,
    Spec,
    best,
    by_choice,
    choices,
    in_words,
    one_hot,
    outputs,
)
from neuroevo.store import genome_file
from neuroevo.store.rows_file import ACTIONS, EPISODE, LOGITS, OBSERVATIONS
from neuroevo.tasks.host import task_in
from neuroevo.tasks.normalization import NoNormalization
from neuroevo.types import (
    Action,
    Actor,
    Array,
    Collected,
    Environment,
    HostEnvironment,
    Key,
    Memory,
    Observation,
    Params,
    Rows,
)

_EPISODES = 4  # from which a teacher's constant normalization is estimated
_BRAX = "ppo_network_config.json"
_NODES = 9  # of the Gauss-Hermite quadrature of an action's mean


class Teacher(NamedTuple):
    """A policy to learn from, which sees observations as the environment gives them.

    Attributes:
        actor: how it acts; it takes no parameters.
        label: returns what to do for an observation, without chance: an action for a
            `Box`, and log probabilities for discrete actions. None if it remembers what
            it saw, so that a single observation does not say what it would do.
    """

    actor: Actor
    label: Callable[[Observation], Array] | None


def read(path: Path, spec: Spec) -> Teacher:
    """Return the teacher in a genome file, a run, or a checkpoint of brax's PPO.

    Raises:
        UserError: if it cannot be read, or does not fit `spec`.
    """
    if is_brax(path):
        return of_brax(path, spec)
    return of_solution(load(path, spec))


def load(path: Path, spec: Spec) -> Solution:
    """Return the teacher in a genome file or a run.

    Raises:
        UserError: if it cannot be read, or does not fit `spec`.
    """
    solution = loading.make_solution(*loading.read_solution(path, []))
    own = solution.parts.environment.spec
    if own != spec:
        raise UserError(
            f"{path}: the teacher is for {in_words(own)}, but the environment has "
            f"{in_words(spec)}"
        )
    return solution


def save(solution: Solution, path: Path, seed: int = 0) -> None:
    """Write a policy decoded from a genome to a file, which `read` takes as a teacher.

    A normalization that depends on the episode so far cannot label single rows. It is
    replaced by the statistics of some episodes.
    """
    arrays, meta = solution.trained(seed)
    task = solution.parts.task
    if task.collect and task.normalize is None:
        drawn = keys.episode_keys(keys.collection(seed), _EPISODES)[None]
        params = jax.tree.map(lambda x: x[None], solution.decode(seed))
        actor = act_with(solution.parts.policy)
        found = task.collect(actor, params, solution.answer.task, drawn)
        rows = Rows(found.observations, None, np.ones(len(found.observations)))
        arrays = {**arrays, **statistics(rows)}
        clip = getattr(solution.config.parts["normalization"], "clip", None)
        meta = {**meta, "normalization": {"name": "constant", "clip": clip}}
    genome_file.save(path, arrays, meta)


def of_solution(solution: Solution, seed: int = 0) -> Teacher:
    """Return a policy decoded from a genome as a teacher.

    Raises:
        UserError: if what it sees depends on the episode so far.
    """
    task, policy = solution.parts.task, solution.parts.policy
    if task.normalize is None:
        raise UserError(
            "a teacher with --normalization episode cannot label single rows; expected "
            "neuroevo distill to prepare it, or another normalization"
        )
    normalize = task.normalize
    params, state = solution.decode(seed), solution.answer.task
    action = task.spec.action
    greedy = getattr(solution.config.parts["policy"], "action", None) == "greedy"

    def output(observation: Observation) -> Any:
        return policy.apply(params, normalize(state, observation))

    def label(observation: Observation) -> Array:
        found = output(observation)
        if isinstance(action, Box):
            return jnp.clip(found[0], -1, 1)
        if greedy:  # its logits are no probabilities
            return _chosen(best(found, action), action)
        return by_choice(jax.nn.log_softmax, found, choices(action))

    own = act_with(policy)

    def act(
        _: Params, memory: Memory, observation: Observation, legal: Any, key: Key
    ) -> tuple[Action, Memory]:
        return own.act(params, memory, normalize(state, observation), legal, key)

    actor = Actor(act, lambda _: own.init_memory(params))
    return Teacher(actor, label if policy.init_memory is None else None)


def of_function(act: Callable[[Observation, Key], Action], spec: Spec) -> Teacher:
    """Return any function of observation and key as a teacher.

    Raises:
        UserError: if its actions do not fit `spec`.
    """
    observation = jax.ShapeDtypeStruct(spec.observation, jnp.float32)
    found = jax.eval_shape(act, observation, keys.abstract())
    actions = spec.action
    shape: tuple[int, ...] = ()
    if not isinstance(actions, Discrete):
        several = (len(choices(actions)),)
        shape = actions.shape if isinstance(actions, Box) else several
    if not hasattr(found, "shape") or found.shape != shape:
        raise UserError(
            f"the teacher: expected a function of (observation, key) that returns an "
            f"action of shape {shape}, got {getattr(found, 'shape', type(found))}"
        )

    def label(observation: Observation) -> Array:
        action = act(observation, keys.collection(0))
        if isinstance(actions, Box):
            return jnp.clip(action, -1, 1)
        return _chosen(action, actions)

    actor = reactive(lambda _, observation, key: act(observation, key))
    return Teacher(actor, label)


def of_brax(path: Path, spec: Spec) -> Teacher:
    """Return the policy in a checkpoint of brax's PPO as a teacher.

    It samples its actions, as it did in training, and labels with their mean, which
    minimizes the squared error to them. The most likely action can fail where the
    policy succeeds: the noise is part of what was trained.
    ``brax.training.agents.ppo.train`` writes checkpoints to ``save_checkpoint_path``.

    Raises:
        UserError: if it cannot be read, or does not fit `spec`.
    """
    try:
        infer, label, sizes = _load_brax(path)
    except Exception as error:
        reason = f"{type(error).__name__}: {in_one_line(error, 200)}"
        raise UserError(f"{path}: not a checkpoint of brax's PPO: {reason}") from None
    own = int(np.prod(spec.observation)), int(np.prod(outputs(spec)))
    if not isinstance(spec.action, Box) or sizes != own:
        raise UserError(
            f"{path}: its policy takes {sizes[0]} numbers and returns {sizes[1]}, but "
            f"the environment has {in_words(spec)}"
        )
    actor = reactive(lambda _, observation, key: infer(observation, key)[0])
    return Teacher(actor, label)


def _load_brax(path: Path) -> tuple[Callable, Callable, tuple[Any, Any]]:
    """Return how a policy acts, its mean action, and its numbers of inputs and outputs.

    brax 0.14's own ``load_policy`` cannot read what its ``train`` writes.
    """
    from brax.training.acme import running_statistics
    from brax.training.agents.ppo import checkpoint, networks
    from brax.training.networks import ACTIVATION

    config = json.loads((path / _BRAX).read_text("utf-8"))
    options = {
        name: value
        for name, value in config["network_factory_kwargs"].items()
        if "_init_" not in name  # of initial weights alone
    }
    options["activation"] = ACTIVATION[options["activation"]]
    if config["normalize_observations"]:
        options["preprocess_observations_fn"] = running_statistics.normalize
    seen = config["observation_size"]
    if isinstance(seen, dict):  # of an array, as PPO writes it
        (seen,) = seen["shape"]
    sizes = seen, config["action_size"]
    network = networks.make_ppo_networks(*sizes, **options)
    params = checkpoint.load(path.absolute())
    actions = network.parametric_action_distribution
    points, weights = np.polynomial.hermite_e.hermegauss(_NODES)

    def mean(observation: Observation) -> Array:
        found = network.policy_network.apply(*params[:2], observation)
        normal = actions.create_dist(found)
        nodes = jnp.asarray(points).reshape(-1, *[1] * normal.loc.ndim)
        squashed = actions.postprocess(normal.loc + normal.scale * nodes)
        return jnp.tensordot(weights / weights.sum(), squashed, 1)

    return networks.make_inference_fn(network)(params), mean, sizes


def is_brax(path: Path) -> bool:
    """Return whether `path` is a checkpoint of brax's PPO."""
    return (path / _BRAX).is_file()


def _chosen(action: Array, actions: Discrete | MultiDiscrete) -> Array:
    """Return the log probabilities of a policy that always takes `action`."""
    return jnp.where(one_hot(jnp.asarray(action), actions) > 0, 0.0, -1e4)


class Lesson(NamedTuple):
    """Rows as in a file, and the returns of the episodes that they come from."""

    arrays: dict[str, np.ndarray]
    returns: np.ndarray


def demonstrate(
    teacher: Teacher,
    environment: Environment | HostEnvironment,
    episodes: int,
    seed: int,
) -> Lesson:
    """Let a teacher play, and label what it saw.

    The label of a teacher with memory is what it did.
    """
    task = task_in(environment, NoNormalization().build(()))
    drawn = keys.episode_keys(keys.collection(seed), episodes)[None]
    assert task.collect  # it is that of an environment
    found = task.collect(teacher.actor, jnp.zeros(1), (), drawn)
    return Lesson(labeled(teacher, found, task.spec), found.returns[0])


def labeled(teacher: Teacher, found: Collected, spec: Spec) -> dict[str, np.ndarray]:
    """Return collected steps as the arrays of a file of rows, labeled by a teacher."""
    sane = np.isfinite(found.observations.reshape(len(found.observations), -1)).all(1)
    observations = found.observations[sane]
    shown = {OBSERVATIONS: observations, EPISODE: found.episodes[sane]}
    if teacher.label is None:
        return {**shown, ACTIONS: found.actions[sane]}
    name = ACTIONS if isinstance(spec.action, Box) else LOGITS
    return {**shown, name: labels(teacher.label, observations)}


def labels(
    label: Callable[[Observation], Array], observations: np.ndarray
) -> np.ndarray:
    """Return what a teacher would do, for many observations."""
    return trees.map_rows(label, observations)
