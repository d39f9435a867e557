"""Keeps Ctrl-C out of the few instructions in which the model's state is in no variable.

A compiled step consumes the old state and returns the new one. A KeyboardInterrupt between the return and the assignment would lose
both. While a call runs, SIGINT therefore only sets a flag inside those instructions, and is raised right after them.

Rules: installed on the main thread only, and put back after; what comes to pass is decided by the handler that was there before;
a second Ctrl-C is passed on at once.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class InterruptGuard:
    """Owns the SIGINT handler for the time of one call.

    ``busy`` is set by the session around a step; ``pending`` says that Ctrl-C came meanwhile.
    """

    def __init__(self) -> None:
        self.busy = False
        self.pending = False
        self._previous: Any = None
        self._is_installed = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.getsignal(signal.SIGINT)
            if callable(self._previous):
                signal.signal(signal.SIGINT, self._on_signal)
                self._is_installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_installed:
            self._is_installed = False
            signal.signal(signal.SIGINT, self._previous)
        if self.pending and error is None:
            self.strike()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.busy and not self.pending:
            self.pending = True
            return
        self.pending = False
        self._previous(number, frame)

    def strike(self) -> None:
        """Do what Ctrl-C asked for while it had to wait."""
        self.pending = False
        self._previous(signal.SIGINT, None)
