"""Evolved genomes that come with the package, made by its own runs; see docs."""
