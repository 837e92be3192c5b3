"""Neuroevolution in JAX, with the genotype as a plug-in.

Example:
    >>> import neuroevo
    >>> run = neuroevo.evolve(env="CartPole-v1", encoding="dataset")  # doctest: +SKIP
    >>> run.evaluate()["return_mean"]  # doctest: +SKIP
    500.0
"""

from typing import Any

import lazy_loader

# Imported on first use: the command line must be able to configure JAX before.
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name != "__version__":
        return _load(name)
    from importlib.metadata import version  # takes as long as Python's start

    return version("neuroevo")
