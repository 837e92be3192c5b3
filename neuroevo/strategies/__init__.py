"""Strategies: what proposes genomes."""
