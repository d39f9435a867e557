"""Convolutions, pooling, padding and resizing of ``keras.backend``.

Rules: data formats and paddings go by Keras 2's words, and by Keras 1's ``dim_ordering`` and ``border_mode``; a transposed convolution
whose shape is not the one asked for is an error, never another shape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from stoker.compat.spelling import translate

FORMATS = {"tf": "channels_last", "th": "channels_first", "default": None}
OLD = {
    "border_mode": "padding", "dim_ordering": ("data_format", lambda value: FORMATS.get(value, value)), "image_shape": None,
    "filter_shape": None, "filter_dilation": "dilation_rate",
}


def _by_old_words(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        translate(options, OLD)
        return function(*arguments, **options)

    return call


def conv1d(x: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None, dilation_rate: Any = 1) -> Any:
    """Convolution over the steps of ``(batch, steps, values)``; ``causal`` looks at no later step."""
    if padding == "causal":
        x = ops.pad(x, ((0, 0), (dilation_rate * (kernel.shape[0] - 1), 0), (0, 0)))
        padding = "valid"
    return ops.conv(x, kernel, strides=strides, padding=padding, data_format=data_format, dilation_rate=dilation_rate)


def conv2d(x: Any, kernel: Any, strides: Any = (1, 1), padding: str = "valid", data_format: Any = None, dilation_rate: Any = (1, 1)) -> Any:
    """Convolution over two axes."""
    return ops.conv(x, kernel, strides=strides, padding=padding, data_format=data_format, dilation_rate=dilation_rate)


def conv3d(
    x: Any, kernel: Any, strides: Any = (1, 1, 1), padding: str = "valid", data_format: Any = None, dilation_rate: Any = (1, 1, 1)
) -> Any:
    """Convolution over three axes."""
    return ops.conv(x, kernel, strides=strides, padding=padding, data_format=data_format, dilation_rate=dilation_rate)


def conv2d_transpose(
    x: Any, kernel: Any, output_shape: Any, strides: Any = (1, 1), padding: str = "valid", data_format: Any = None, **options: Any
) -> Any:
    """The transpose of a convolution over two axes."""
    return _transposed(x, kernel, output_shape, {"strides": strides, "padding": padding, "data_format": data_format, **options})


def conv3d_transpose(
    x: Any, kernel: Any, output_shape: Any, strides: Any = (1, 1, 1), padding: str = "valid", data_format: Any = None, **options: Any
) -> Any:
    """The transpose of a convolution over three axes."""
    return _transposed(x, kernel, output_shape, {"strides": strides, "padding": padding, "data_format": data_format, **options})


def _transposed(x: Any, kernel: Any, output_shape: Any, options: dict[str, Any]) -> Any:
    made = ops.conv_transpose(x, kernel, **options)
    wanted = [length for length in tuple(output_shape)[1:] if isinstance(length, int)]
    if len(wanted) == len(made.shape) - 1 and wanted != list(made.shape[1:]):
        raise ValueError(f"this transposed convolution gives {tuple(made.shape[1:])}, not {tuple(wanted)}: use keras.ops.conv_transpose "
                         "with output_padding")
    return made


def depthwise_conv2d(
    x: Any, depthwise_kernel: Any, strides: Any = (1, 1), padding: str = "valid", data_format: Any = None, dilation_rate: Any = (1, 1)
) -> Any:
    """A convolution of each channel by itself."""
    return ops.depthwise_conv(x, depthwise_kernel, strides=_one(strides), padding=padding, data_format=data_format,
                              dilation_rate=dilation_rate)


def separable_conv2d(
    x: Any, depthwise_kernel: Any, pointwise_kernel: Any, strides: Any = (1, 1), padding: str = "valid", data_format: Any = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """A convolution of each channel by itself, then one over the channels."""
    return ops.separable_conv(x, depthwise_kernel, pointwise_kernel, strides=_one(strides), padding=padding, data_format=data_format,
                              dilation_rate=dilation_rate)


def _one(strides: Any) -> Any:
    """Strides as the number they are, which every framework takes."""
    return strides[0] if isinstance(strides, list | tuple) and len(set(strides)) == 1 else strides


def pool2d(
    x: Any, pool_size: Any, strides: Any = (1, 1), padding: str = "valid", data_format: str | None = None, pool_mode: str = "max"
) -> Any:
    """Pooling over two axes."""
    return _pooled(x, pool_size, pool_mode, {"strides": strides, "padding": padding, "data_format": data_format})


def pool3d(
    x: Any, pool_size: Any, strides: Any = (1, 1, 1), padding: str = "valid", data_format: str | None = None, pool_mode: str = "max"
) -> Any:
    """Pooling over three axes."""
    return _pooled(x, pool_size, pool_mode, {"strides": strides, "padding": padding, "data_format": data_format})


def _pooled(x: Any, pool_size: Any, pool_mode: str, options: dict[str, Any]) -> Any:
    pool = ops.max_pool if pool_mode == "max" else ops.average_pool
    return pool(x, pool_size, **options)


def resize_images(x: Any, height_factor: int, width_factor: int, data_format: str, interpolation: str = "nearest") -> Any:
    """Images made larger by whole factors."""
    rows, columns = (2, 3) if data_format == "channels_first" else (1, 2)
    if interpolation == "nearest":
        return ops.repeat(ops.repeat(x, height_factor, axis=rows), width_factor, axis=columns)
    size = (x.shape[rows] * height_factor, x.shape[columns] * width_factor)
    return ops.image.resize(x, size, interpolation=interpolation, data_format=data_format)


def resize_volumes(x: Any, depth_factor: int, height_factor: int, width_factor: int, data_format: str) -> Any:
    """Volumes made larger by whole factors."""
    first = 2 if data_format == "channels_first" else 1
    for place, factor in enumerate((depth_factor, height_factor, width_factor)):
        x = ops.repeat(x, factor, axis=first + place)
    return x


def spatial_2d_padding(x: Any, padding: Any = ((1, 1), (1, 1)), data_format: str | None = None) -> Any:
    """Zeros around images."""
    return _padded(x, padding, data_format)


def spatial_3d_padding(x: Any, padding: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None) -> Any:
    """Zeros around volumes."""
    return _padded(x, padding, data_format)


def temporal_padding(x: Any, padding: Any = (1, 1)) -> Any:
    """Zeros before and after the steps of ``(batch, steps, values)``."""
    return ops.pad(x, ((0, 0), tuple(padding), (0, 0)))


def _padded(x: Any, padding: Any, data_format: str | None) -> Any:
    pairs = tuple(tuple(pair) if isinstance(pair, list | tuple) else (pair, pair) for pair in padding)
    if (data_format or keras.config.image_data_format()) == "channels_first":
        return ops.pad(x, ((0, 0), (0, 0), *pairs))
    return ops.pad(x, ((0, 0), *pairs, (0, 0)))


OWN = (
    conv1d, conv2d, conv3d, conv2d_transpose, conv3d_transpose, depthwise_conv2d, separable_conv2d, pool2d, pool3d, resize_images,
    resize_volumes, spatial_2d_padding, spatial_3d_padding, temporal_padding,
)


def functions() -> dict[str, Any]:
    """Every function by its old name."""
    return {function.__name__: _by_old_words(function) for function in OWN}
