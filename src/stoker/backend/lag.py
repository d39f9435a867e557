"""Keeps a device that works by itself from falling behind by more steps than the feed reckons with.

A source may use its arrays again. The feed sees that only for so many batches (``feed/reuse.py``); with large ones those are few, and a
step that has not begun when its array comes round again would read what is not its own.

Rules: small batches are not waited for; the size of a batch is looked at once for each form.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from stoker.batch.form import Batch
from stoker.batch.memory import LARGE_BATCH_BYTES, STEPS_UNDER_WAY
from stoker.batch.tree import leaves


class Lag:
    """The steps of one call that are under way.

    Args:
        wait: waits for the result of a step.
    """

    def __init__(self, wait: Callable[[Any], object]) -> None:
        self._wait = wait
        self._form: object = None
        self._is_large = False
        self._under_way: deque[Any] = deque()

    def handed_over(self, batch: Batch, result: Any) -> None:
        """A step was handed over; wait for the one that is too many steps before it."""
        if batch.form is not self._form or batch.form is None:
            self._form = batch.form
            self._is_large = sum(array.nbytes for _, array in leaves(batch[:3])) >= LARGE_BATCH_BYTES
        if self._is_large:
            self._under_way.append(result)
            if len(self._under_way) > STEPS_UNDER_WAY:
                self._wait(self._under_way.popleft())
