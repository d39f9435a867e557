"""Keras 1's ``merge([a, b], mode='concat')`` and ``Model(input=, output=)``.

Rules: the modes that are layers in Keras 3 are translated; lambdas and shapes are an error that says what to write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from stoker.compat.lost import fail
from stoker.compat.patching import wrap
from stoker.compat.spelling import translate

MODES: dict[str, Callable[[int, Any], Any]] = {
    "sum": lambda axis, dot: layers.Add(), "mul": lambda axis, dot: layers.Multiply(), "ave": lambda axis, dot: layers.Average(),
    "max": lambda axis, dot: layers.Maximum(), "concat": lambda axis, dot: layers.Concatenate(axis=axis),
    "dot": lambda axis, dot: layers.Dot(axes=dot),
    "cos": lambda axis, dot: layers.Dot(axes=dot, normalize=True),
}


def merge(
    inputs: Any, mode: Any = "sum", concat_axis: int = -1, dot_axes: Any = -1, output_shape: Any = None, output_mask: Any = None,
    arguments: Any = None, name: str | None = None,
) -> Any:
    """Join tensors as Keras 1's function of this name did.

    Args:
        inputs: two tensors or more.
        mode: ``sum``, ``mul``, ``ave``, ``max``, ``concat``, ``dot`` or ``cos``.
        concat_axis: the axis of ``concat``.
        dot_axes: the axes of ``dot`` and ``cos``.
        output_shape: not needed any more.
        output_mask: not used.
        arguments: not used.
        name: the name of the layer.

    Raises:
        NotInKeras3: ``mode`` is a function.
    """
    if not isinstance(mode, str) or mode not in MODES:
        fail(f"merge(mode={mode!r})", "Write the function as a Lambda layer that takes the list of tensors.")
    layer = MODES[mode](concat_axis, dot_axes)
    if name is not None:
        layer._name = layer.name = name
    return layer(inputs)


def complete() -> None:
    """Put ``merge`` into ``keras.layers``, and the old arguments into ``Model``."""
    layers.merge = merge
    functional = type(keras.Model(*[keras.Input((1,))] * 2))
    wrap(keras.Model, "__new__", _renamed)
    for owner in (functional, keras.Model):
        wrap(owner, "__init__", _renamed)


def _renamed(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        if keras.Model in type(self).__mro__ or self is keras.Model:
            translate(options, {"input": "inputs", "output": "outputs"})
        return original(self, *arguments, **options)

    return call
