"""Number of CPUs that the process may use: its affinity and the quotas of its cgroups."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["affinity", "cgroup_quota"]


def affinity() -> int:
    """Number of CPUs that the process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def cgroup_quota(membership: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/sys/fs/cgroup")) -> float:
    """CPU quota of the cgroups of the process (v1 or v2) and their ancestors, in CPUs; infinite without a quota.

    A container often mounts its own cgroup as the root, where the path in `membership` does not exist: the root always
    counts.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not on Linux
        return math.inf
    return min((quota for line in lines for folder in _folders(line, mounts) for quota in _quotas(folder)), default=math.inf)


def _folders(line: str, mounts: Path) -> Iterator[Path]:
    """The folders of a line ``number:controllers:path``, from the cgroup up to the root; none without a CPU controller."""
    _, controllers, path = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return
    root = mounts / "cpu" if controllers else mounts
    names = [name for name in path.split("/") if name and name != ".."]
    yield from (root.joinpath(*names[:depth]) for depth in range(len(names), -1, -1))


def _quotas(folder: Path) -> Iterator[float]:
    """The quota of one cgroup, if it has one, in CPUs: microseconds of CPU time per period."""
    try:  # version 2
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:  # version 1
            quota, period = (folder / "cpu.cfs_quota_us").read_text(), (folder / "cpu.cfs_period_us").read_text()
        except OSError:
            return
    try:
        cpus = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return
    if cpus > 0:  # -1: none
        yield cpus
