"""Strategies: algorithms that propose genomes."""
