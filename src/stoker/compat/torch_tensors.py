"""Operators on PyTorch's tensors as scripts for Keras wrote them: ``p -= 1`` makes a new tensor, numpy's arrays may stand on either side.

On TensorFlow and Theano ``p -= 1`` bound the name to a new tensor. On PyTorch it changes the tensor that others hold: what metrics see,
the batch itself, or what the gradient needs. And PyTorch refuses ``array * tensor``.

Rules: operators change only for code that belongs neither to a package nor to stoker; an array becomes a tensor of the other's dtype.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras.src.trainers.compile_utils import CompileMetrics  # has no public name

from stoker.compat.patching import wrap
from stoker.errors import is_of_stoker

IN_PLACE = {
    "__iadd__": "__add__", "__isub__": "__sub__", "__imul__": "__mul__", "__itruediv__": "__truediv__", "__ipow__": "__pow__",
    "__ifloordiv__": "__floordiv__", "__imod__": "__mod__",
}
"""Operators that change their left side -> those that make a new tensor."""

BOTH_SIDES = (
    "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__", "__pow__", "__rpow__",
    "__gt__", "__ge__", "__lt__", "__le__", "__eq__", "__ne__", "__matmul__", "__rmatmul__",
)
"""Operators that take arrays."""


def complete() -> None:
    """Change the operators, where tensors are PyTorch's."""
    if keras.config.backend() != "torch":
        return
    import torch

    for name in BOTH_SIDES:
        setattr(torch.Tensor, name, _with_arrays(getattr(torch.Tensor, name)))
    for name, plain in IN_PLACE.items():
        setattr(torch.Tensor, name, _out_of_place(plain, getattr(torch.Tensor, name)))


    wrap(CompileMetrics, "update_state", _of_tensors)


def _of_tensors(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keras hands a batch's own arrays to metrics, which then could change them."""

    def update_state(self: Any, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        tensors = keras.tree.map_structure(lambda leaf: keras.ops.convert_to_tensor(leaf) if isinstance(leaf, np.ndarray) else leaf, y_true)
        return original(self, tensors, y_pred, sample_weight=sample_weight)

    return update_state


def _with_arrays(original: Callable[..., Any]) -> Callable[..., Any]:
    def operate(self: Any, other: Any, *others: Any) -> Any:
        return original(self, _as_tensor(other, self) if isinstance(other, np.ndarray) else other, *others)

    return operate


def _out_of_place(plain: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def operate(self: Any, other: Any) -> Any:
        if _is_of_script(sys._getframe(1).f_code.co_filename):
            return getattr(self, plain)(other)
        return original(self, other)

    return operate


def _as_tensor(array: Any, beside: Any) -> Any:
    import torch

    made = torch.as_tensor(array, device=beside.device)
    return made.to(beside.dtype) if beside.dtype.is_floating_point and made.dtype.is_floating_point else made


def _is_of_script(filename: str) -> bool:
    is_installed = "site-packages" in filename or "dist-packages" in filename
    return not is_installed and not filename.startswith("<") and not is_of_stoker(filename)
