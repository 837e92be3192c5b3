"""Environments, rollouts and observation normalization."""
