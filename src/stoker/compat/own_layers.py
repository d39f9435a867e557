"""Layers that Keras 2 had and Keras 3 has not, where they are a line of arithmetic.

Rules: the names and arguments are Keras 2's; saved models hold them under these names.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras", name="ThresholdedReLU")
class ThresholdedReLU(keras.layers.Layer):
    """``x`` where it is larger than ``theta``, else 0.

    Args:
        theta: the threshold.
    """

    def __init__(self, theta: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.theta = float(theta)
        self.supports_masking = True

    def call(self, x: Any) -> Any:
        """``x`` above the threshold."""
        return ops.multiply(x, ops.cast(ops.greater(x, self.theta), x.dtype))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """See Keras."""
        return {**super().get_config(), "theta": self.theta}


def complete() -> None:
    """Put the layers into ``keras.layers``."""
    for kind in (ThresholdedReLU,):
        if not hasattr(keras.layers, kind.__name__):
            setattr(keras.layers, kind.__name__, kind)
