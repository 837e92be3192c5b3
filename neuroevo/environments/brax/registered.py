"""The environments that a user registered with brax.

``brax.envs.register_environment`` is public, but brax 0.14.2 has no public function
that lists what is registered. This module reads its private table, ``brax.envs._envs``.
pyproject.toml bounds the version; a test compares the table with `tables.OPTIONS`.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any


def constructors() -> Mapping[str, Callable[..., Any]] | None:
    """Return brax's constructors by name, or None before brax is imported."""
    brax_envs = sys.modules.get("brax.envs")
    return None if brax_envs is None else brax_envs._envs
