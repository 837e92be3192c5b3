"""Suites of environments."""
