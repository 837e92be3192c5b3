"""Learning curves of single runs, or of all seeds of a setting together."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from neuroevo.config.schema import PARTS, group_of
from neuroevo.store.record import RunRecord

_POINTS = 200  # of a curve of several runs, where it has to be interpolated


class Curve(NamedTuple):
    """A mean with a band around it: arrays of equal length."""

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def group(found: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Return runs grouped by setting, under the names of the settings.

    Runs belong together if their configurations differ only in the seed, in limits and
    in options that do not change the search. A setting is named after its parts, and
    after differing options if the parts are the same.
    """
    by_setting: dict[str, tuple[dict, list[RunRecord]]] = {}
    for run in found:
        setting = _setting(run.config)
        by_setting.setdefault(repr(sorted(setting.items())), (setting, []))[1].append(
            run
        )
    settings = [setting for setting, _ in by_setting.values()]
    names = _differing(settings, [f"{part}.name" for part in PARTS])
    names = names or ["env.name", "encoding.name", "strategy.name"]
    groups = {}
    for setting, members in by_setting.values():
        options = _differing(_alike(settings, setting, names))
        groups[_label(setting, names, options)] = members
    return groups


def group_by_env(
    found: Sequence[RunRecord],
) -> dict[str, dict[str, list[RunRecord]]]:
    """Return runs by environment and setting, with the same names in all environments.

    Environments may suggest other values of an option. A setting is named after the
    options in which it differs from others in the same environment.
    """
    by_env: dict[str, list[RunRecord]] = {}
    for run in found:
        by_env.setdefault(str(_setting(run.config).get("env.name")), []).append(run)
    settings = {env: [_setting(r.config) for r in runs] for env, runs in by_env.items()}
    parts = [f"{part}.name" for part in PARTS if part != "env"]
    names = [
        n for n in parts if any(_differing(each, [n]) for each in settings.values())
    ]
    names = names or ["encoding.name", "strategy.name"]
    groups: dict[str, dict[str, list[RunRecord]]] = {}
    for env, runs in by_env.items():
        for run, setting in zip(runs, settings[env], strict=True):
            options = [
                option
                for each in settings.values()
                for option in _differing(_alike(each, setting, names))
            ]
            label = _label(setting, names, list(dict.fromkeys(options)))
            groups.setdefault(env, {}).setdefault(label, []).append(run)
    return groups


def _alike(
    settings: Sequence[Mapping], setting: Mapping, names: Sequence[str]
) -> list[Mapping]:
    """Return the settings that have the same `names` as `setting`."""
    return [s for s in settings if all(s.get(n) == setting.get(n) for n in names)]


def _label(setting: Mapping, names: Sequence[str], options: Sequence[str]) -> str:
    words = [str(setting.get(name)) for name in names]
    return ", ".join(
        [*words, *(f"{option} {setting.get(option)}" for option in options)]
    )


def _setting(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that define the search, without its seed, by dotted name."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if group_of(key) != "search" or key == "seed":
            continue
        if key in PARTS:
            value = value if isinstance(value, Mapping) else {"name": value}
            found |= {f"{key}.{option}": v for option, v in value.items()}
        else:
            found[key] = value
    return found


def _differing(
    settings: Sequence[Mapping], keys: Sequence[str] | None = None
) -> list[str]:
    """Return which `keys`, by default all, differ among the settings."""
    keys = list(dict.fromkeys(k for s in settings for k in s)) if keys is None else keys
    return [key for key in keys if len({repr(s.get(key)) for s in settings}) > 1]


def one(run: RunRecord, key: str, x: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of a run's curve that have a value."""
    values = run.column(key)
    known = np.isfinite(values)
    return run.column(x)[known], values[known]


def several(found: Sequence[RunRecord], key: str, x: str) -> Curve | None:
    """Return the mean over runs, with a band from the lowest to the highest of them.

    It ends with the shortest run: beyond, it would be a mean of others. Where runs were
    not measured at the same points, they are interpolated. None if one of the runs has
    no such metric.
    """
    points = [one(run, key, x) for run in found]
    if not all(len(xs) for xs, _ in points):
        return None
    first = max(xs[0] for xs, _ in points)
    last = min(xs[-1] for xs, _ in points)
    if first > last:
        return None
    own = points[0][0]
    grid = own[(own >= first) & (own <= last)]
    if x != "generation" and len(found) > 1:
        grid = np.linspace(first, last, _POINTS)
    values = np.stack([np.interp(grid, xs, ys) for xs, ys in points])
    return Curve(grid, values.mean(0), values.min(0), values.max(0))


def describe(run: RunRecord) -> str:
    """Return a short description of a run."""
    setting = _setting(run.config)
    names = (setting.get(f"{part}.name") for part in ("env", "encoding", "strategy"))
    return " · ".join(str(name) for name in names)
