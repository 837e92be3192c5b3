"""Neuroevolution in JAX, with the genotype as a plug-in.

Example:
    >>> import neuroevo
    >>> run = neuroevo.evolve(env="CartPole-v1", encoding="dataset")  # doctest: +SKIP
    >>> run.evaluate()["return_mean"]  # doctest: +SKIP
    500.0
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("neuroevo")

# Imported on first use: the command line must be able to configure JAX before.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
