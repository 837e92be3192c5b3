"""Policies: networks with an action head."""
