"""Sources with known content and known faults."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from stoker.rng import rng
from stoker.source.indexed import Sequence

HANG_S = 3600.0


class Counting(Sequence):
    """Batch ``i`` holds the number ``i``; says how often it was asked for each index, and how many passes ended.

    Args:
        length: batches in a pass.
        rows: rows in a batch.
    """

    def __init__(self, length: int, rows: int = 2) -> None:
        self.length = length
        self.rows = rows
        self.asked: list[int] = []
        self.passes_ended = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        self.asked.append(index)
        return np.full((self.rows, 1), index, np.float32), np.full((self.rows, 1), -index, np.float32)

    def on_epoch_end(self) -> None:
        """Count."""
        self.passes_ended += 1


class NoisyCounting(Counting):
    """``Counting`` with the item's own randomness added as targets."""

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        inputs, _ = super().__getitem__(index)
        return inputs, rng().random((self.rows, 1))


class FailingAt(Counting):
    """``Counting`` that raises ``error`` at one index."""

    def __init__(self, length: int, index: int, error: BaseException) -> None:
        super().__init__(length)
        self.index = index
        self.error = error

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index == self.index:
            raise self.error
        return super().__getitem__(index)


class StopsInside(FailingAt):
    """``Counting`` that raises ``StopIteration`` at one index."""

    def __init__(self, length: int, index: int) -> None:
        super().__init__(length, index, StopIteration("inside"))


class HangingAt(Counting):
    """``Counting`` that waits for ``release`` at one index."""

    def __init__(self, length: int, index: int, release: threading.Event | None = None) -> None:
        super().__init__(length)
        self.index = index
        self.release = release

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index == self.index:
            (self.release or threading.Event()).wait(HANG_S)
        return super().__getitem__(index)


class DyingAt(Counting):
    """``Counting`` whose worker process dies at one index, the first ``times`` times; marks each death by a file.

    Args:
        length: batches in a pass.
        index: where it dies.
        marks: a folder in which deaths are counted.
        times: how often it dies.
        signal_number: the signal that kills it; None exits with ``exit_code``.
        exit_code: the exit status where no signal is given.
    """

    def __init__(
        self, length: int, index: int, marks: str, times: int = 1, signal_number: int | None = signal.SIGKILL,
        exit_code: int = 1,
    ) -> None:
        super().__init__(length)
        self.index = index
        self.marks = marks
        self.times = times
        self.signal_number = signal_number
        self.exit_code = exit_code

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index == self.index and len(os.listdir(self.marks)) < self.times:
            with open(os.path.join(self.marks, str(os.getpid())), "w", encoding="utf-8"):
                pass
            self._die()
        return super().__getitem__(index)

    def _die(self) -> None:
        if self.signal_number is None:
            os._exit(self.exit_code)
        os.kill(os.getpid(), self.signal_number)
        threading.Event().wait(HANG_S)


def digest(batches: Iterable[Any]) -> str:
    """SHA-256 of a stream of batches: of their structure with its keys, and of every array's dtype, shape and bytes, in order.

    It is the same in every run; objects, which have no bytes of their own, count by their ``repr``.
    """
    sha = hashlib.sha256()
    for batch in batches:
        for part in _parts(batch):
            sha.update(part)
    return sha.hexdigest()


def _parts(item: Any) -> list[bytes]:
    """What an item is, piece by piece; the keys of a dict in an order that does not depend on when they were added."""
    if isinstance(item, dict):
        inner = [part for key in sorted(item, key=repr) for part in (repr(key).encode(), *_parts(item[key]))]
    elif isinstance(item, tuple | list):
        inner = [part for member in item for part in _parts(member)]
    else:
        array = np.asarray(item)
        data = repr(array.tolist()).encode() if array.dtype.hasobject else np.ascontiguousarray(array).tobytes()
        return [f"{array.dtype}{array.shape}".encode(), data]
    return [f"{type(item).__name__}{len(item)}".encode(), *inner]
