"""The cores and the memory of the machine that this process may use.

Linux limits processes with control groups: a tree of directories, named differently in
versions 1 and 2. A container or a cluster job has a CPU quota and a memory limit in one
of the directories above its own. The machine's own numbers do not show them.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

_UNLIMITED = 2**60  # bytes: version 1 shows a huge number for no limit


def cores() -> int:
    """Return the number of cores that this process may keep busy, at least 1."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    return max(1, math.ceil(min(available, _quota())))


def memory() -> float:
    """Return the bytes of memory that this process may use; infinity for no limit."""
    limits = [
        *_numbers("memory", "memory.max"),
        *_numbers("memory", "memory.limit_in_bytes"),
    ]
    found = [each[0] for each in limits if len(each) == 1 and each[0] < _UNLIMITED]
    return min(found, default=math.inf)


def _quota() -> float:
    """Return the cores' worth of CPU time that this process may use."""
    shares = [*_numbers("cpu", "cpu.max")]  # microseconds in a period
    shares += [
        quota + period
        for quota, period in zip(
            _numbers("cpu", "cpu.cfs_quota_us"),
            _numbers("cpu", "cpu.cfs_period_us"),
            strict=False,
        )
    ]
    found = [each for each in shares if len(each) == 2 and min(each) > 0]
    return min((quota / period for quota, period in found), default=math.inf)


def _numbers(controller: str, name: str) -> Iterator[list[float]]:
    """Yield the numbers in the files `name` of this process' groups, the root first.

    The word ``max`` counts as infinity.
    """
    for folder in _folders(controller):
        try:
            words = (folder / name).read_text(encoding="utf-8").split()
            yield [math.inf if word == "max" else float(word) for word in words]
        except (OSError, ValueError):  # not on Linux, or another version
            continue


def _folders(controller: str) -> Iterator[Path]:
    """Yield the directories of this process' groups, whichever version there is."""
    for base, path in _memberships(controller):
        steps = Path(path.lstrip("/")).parts
        for depth in range(len(steps) + 1):
            yield base.joinpath(*steps[:depth])


def _memberships(controller: str) -> Iterator[tuple[Path, str]]:
    """Yield where a hierarchy lies, and this process' path in it."""
    try:
        lines = MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, names, path = line.split(":", 2)
        if number == "0":
            yield ROOT, path
        elif controller in names.split(","):
            yield ROOT / controller, path
