"""Turns options into a resolved configuration."""
