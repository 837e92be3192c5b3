"""Environments of gymnax."""
