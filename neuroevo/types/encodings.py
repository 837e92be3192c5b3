"""Encodings of policies, and losses that can be followed to a genome."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from neuroevo.types.arrays import Array, Genome, Key, Params, Start, Target
from neuroevo.types.policies import Rows

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class InitGenome(Protocol):
    """Return the center of the search: a pytree of float arrays."""

    def __call__(self, key: Key, /) -> Genome: ...


class Decode(Protocol):
    """Return a policy's parameters, as arrays like those of `Policy.init`.

    It must be traceable under ``jit`` and ``vmap``.
    """

    def __call__(self, genome: Genome, start: Start, /) -> Params: ...


class ConvertGenome(Protocol):
    """Return a genome of another form, such as images for their latents."""

    def __call__(self, genome: Genome, /) -> Genome: ...


class StartDecoding(Protocol):
    """Return the part of decoding that does not depend on the genome."""

    def __call__(self, key: Key, /) -> Start: ...


class Encoding(NamedTuple):
    """How a genome becomes a policy's parameters.

    Attributes:
        init: returns the genome that the search starts from.
        decode: turns a genome, and what `start` returned, into parameters.
        start: takes a fresh key. The engine calls it once for each fresh policy and
            shares the result among all candidates of a generation, so that work that
            does not depend on the genome (such as drawing initial parameters) is done
            once. By default, the key itself is passed on.
        constants: arrays that are not evolved but belong in a genome file, such as
            fixed labels.
        identity: whether `decode` returns the genome itself. Then candidates that a
            strategy gives as differences can share the weights of their center.
        bounds: the lowest and the highest values of genes, each a pytree like the
            genome, of numbers or arrays that broadcast; None: no bounds. A gene beyond
            its bound counts as the bound, in `decode` and in results.
        export: the genome that the options' ``settled()`` decode in the same way: the
            one of results and genome files, if it is not that of the search.
        adopt: the genome of the search that comes closest to one from `export`, for
            searches that start from a genome file.

    Example:
        One number scales the weights of a fixed network:

        >>> def scaled(policy, spec):
        ...     fixed = policy.init(jax.random.key(0))
        ...     return neuroevo.Encoding(
        ...         init=lambda key: jnp.zeros(()),
        ...         decode=lambda scale, key: jax.tree.map(lambda x: scale * x, fixed),
        ...     )
        >>> encoding = scaled(run.parts.policy, run.parts.environment.spec)
        >>> encoding.decode(jnp.float32(2), None)["output"]["kernel"].shape
        (4, 2)
    """

    init: InitGenome
    decode: Decode
    start: StartDecoding = lambda key: key
    constants: Mapping[str, Array] = _EMPTY
    identity: bool = False
    bounds: tuple[Genome, Genome] | None = None
    export: ConvertGenome | None = None
    adopt: ConvertGenome | None = None


class LossOn(Protocol):
    """Return the loss of a fresh policy that a genome decodes to.

    It is differentiable with respect to the genome.

    Args:
        genome: the genome.
        key: the randomness of the policy.
        observations: (R, *observation) as policies see them.
        targets: what to do there.
    """

    def __call__(
        self, genome: Genome, key: Key, observations: Array, targets: Target, /
    ) -> Array: ...


class OuterLoss(NamedTuple):
    """What a strategy that follows gradients minimizes.

    Attributes:
        init: draws a genome to start from.
        loss_on: the loss of one fresh policy.
        rows: the examples, with observations as the policy sees them; None if the task
            draws them (`Task.batch`).
        within: moves genes beyond their bounds to these; None: no bounds.
    """

    init: InitGenome
    loss_on: LossOn
    rows: Rows | None
    within: ConvertGenome | None = None
