"""One line an epoch: for verbose=2, and wherever the output is no terminal.

Rules: no control characters; output that cannot be written never ends a training.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any, TextIO

from stoker.history import Phase, ReadLogs
from stoker.machine import usable_cores
from stoker.reporting.text import UNENDED, Told, epoch_line, writable

TITLES = {"evaluate": "Evaluate", "predict": "Predict"}


def title_of(phase: Phase, epoch: int, epochs: int) -> str:
    """What a run of batches is called: an epoch of so many, of which its validation is a part, or the call."""
    return TITLES.get(phase) or f"Epoch {epoch + 1}/{epochs}"


class Lines:
    """A reporter that writes a line for each epoch.

    Args:
        stream: where to; None, as ``sys.stdout`` is in a program without one, for nowhere.
        clock: seconds, monotonic.
    """

    def __init__(self, stream: TextIO | None, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._epochs = 0
        self._began_s = clock()
        self._steps = 0
        self._phase: Phase = "train"
        self._next_stall_s = 0.0
        self._title = ""
        self._unended_at = math.inf
        self._told = Told(usable_cores())

    def train_begin(self, epochs: int, initial_epoch: int, steps: int | None) -> None:
        self._epochs = epochs

    def epoch_begin(self, epoch: int, steps: int | None, phase: Phase, look: Callable[[], Any] | None = None) -> None:
        self._phase = phase
        self._title = title_of(phase, epoch, self._epochs)
        self._unended_at = UNENDED - 1 if steps is None else math.inf
        if phase != "validate":
            self._began_s = self._clock()
            self._steps = 0

    def batch_end(self, step: int, read_logs: ReadLogs) -> None:
        self._next_stall_s = 0.0
        if self._phase != "validate":
            self._steps = step + 1
        if step >= self._unended_at:
            self._unended_at = math.inf
            self._write(self._told.unended(self._title, self._phase))

    def stalled(self, text: str, waited_s: float) -> None:
        if waited_s >= self._next_stall_s:
            self._write(f"stoker: {text}")
            self._next_stall_s = 2 * waited_s

    def epoch_end(self, epoch: int, logs: dict[str, float], figures: Any, reason: str | None) -> None:
        if self._phase == "validate":
            self._phase = "train"
            return
        self._write(epoch_line(self._title, self._steps, self._clock() - self._began_s, logs, figures, reason))
        self._write(self._told.after_epoch(figures, self._epochs - epoch - 1))

    def close(self) -> None:
        self._write(self._told.at_end())

    def _write(self, line: str) -> None:
        if self._stream is None or not line:
            return
        with contextlib.suppress(OSError, ValueError, AttributeError):  # what stands for sys.stdout may be no more than a method write
            self._stream.write(writable(line, getattr(self._stream, "encoding", None)) + "\n")
            self._stream.flush()
