"""Small functions that modules of Keras 1 and 2 had, by the module and the name under which scripts import them.

Rules: each is what it was; what would need more than a few lines is in a table of lost names.
"""

from __future__ import annotations

import inspect
import os
import re
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.utils import python_utils  # has no public name


def has_arg(fn: Any, name: str, accept_all: bool = False) -> bool:
    """Whether a function takes an argument by name."""
    parameters = inspect.signature(fn).parameters
    if name in parameters:
        return parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY
    return accept_all and any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())


def count_params(weights: Any) -> int:
    """How many values the weights of a list hold, each once."""
    return sum(int(np.prod(tuple(weight.shape))) for weight in {id(weight): weight for weight in weights}.values())


def unpack_singleton(x: Any) -> Any:
    """The one part of a list or tuple of one, or all."""
    return x[0] if isinstance(x, list | tuple) and len(x) == 1 else x


def deconv_length(dim_size: int | None, stride_size: int, kernel_size: int, padding: str, output_padding: Any = None) -> int | None:
    """Length of a transposed convolution's output."""
    if dim_size is None:
        return None
    if output_padding is None:
        made = dim_size * stride_size
        return made + max(kernel_size - stride_size, 0) if padding == "valid" else made
    pad = {"same": kernel_size // 2, "valid": 0, "full": kernel_size - 1}[padding]
    return (dim_size - 1) * stride_size + kernel_size - 2 * pad + int(output_padding)


def conv_input_length(output_length: int | None, filter_size: int, padding: str, stride: int) -> int | None:
    """Length of the input of a convolution."""
    if output_length is None:
        return None
    pad = {"same": filter_size // 2, "valid": 0, "full": filter_size - 1}[padding]
    return (output_length - 1) * stride - 2 * pad + filter_size


def normalize_padding(value: str) -> str:
    """A padding's name in small letters."""
    return value.lower()


def relu6(x: Any) -> Any:
    """Between 0 and 6."""
    return ops.relu6(x)


def to_tensor(x: Any, dtype: Any = None) -> Any:
    """A tensor of a value."""
    return ops.convert_to_tensor(x, dtype=dtype)


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """Whether values are equal."""
    return ops.cast(ops.equal(y_true, ops.cast(y_pred, y_true.dtype)), keras.config.floatx())


def _right(y_true: Any, y_pred: Any) -> Any:
    return ops.sum(ops.round(ops.clip(ops.multiply(y_true, y_pred), 0, 1)))


def precision(y_true: Any, y_pred: Any) -> Any:
    """Share of what was found that is right, in a batch, as Keras 1 computed it."""
    return _right(y_true, y_pred) / (ops.sum(ops.round(ops.clip(y_pred, 0, 1))) + keras.config.epsilon())


def recall(y_true: Any, y_pred: Any) -> Any:
    """Share of what is there that was found, in a batch, as Keras 1 computed it."""
    return _right(y_true, y_pred) / (ops.sum(ops.round(ops.clip(y_true, 0, 1))) + keras.config.epsilon())


def fbeta_score(y_true: Any, y_pred: Any, beta: float = 1) -> Any:
    """Harmonic mean of precision and recall, which counts ``beta`` times, in a batch, as Keras 1 computed it."""
    p, r = precision(y_true, y_pred), recall(y_true, y_pred)
    return (1 + beta**2) * (p * r) / (beta**2 * p + r + keras.config.epsilon())


def fmeasure(y_true: Any, y_pred: Any) -> Any:
    """``fbeta_score`` with beta 1."""
    return fbeta_score(y_true, y_pred, beta=1)


for _one in (precision, recall, fmeasure):
    keras.saving.register_keras_serializable("stoker")(_one)  # models that were compiled with their names are saved with them


def list_pictures(directory: str, ext: str = "jpg|jpeg|bmp|png|ppm") -> list[str]:
    """Paths of the images in a folder and in those within it."""
    return [os.path.join(root, name) for root, _, names in os.walk(directory) for name in names
            if re.match(rf"([\w]+\.(?:{ext}))", name)]


def transform_matrix_offset_center(matrix: Any, x: int, y: int) -> Any:
    """A transformation about an image's middle."""
    to_middle = np.array([[1, 0, x / 2 + 0.5], [0, 1, y / 2 + 0.5], [0, 0, 1]])
    back = np.array([[1, 0, -x / 2 - 0.5], [0, 1, -y / 2 - 0.5], [0, 0, 1]])
    return to_middle @ matrix @ back


def apply_transform(x: Any, transform_matrix: Any, channel_axis: int = 0, fill_mode: str = "nearest", cval: float = 0.0) -> Any:
    """An image transformed by a matrix."""
    from scipy import ndimage

    channels = np.rollaxis(x, channel_axis, 0)
    moved = [ndimage.affine_transform(channel, transform_matrix[:2, :2], transform_matrix[:2, 2], order=1, mode=fill_mode, cval=cval)
             for channel in channels]
    return np.rollaxis(np.stack(moved, axis=0), 0, channel_axis + 1)


def text_base_filter() -> str:
    """The characters that Keras 1 took out of texts."""
    return "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n"


def slice_arrays(X: Any, start: Any = None, stop: Any = None) -> Any:
    """Rows of an array, or of each of a list: from ``start`` to ``stop``, or those that ``start`` lists."""
    rows = np.asarray(start) if hasattr(start, "__len__") else slice(start, stop)
    return [x[rows] for x in X] if isinstance(X, list) else X[rows]


def normalize_data_format(value: str | None) -> str:
    """The format of images, by default Keras's."""
    return value or str(keras.config.image_data_format())


RESTORED: dict[str, dict[str, Any]] = {
    "keras.utils": {one.__name__: one for one in (
        has_arg, count_params, unpack_singleton, deconv_length, conv_input_length, normalize_padding, python_utils.func_dump,
        python_utils.func_load, slice_arrays)} | {"slice_X": slice_arrays},
    "keras.models": {"Input": keras.Input},
    "keras.backend": {"_to_tensor": to_tensor, "_EPSILON": 1e-7, "_FLOATX": "float32", "normalize_data_format": normalize_data_format},
    "keras.metrics": {one.__name__: one for one in (accuracy, precision, recall, fbeta_score, fmeasure)} | {
        "cosine_proximity": keras.losses.cosine_similarity},
    "keras.preprocessing.image": {one.__name__: one for one in (list_pictures, transform_matrix_offset_center, apply_transform)},
    "keras.src.legacy.preprocessing.text": {"base_filter": text_base_filter},
    "keras.applications.mobilenet": {"relu6": relu6, "DepthwiseConv2D": keras.layers.DepthwiseConv2D},
}
"""Module in which the names are looked up now -> name -> what it is."""
