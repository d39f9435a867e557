"""What all workers are doing now: ``stoker.dump()``, and ``kill -USR1`` while a call runs.

Rules: the signal is listened to only during a call, on the main thread, and only where nobody else listens to it.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

from stoker.feed.overview import all_workers


def dump(file: TextIO | None = None) -> None:
    """Write what the calling thread and every worker of every open feed do: what each is making, for how long, and its Python stack.

    While ``fit``, ``evaluate`` or ``predict`` runs on the main thread, the signal ``SIGUSR1`` (``kill -USR1 PID``) does the same, unless
    something else listens to it, such as ``faulthandler.register``.

    Args:
        file: where to; by default ``sys.stderr``.
    """
    _write(sys._getframe(1), file)


def _write(frame: FrameType | None, file: TextIO | None) -> None:
    stream = sys.stderr if file is None else file
    stack = "".join(traceback.format_stack(frame)).rstrip()
    # there may be no stderr, or nobody who reads it; and a signal may come while this thread is writing there (RuntimeError)
    with contextlib.suppress(OSError, ValueError, AttributeError, RuntimeError):
        stream.write(f"stoker: thread {threading.current_thread().name}\n{stack}\n{all_workers()}\n")
        stream.flush()


@contextlib.contextmanager
def dump_on_signal() -> Iterator[None]:
    """Listen to ``SIGUSR1`` for the time of a call."""
    number = getattr(signal, "SIGUSR1", None)
    is_main = threading.current_thread() is threading.main_thread()
    if number is None or not is_main or signal.getsignal(number) is not signal.SIG_DFL or _is_caught(number):
        yield
        return

    def show(_: int, frame: FrameType | None) -> None:
        _write(frame, None)

    signal.signal(number, show)
    try:
        yield
    finally:
        if signal.getsignal(number) is show:  # a callback may have begun to listen meanwhile
            signal.signal(number, signal.SIG_DFL)


def _is_caught(number: int) -> bool:
    """Whether the process has a handler of which the module ``signal`` knows nothing, such as that of ``faulthandler.register``."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            name, _, mask = line.partition(":")
            if name == "SigCgt":
                return bool(int(mask, 16) >> (number - 1) & 1)
    return False
