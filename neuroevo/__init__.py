"""Neuroevolution in JAX, with the genotype as a plug-in."""
