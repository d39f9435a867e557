"""Targets as the script's own metrics knew them: of shape ``(batch, 1)`` where an array has one axis, and of the predictions' dtype.

Keras 3 gives such functions what the script passed, and ``p - t`` of shapes ``(batch, 1)`` and ``(batch,)`` would be ``(batch, batch)``.

Rules: Keras's own metrics, and losses, fit shapes themselves; a function sees another shape or dtype, and no other values.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isfunction
from typing import Any

import keras
from keras import ops

from stoker.compat.patching import wrap


def complete() -> None:
    """Let functions of the script's own see targets that fit the predictions."""
    wrap(keras.metrics.MeanMetricWrapper, "update_state", _fitting)


def _fitting(original: Callable[..., Any]) -> Callable[..., Any]:
    def update_state(self: Any, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if isfunction(self._fn) and not self._fn.__module__.startswith("keras."):
            y_true = ops.cast(fitted(y_true, y_pred), y_pred.dtype)
        return original(self, y_true, y_pred, sample_weight=sample_weight)

    return update_state


def fitted(y_true: Any, y_pred: Any) -> Any:
    """Targets with or without a last axis of 1, as the predictions have it.

    Args:
        y_true: the targets, of shape ``(batch, ...)``.
        y_pred: the predictions, of shape ``(batch, ...)``.

    Returns:
        The targets; where they have one axis and the predictions have two, of shape ``(batch, 1)``.
    """
    more = len(y_pred.shape) - len(y_true.shape)
    if more == 1 and (len(y_true.shape) == 1 or y_pred.shape[-1] == 1):
        return ops.expand_dims(y_true, -1)
    return ops.squeeze(y_true, -1) if more == -1 and y_true.shape[-1] == 1 else y_true
