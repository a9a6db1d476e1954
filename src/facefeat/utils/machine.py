"""What this machine gives to the process: its cores, and the user's folder for caches."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


@cache
def cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than its container's quota of time."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(_CGROUP, Path("/proc/self/cgroup"))
    return bound if quota is None else max(1, min(bound, round(quota)))


@cache
def memory() -> int:
    """Bytes of this machine's memory; 0 where that is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 0


def _quota(root: Path, own: Path) -> float | None:
    """Cores' worth of time that Linux' control groups allow, the least of this process' group and those above it."""
    found: list[float] = []
    try:
        groups = [line.split(":", 2) for line in own.read_text("utf-8").splitlines()]
    except OSError:
        return None
    for _, controllers, path in groups:
        base = root / "cpu" if "cpu" in controllers.split(",") else root  # version 1, or 2
        place = Path(path.lstrip("/"))
        for group in (base / place, *(base / p for p in place.parents)):  # in a container its own group is the root
            try:
                if base == root:
                    limit, period = (group / "cpu.max").read_text("utf-8").split()
                else:
                    limit = (group / "cpu.cfs_quota_us").read_text("utf-8")
                    period = (group / "cpu.cfs_period_us").read_text("utf-8")
                if float(limit) > 0:
                    found.append(float(limit) / float(period))
            except (OSError, ValueError, ZeroDivisionError):
                continue  # no such group here, or "max"
    return min(found, default=None)


def cache_dir() -> Path:
    """The folder for downloads and decoded crops: $FACEFEAT_CACHE, or the platform's own. Makes nothing."""
    if given := os.environ.get("FACEFEAT_CACHE"):
        return Path(os.path.expanduser(given))
    from platformdirs import user_cache_path

    return user_cache_path("facefeat", appauthor=False)
