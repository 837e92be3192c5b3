"""Neuroevolution in JAX, with the genotype as a plug-in.

Example:
    >>> run = neuroevo.evolve(env="CartPole-v1", encoding="dataset")
    >>> run.evaluate()["return_mean"]
"""

from importlib.metadata import version

__version__ = version("neuroevo")

_EXPORTS = {
    "evolve": "neuroevo.api",
    "load": "neuroevo.api",
    "merge": "neuroevo.studies.merge",
    "save_metrics": "neuroevo.store.export",
    "save_policy": "neuroevo.store.export",
    "transfer": "neuroevo.studies.transfer",
    "Run": "neuroevo.run.loop",
    "Environment": "neuroevo.types",
    "UserError": "neuroevo.errors",
    **dict.fromkeys(
        "Encoding Logger Policy Session Strategy".split(), "neuroevo.types"
    ),
    **dict.fromkeys("Box Discrete Spec".split(), "neuroevo.spaces"),
}
__all__ = list(_EXPORTS)


def __getattr__(name: str):
    # Imported on first use: the command line must be able to configure JAX before.
    import importlib

    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'neuroevo' has no attribute {name!r}")


def __dir__():
    return [*globals(), *_EXPORTS]
