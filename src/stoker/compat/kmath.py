"""The arithmetic of ``keras.backend``, from ``keras.ops``: names whose meaning or arguments differ, and the table of those that do not.

Rules: everything works on arrays, tensors and symbolic tensors alike, and is differentiated by the framework.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

DIRECT = {
    "abs": "absolute", "sign": "sign", "square": "square", "log": "log", "exp": "exp", "sin": "sin", "cos": "cos", "round": "round",
    "pow": "power", "clip": "clip", "maximum": "maximum", "minimum": "minimum", "sum": "sum", "mean": "mean", "prod": "prod",
    "max": "max", "min": "min", "any": "any", "all": "all", "std": "std", "var": "var", "logsumexp": "logsumexp", "erf": "erf",
    "equal": "equal", "not_equal": "not_equal", "greater": "greater", "greater_equal": "greater_equal", "less": "less",
    "less_equal": "less_equal", "logical_and": "logical_and", "logical_or": "logical_or", "logical_not": "logical_not",
    "cast": "cast", "reshape": "reshape", "shape": "shape", "stack": "stack", "dot": "dot", "transpose": "transpose",
    "permute_dimensions": "transpose", "squeeze": "squeeze", "tile": "tile", "repeat_elements": "repeat", "reverse": "flip",
    "softmax": "softmax", "sigmoid": "sigmoid", "tanh": "tanh", "softplus": "softplus", "softsign": "softsign", "elu": "elu",
    "stop_gradient": "stop_gradient", "map_fn": "map", "one_hot": "one_hot", "is_tensor": "is_tensor",
    "binary_crossentropy": "binary_crossentropy", "categorical_crossentropy": "categorical_crossentropy",
    "sparse_categorical_crossentropy": "sparse_categorical_crossentropy",
}
"""Names of ``keras.backend`` whose arguments and meaning are those of a function of ``keras.ops``."""


def sqrt(x: Any) -> Any:
    """Square root; 0 for negative values."""
    return ops.sqrt(ops.maximum(x, 0))


def argmax(x: Any, axis: int = -1) -> Any:
    """Index of the largest value, by default over the last axis."""
    return ops.argmax(x, axis=axis)


def argmin(x: Any, axis: int = -1) -> Any:
    """Index of the smallest value, by default over the last axis."""
    return ops.argmin(x, axis=axis)


def concatenate(tensors: Any, axis: int = -1) -> Any:
    """Join, by default over the last axis."""
    return ops.concatenate(tensors, axis=axis)


def expand_dims(x: Any, axis: int = -1) -> Any:
    """Add an axis, by default the last."""
    return ops.expand_dims(x, axis)


def flatten(x: Any) -> Any:
    """One axis of everything."""
    return ops.reshape(x, (-1,))


def batch_flatten(x: Any) -> Any:
    """Array of shape ``(batch, ...)`` as ``(batch, values)``."""
    size = 1
    for length in ops.shape(x)[1:]:
        size = size * length
    return ops.reshape(x, (-1, size))


def batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    """Dot product of each row of a batch over one axis of each; of shape ``(batch, 1)`` where no other axis is left."""
    ranks = len(x.shape), len(y.shape)
    if axes is None:
        axes = (ranks[0] - 1, max(ranks[1] - 2, 1))
    pair = (axes, axes) if isinstance(axes, int) else tuple(axes)
    left, right = (["z", *letters[: rank - 1]] for rank, letters in zip(ranks, ("abcdefg", "hijlmno"), strict=True))
    left[pair[0]] = right[pair[1]] = "k"
    kept = [letter for letter in left[1:] + right[1:] if letter != "k"]
    result = ops.einsum(f"{''.join(left)},{''.join(right)}->z{''.join(kept)}", x, y)
    return result if kept else ops.expand_dims(result, -1)


def repeat(x: Any, n: int) -> Any:
    """Array of shape ``(batch, values)`` as ``(batch, n, values)``."""
    return ops.repeat(ops.expand_dims(x, 1), n, axis=1)


def gather(reference: Any, indices: Any) -> Any:
    """Rows of ``reference``."""
    return ops.take(reference, ops.cast(indices, "int32"), axis=0)


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """The one or the other, element by element; a condition of fewer axes holds for all that follow."""
    then, other = (part() if callable(part) else part for part in (then_expression, else_expression))
    condition = ops.cast(condition, "bool")
    for _ in range(len(getattr(then, "shape", ())) - len(condition.shape)):
        condition = ops.expand_dims(condition, -1)
    return ops.where(condition, then, other)


def cumsum(x: Any, axis: int = 0) -> Any:
    """Running sum over an axis."""
    return ops.cumsum(x, axis=axis)


def cumprod(x: Any, axis: int = 0) -> Any:
    """Running product over an axis."""
    return ops.cumprod(x, axis=axis)


def l2_normalize(x: Any, axis: Any = None) -> Any:
    """Scaled to length 1 over an axis."""
    return ops.multiply(x, ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12)))


def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """Rectified, with a slope below the threshold and a ceiling where they are given."""
    return keras.activations.relu(x, negative_slope=alpha, max_value=max_value, threshold=threshold)


def hard_sigmoid(x: Any) -> Any:
    """``0.2 x + 0.5`` within 0 and 1, as Keras 2 computed it; Keras 3's has another slope."""
    return ops.clip(ops.add(ops.multiply(x, 0.2), 0.5), 0.0, 1.0)


def in_top_k(predictions: Any, targets: Any, k: int) -> Any:
    """Whether the target is among the k largest predictions."""
    return ops.in_top_k(ops.cast(targets, "int32"), predictions, k)


def bias_add(x: Any, bias: Any, data_format: str | None = None) -> Any:
    """Add a bias to the channels."""
    if (data_format or keras.config.image_data_format()) == "channels_first" and len(x.shape) > 2:
        bias = ops.reshape(bias, (1, -1) + (1,) * (len(x.shape) - 2))
    return ops.add(x, bias)


def conv2d(
    x: Any, kernel: Any, strides: Any = (1, 1), padding: str = "valid", data_format: str | None = None, dilation_rate: Any = (1, 1)
) -> Any:
    """Convolution over two axes."""
    return ops.conv(x, kernel, strides=strides, padding=padding, data_format=data_format, dilation_rate=dilation_rate)


def pool2d(
    x: Any, pool_size: Any, strides: Any = (1, 1), padding: str = "valid", data_format: str | None = None, pool_mode: str = "max"
) -> Any:
    """Pooling over two axes."""
    pool = ops.max_pool if pool_mode == "max" else ops.average_pool
    return pool(x, pool_size, strides=strides, padding=padding, data_format=data_format)


def resize_images(x: Any, height_factor: int, width_factor: int, data_format: str, interpolation: str = "nearest") -> Any:
    """Images made larger by whole factors."""
    rows, columns = (2, 3) if data_format == "channels_first" else (1, 2)
    if interpolation == "nearest":
        return ops.repeat(ops.repeat(x, height_factor, axis=rows), width_factor, axis=columns)
    size = (x.shape[rows] * height_factor, x.shape[columns] * width_factor)
    return ops.image.resize(x, size, interpolation=interpolation, data_format=data_format)


def spatial_2d_padding(x: Any, padding: Any = ((1, 1), (1, 1)), data_format: str | None = None) -> Any:
    """Zeros around images."""
    if (data_format or keras.config.image_data_format()) == "channels_first":
        return ops.pad(x, ((0, 0), (0, 0), *padding))
    return ops.pad(x, ((0, 0), *padding, (0, 0)))


def temporal_padding(x: Any, padding: Any = (1, 1)) -> Any:
    """Zeros before and after the steps of ``(batch, steps, values)``."""
    return ops.pad(x, ((0, 0), tuple(padding), (0, 0)))


def ctc_batch_cost(y_true: Any, y_pred: Any, input_length: Any, label_length: Any) -> Any:
    """CTC loss of each row, of shape ``(batch, 1)``; the last class is the blank, ``y_pred`` are probabilities."""
    logits = ops.log(ops.add(y_pred, keras.config.epsilon()))
    lengths = [ops.reshape(ops.cast(length, "int32"), (-1,)) for length in (label_length, input_length)]
    loss = ops.ctc_loss(ops.cast(y_true, "int32"), logits, *lengths, mask_index=y_pred.shape[-1] - 1)
    return ops.expand_dims(loss, -1)


OWN = (
    sqrt, argmax, argmin, concatenate, expand_dims, flatten, batch_flatten, batch_dot, repeat, gather, switch, cumsum, cumprod,
    l2_normalize, relu, hard_sigmoid, in_top_k, bias_add, conv2d, pool2d, resize_images, spatial_2d_padding, temporal_padding,
    ctc_batch_cost,
)


def functions() -> dict[str, Any]:
    """Every function by its old name."""
    return {**{old: getattr(ops, new) for old, new in DIRECT.items()}, **{function.__name__: function for function in OWN}}
