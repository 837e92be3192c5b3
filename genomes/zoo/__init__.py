"""Bundled genomes, evolved by neuroevo's own runs; see docs/using-data-sets.md."""
