"""Collects the outputs of predict.

Rules: outputs are brought to the host a few batches after they were made, so that the device is not waited for at every batch, and
its memory does not grow with the number of batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from stoker.batch.tree import tuple_like

ON_DEVICE = 4
"""Batches whose outputs may still be on the device."""


class Outputs:
    """Outputs in the order of their batches."""

    def __init__(self) -> None:
        self.convert: Callable[[Any], Any] = lambda raw: raw
        self._waiting: deque[Any] = deque()
        self._done: list[Any] = []

    def add(self, raw: Any) -> None:
        """Take the outputs of the next batch."""
        self._waiting.append(raw)
        if len(self._waiting) > ON_DEVICE:
            self._done.append(self.convert(self._waiting.popleft()))

    def joined(self) -> Any:
        """All outputs, each leaf of shape ``(rows, ...)``; None where there was no batch."""
        while self._waiting:
            self._done.append(self.convert(self._waiting.popleft()))
        return _join(self._done) if self._done else None


def _join(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {key: _join([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple | list):
        values = [_join([part[place] for part in parts]) for place in range(len(first))]
        return values if isinstance(first, list) else tuple_like(first, values)
    return np.array(first) if len(parts) == 1 else np.concatenate(parts)
