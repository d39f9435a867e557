"""How long the workers of this process waited for a core, as the system counts it.

A thread that is made to wait for a core looks, by wall time and CPU time alone, like one that waits for a disk. Linux keeps the two
apart for each thread (``schedstat``): time that it ran, and time in which it was ready to run and did not.

Rules: reads and never fails; where the system does not tell, there are no workers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
Times = dict[int, tuple[float, float]]
"""By number of the thread: seconds that it ran, and that it waited for a core."""


def worker_times() -> Times:
    """Of every worker: threads of this process, and processes that the calling thread has had forked."""
    found = {number: _times(number) for number in (*_threads(), *_processes())}
    return {number: times for number, times in found.items() if times is not None}


def since(before: Times, now: Times) -> tuple[float, float]:
    """Seconds that the workers ran and that they waited for a core, between two looks; of new ones all that they did."""
    pairs = [(times, before.get(number, (0.0, 0.0))) for number, times in now.items()]
    return sum(max(0.0, new[0] - old[0]) for new, old in pairs), sum(max(0.0, new[1] - old[1]) for new, old in pairs)


def _threads() -> list[int]:
    return [thread.native_id or 0 for thread in threading.enumerate() if thread.name.startswith("stoker-worker-")]


def _processes() -> Iterator[int]:
    for child in _children(threading.get_native_id()):
        if b"stoker.feed.server" in _read(PROC / str(child) / "cmdline"):
            yield from _children(child)


def _children(number: int) -> list[int]:
    """Processes that were started by one thread of this process, or by the first thread of another."""
    own = PROC / "self" / "task" / str(number) / "children"
    return [int(word) for word in (_read(own) or _read(PROC / str(number) / "task" / str(number) / "children")).split()]


def _times(number: int) -> tuple[float, float] | None:
    words = _read(PROC / str(number) / "schedstat").split()
    return (int(words[0]) / 1e9, int(words[1]) / 1e9) if len(words) > 1 else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
