"""Environments of brax, and their bodies."""
