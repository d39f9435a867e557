"""The functions of ``keras.backend`` that make variables: ``variable``, ``zeros``, ``ones``, and their like.

Rules: what is made can be read and set by ``K.get_value`` and ``K.set_value``; it takes numbers, arrays, tensors and variables;
it is trained where a layer's lists name it, as in Keras 1 and 2.2, and in a script of TensorFlow's Keras wherever a layer has it.
"""

from __future__ import annotations

import importlib
from typing import Any

import keras
import numpy as np
from keras import ops

from stoker.compat.loose import Loose
from stoker.compat.positions import through_tensorflow
from stoker.compat.weights import leave


def functions(loose: Loose) -> dict[str, Any]:
    """Every function by its old name; the variables that they make are noted in ``loose``."""

    def variable(value: Any, dtype: str | None = None, name: str | None = None, constraint: Any = None) -> Any:
        """A variable that holds a value; within a loss or a metric, a tensor of it."""
        kind = dtype or keras.config.floatx()
        if not _in_call() and in_step():
            return ops.convert_to_tensor(value, dtype=kind)
        array = ops.convert_to_numpy(value) if ops.is_tensor(value) or isinstance(value, keras.Variable) else np.asarray(value)
        made = keras.Variable(array.astype(kind), dtype=kind, name=name)  # TensorFlow cannot make it trainable later
        made.constraint = constraint
        return loose.add(made if through_tensorflow() else leave(made))

    def zeros(shape: Any, dtype: str | None = None, name: str | None = None) -> Any:
        """A variable of zeros; within a compiled step, where the shape may be no numbers, a tensor."""
        return _filled(shape, dtype, name, 0.0)

    def ones(shape: Any, dtype: str | None = None, name: str | None = None) -> Any:
        """A variable of ones; within a compiled step, where the shape may be no numbers, a tensor."""
        return _filled(shape, dtype, name, 1.0)

    def _filled(shape: Any, dtype: str | None, name: str | None, value: float) -> Any:
        kind = dtype or keras.config.floatx()
        lengths = tuple(shape) if not hasattr(shape, "shape") else shape
        is_known = isinstance(lengths, tuple) and all(isinstance(length, int | np.integer) for length in lengths)
        if is_known and not in_step():
            return variable(np.full(lengths, value), kind, name)
        return ops.cast(ops.full(lengths, value), kind)

    return {"variable": variable, "zeros": zeros, "ones": ones, "zeros_like": zeros_like, "ones_like": ones_like}


def in_step() -> bool:
    """Whether a model's step, or a layer's call, is being computed or traced: what is made there is no variable of its own."""
    from keras.src.backend.common import stateless_scope

    return _in_call() or stateless_scope.in_stateless_scope() or _in_function()


def _in_call() -> bool:
    """Whether a layer is being called, and may be building itself."""
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute("current_call_ctx") is not None


def _in_function() -> bool:
    """Whether TensorFlow is tracing a function, in which a loss or a metric is computed outside of any layer."""
    return keras.config.backend() == "tensorflow" and bool(importlib.import_module("tensorflow").inside_function())


def zeros_like(x: Any, dtype: str | None = None, name: str | None = None) -> Any:
    """Zeros of the shape of ``x``."""
    return ops.zeros_like(_value(x), dtype=dtype)


def ones_like(x: Any, dtype: str | None = None, name: str | None = None) -> Any:
    """Ones of the shape of ``x``."""
    return ops.ones_like(_value(x), dtype=dtype)


def _value(x: Any) -> Any:
    return x.value if isinstance(x, keras.Variable) else x
