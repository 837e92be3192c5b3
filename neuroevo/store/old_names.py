"""Names in files that neuroevo 0.1 wrote, which are still read."""

from collections.abc import Mapping
from typing import Any

# Version 0.1 called the policies that are decoded from a genome seeds.
NEW_NAMES = {
    "seeds": "policies",
    "center_seeds": "center_policies",
    "final_seeds": "final_policies",
}
_IN_RESULTS = {
    "return_per_seed": "return_per_policy",
    "return_std_seeds": "return_std_policies",
}


def rename_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's configuration with the options that version 0.1 named renamed."""
    return {NEW_NAMES.get(name, name): value for name, value in config.items()}


def rename_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return results, of a summary or a card, with what version 0.1 named renamed."""
    return {_new_result(name): value for name, value in results.items()}


def _new_result(name: str) -> str:
    for old, new in _IN_RESULTS.items():
        name = name.replace(old, new)  # also as in final_return_per_seed
    return NEW_NAMES.get(name, name)
