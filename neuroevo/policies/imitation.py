"""Imitation: train a policy on pairs of states and targets.

An encoding whose genome consists of such pairs, or produces them, takes its options
from `Training` and decodes with `train`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Interval, Predicate

from neuroevo.errors import unknown
from neuroevo.policies import optimizers
from neuroevo.policies.products import differentiated_twice
from neuroevo.types import Array, Key, Loss, Memory, Output, Params, Policy, Target

if TYPE_CHECKING:
    import optax

Finite = Predicate(math.isfinite)
Optimizer = Literal["adam", "momentum", "sgd"]
Rate = Annotated[float, Gt(0), Finite]


@dataclasses.dataclass(frozen=True)
class Training:
    """Options for training a policy.

    `steps` and `learning_rate` may be traced, so that one compiled program serves all
    of their values.
    """

    steps: Annotated[int, Ge(0)] = 64
    """Number of full-batch gradient steps."""
    loss: str = "auto"
    """Imitation loss, one of the policy's losses; auto: its default."""
    optimizer: Optimizer = "adam"
    """Optimizer of the policy."""
    learning_rate: Rate = 1e-2
    """Learning rate of the first step."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate over the steps: constant, or decreasing to zero at the end."""
    adam_eps: Annotated[float, Gt(0), Finite] = 1e-5
    """Adam's epsilon."""
    adam_fan_in: bool = False
    """Divide Adam's learning rate for layers of more than 64 inputs by their number
    over 64, so that networks of all widths learn about as fast (muP)."""
    momentum: Annotated[float, Interval(ge=0, lt=1)] = 0.9
    """Decay rate of momentum."""
    max_grad_norm: Annotated[float, Gt(0), Finite] | None = None
    """Clip the gradient to this global norm; none: no clipping."""
    noise: Annotated[float, Interval(ge=0, le=2**24)] = 0.0
    """Standard deviation of Gaussian noise on the states, drawn anew at every step."""


def train(
    policy: Policy,
    params: Params,
    states: Array,
    targets: Target,
    options: Training,
    key: Key,
    factors: Any = None,
    most_steps: int | None = None,
) -> Params:
    """Return the parameters of a policy after training it on pairs.

    The result can be differentiated, with memory for about twice the square root of the
    number of steps.

    A policy with memory is trained on sequences of L pairs each, by backpropagation
    through time (Werbos, "Backpropagation through time", Proc. IEEE 78, 1990). Each
    sequence begins like an episode.

    Args:
        policy: the network and its losses.
        params: initial parameters.
        states: (D, *observation) the states, as the policy sees them; (D, L,
            *observation) for a policy with memory.
        targets: targets of the loss, one for each state: labels (D,), probabilities
            (D, n) or actions (D, *action); for a policy with memory (D, L, …).
        options: how to train.
        key: the key of the noise; unused without noise.
        factors: factors on the learning rate: one for all parameters, or a pytree that
            is a prefix of theirs, with one for each part. None for no factor.
        most_steps: if the number of steps is traced, a number that it does not exceed;
            only derivatives in reverse mode need it.

    Raises:
        UserError: if the policy has no such loss.
    """
    import optax  # help does without

    if policy.member is not None:
        each = functools.partial(
            train,
            policy.member,
            states=states,
            targets=targets,
            options=options,
            most_steps=most_steps,
        )
        return _train_members(each, params, key, factors)
    loss = find_loss(policy, options.loss)
    if policy.init_memory is not None:
        targets = _join(targets)

    traced = {"learning_rate": options.learning_rate}
    if isinstance(options.steps, jax.Array):
        traced["steps"] = options.steps

    def trained(loop, params, states, targets, key, traced, factors):
        own = dataclasses.replace(options, **traced)
        optimizer = make_optimizer(own)

        def objective(params: Params, step: Array) -> Array:
            inputs = states
            if options.noise:
                noise = jax.random.normal(jax.random.fold_in(key, step), states.shape)
                inputs += options.noise * noise
            return loss(respond(policy, params, inputs), targets)

        def update(step: Array, carry: tuple[Params, optax.OptState]):
            params, state = carry
            gradients = jax.grad(objective)(params, step)
            updates, state = optimizer.update(gradients, state, params)
            if factors is not None:
                updates = jax.tree.map(optax.tree.scale, factors, updates)
            return optax.apply_updates(params, updates), state

        return loop(own.steps, update, (params, optimizer.init(params)))[0]

    # Only a derivative pays for checkpoints.
    forward = jax.custom_jvp(functools.partial(trained, optimizers.loop))
    checkpoint = functools.partial(optimizers.checkpointed_loop, most=most_steps)

    def checkpointed(*args):
        with differentiated_twice():
            return trained(checkpoint, *args)

    forward.defjvp(functools.partial(jax.jvp, checkpointed))
    return forward(params, states, targets, key, traced, factors)


def respond(policy: Policy, params: Params, states: Array) -> Output:
    """Return the outputs of a policy along a first axis.

    Args:
        policy: the network.
        params: its parameters.
        states: (D, *observation). For a policy with memory, D sequences (D, L,
            *observation), whose outputs are joined along one axis (D * L, …).
    """
    if policy.init_memory is None:
        return jax.vmap(policy.apply, (None, 0))(params, states)
    memory = policy.init_memory(params)

    def step(memory: Memory, state: Array) -> tuple[Memory, Output]:
        output, memory = policy.apply(params, state, memory)
        return memory, output

    outputs = jax.vmap(lambda sequence: jax.lax.scan(step, memory, sequence)[1])(states)
    return jax.tree.map(_join, outputs)


def _join(x: Array) -> Array:
    """Return D sequences (D, L, …) as one (D * L, …)."""
    return x.reshape(-1, *x.shape[2:])


def _train_members(
    member: Callable[..., Params], params: Params, key: Key, factors: Any
) -> Params:
    """Return the parameters of an ensemble whose members train one after another."""
    keys = jax.random.split(key, len(jax.tree.leaves(params)[0]))
    return jax.lax.map(
        lambda own: member(params=own[0], key=own[1], factors=factors), (params, keys)
    )


def find_loss(
    policy: Policy,
    name: str,
    *,
    default: str | None = None,
    option: str = "encoding.loss",
) -> Loss:
    """Return a policy's loss by name.

    Args:
        policy: the policy.
        name: the name; ``"auto"`` stands for the default.
        default: the default; None for the policy's own, its first loss.
        option: the option that names the loss, for the message.

    Raises:
        UserError: if the policy has no such loss.
    """
    losses = policy.losses
    if name == "auto":
        name = default or next(iter(losses))
    if name not in losses:
        raise unknown(option, name, ["auto", *losses])
    return losses[name]


def make_optimizer(options: Training) -> "optax.GradientTransformation":
    """Return the optimizer that `options` describe."""
    import optax

    rate = options.learning_rate
    factor = {"linear": linear, "cosine": cosine}.get(options.schedule)
    # A callable would make optax count steps, which a constant does not need.
    schedule = rate if factor is None else lambda t: rate * factor(t / options.steps)
    optimizer = {
        "adam": optax.chain(
            optimizers.scale_by_adam(eps=options.adam_eps),
            optimizers.scale_by_fan_in() if options.adam_fan_in else optax.identity(),
            optax.scale_by_learning_rate(schedule),
        ),
        "momentum": optax.sgd(schedule, momentum=options.momentum),
        "sgd": optax.sgd(schedule),
    }[options.optimizer]
    if options.max_grad_norm is None:
        return optimizer
    return optax.chain(optimizers.clip_by_global_norm(options.max_grad_norm), optimizer)


def linear(progress: Array) -> Array:
    """Return the factor on the learning rate after a fraction `progress` of the steps.

    The factor equals that of ``optax.linear_schedule`` to zero, which does not accept a
    traced number of steps.
    """
    return 1 - progress


def cosine(progress: Array) -> Array:
    """Return the factor on the learning rate after a fraction `progress` of the steps.

    The factor equals that of ``optax.cosine_decay_schedule`` (Loshchilov and Hutter,
    "SGDR", ICLR 2017, arXiv 1608.03983), which accepts no traced number of steps.
    """
    return 0.5 * (1 + jnp.cos(jnp.pi * progress))
