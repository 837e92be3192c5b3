"""Translates names in results that neuroevo 0.1 wrote."""

from collections.abc import Mapping
from typing import Any

from neuroevo.config.recorded import NEW_NAMES

# Version 0.1 used the name seeds for the policies that are decoded from a genome.
_PARTS_OF_NAMES = {
    "return_per_seed": "return_per_policy",
    "return_std_seeds": "return_std_policies",
}


def rename_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the results in a summary or a card under their current names."""
    return {_rename(name): value for name, value in results.items()}


def _rename(name: str) -> str:
    for old, new in _PARTS_OF_NAMES.items():
        name = name.replace(old, new)  # also as in final_return_per_seed
    return NEW_NAMES.get(name, name)
