"""Genome encodings, one file each."""
