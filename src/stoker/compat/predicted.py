"""What ``predict`` returns, of which parts of one value are numbers: ``float(model.predict(x))``, ``'%d' % predicted[0]``.

Numpy took every array of one value for a number when old scripts were written; now it takes only those without axes.

Rules: but for that these are numpy's arrays; what has no axes is a number of numpy's, and what is pickled is an array of numpy's own.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


class Predicted(np.ndarray):
    """An array whose parts of one value are numbers, whatever their shape."""

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if array.ndim == 0 else array.view(Predicted)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.view(np.ndarray).__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return repr(self.view(np.ndarray))


def as_numbers(predicted: Any) -> Any:
    """Predictions of a model, each array of which is such a one."""
    return keras.tree.map_structure(lambda part: part.view(Predicted) if type(part) is np.ndarray else part, predicted)
