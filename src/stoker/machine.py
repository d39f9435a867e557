"""What this process may use of the machine: cores and memory, within the limits of its control group.

Rules: reads files of the system and never fails: what cannot be read is no limit. Control groups of both versions; elsewhere than on
Linux there are none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")


def usable_cores(groups: Path = GROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """How many cores this process may use, at least 1: its affinity, and the quota of its control group, rounded up.

    Args:
        groups: where control groups are mounted.
        own: the file that names the groups of this process.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    for folder in _folders(groups, own, "cpu"):
        quota, period = _quota(folder)
        if quota > 0 and period > 0:
            cores = min(cores, -(-quota // period))
    return max(1, cores)


def free_bytes(groups: Path = GROUPS, own: Path = Path("/proc/self/cgroup"), info: Path = Path("/proc/meminfo")) -> int | None:
    """Memory that this process may still take, in bytes: what the system has, and what its control group leaves; None if not known.

    Args:
        groups: as in ``usable_cores``.
        own: as in ``usable_cores``.
        info: the system's account of its memory.
    """
    rooms = [int(line.split()[1]) * 1024 for line in _text(info).splitlines() if line.startswith("MemAvailable:")]
    for folder in _folders(groups, own, "memory"):
        for most, now in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit, used = _text(folder / most), _text(folder / now)
            if limit.isdigit() and used.isdigit():
                rooms.append(max(0, int(limit) - int(used) + _cache(folder)))
    return min(rooms, default=None)


def _cache(folder: Path) -> int:
    """Bytes of file cache that a group gives up before it runs short."""
    for line in _text(folder / "memory.stat").splitlines():
        name, _, size = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(size)
    return 0


def _folders(groups: Path, own: Path, controller: str) -> Iterator[Path]:
    """The folders of the groups that this process is in, from its own up to the mount."""
    for line in _text(own).splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        root = groups / names if names else groups
        yield from (root / part for part in (path.strip("/"), *map(str, Path(path.strip("/")).parents)))


def _quota(folder: Path) -> tuple[int, int]:
    """CPU time and the period in which it may be used, both in microseconds; (0, 0) for no limit."""
    words = _text(folder / "cpu.max").split() or [_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")]
    return (int(words[0]), int(words[1])) if all(word.isdigit() for word in words) else (0, 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
