"""Environments, rollouts and observation normalisation."""
