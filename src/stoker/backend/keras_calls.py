"""The calls on a model that are under way: within one another, in callbacks, and beside each other, on several threads.

All of them use the metrics of the model, and on PyTorch its mode.

Rules: a call within another gives it its running metrics back when it ends; what a call on another thread needs is left alone, as far as
this one does without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import keras
import numpy as np


class Call:
    """A call on a model that is under way.

    Args:
        model: the model.
        others: the calls on it that are under way.
    """

    def __init__(self, model: Any, others: list[Call]) -> None:
        self.thread = get_ident()
        self.phase = ""
        self.is_nested = any(other.thread == self.thread for other in others)
        """Whether it runs within a callback of another."""
        self._model = model
        self._others = others
        self._kept: list[tuple[Any, Any]] | None = None

    def keep_metrics(self) -> None:
        """Keep the running metrics of another call, which this one is about to use."""
        if self._kept is None and any(other is not self and other.phase != "predict" for other in self._others):
            self._kept = [(variable, np.array(keras.ops.convert_to_numpy(variable.value))) for variable in self._model.metrics_variables]

    def give_back(self) -> None:
        """Put back what was kept."""
        for variable, value in self._kept or ():
            variable.assign(value)


class _Calls:
    """An attribute of the model, and nothing that Keras looks at."""

    def __init__(self) -> None:
        self.under_way: list[Call] = []


def _calls(model: Any) -> list[Call]:
    under_way: list[Call] = vars(model).setdefault("_stoker_calls", _Calls()).under_way
    return under_way


@contextmanager
def nesting(model: Any) -> Iterator[Call]:
    """Within a call: if another one on the same model is under way, give it its running metrics back.

    One on another thread goes on meanwhile: what its steps add to the metrics would be lost. So of that one they are kept only where this
    call uses them itself (``Call.keep_metrics``).
    """
    calls = _calls(model)
    call = Call(model, calls)
    if call.is_nested:
        call.keep_metrics()
    calls.append(call)
    try:
        yield call
    finally:
        calls.remove(call)
        if calls:  # else the other one has ended meanwhile
            call.give_back()


def begin_phase(model: Any, phase: str) -> None:
    """Say of the call on this thread which phase it begins, before anything of the model changes for that."""
    mine = [call for call in _calls(model) if call.thread == get_ident()]
    for call in mine[-1:]:
        call.phase = phase
        if phase != "predict":
            call.keep_metrics()


def trains_elsewhere(model: Any) -> bool:
    """Whether a call on another thread is training the model."""
    return any(call.phase == "train" and call.thread != get_ident() for call in _calls(model))
