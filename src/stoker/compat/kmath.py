"""The arithmetic of ``keras.backend``, from ``keras.ops``: names whose meaning or arguments differ, and the table of those that do not.

Rules: everything works on arrays, tensors and symbolic tensors alike, and is differentiated by the framework.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from stoker.compat.crossentropies import NAMES, in_order
from stoker.compat.kwords import WORDS, by_old_words
from stoker.compat.positions import through_tensorflow
from stoker.compat.tell import Teller

DIRECT = {
    "abs": "absolute", "sign": "sign", "square": "square", "log": "log", "exp": "exp", "sin": "sin", "cos": "cos", "round": "round",
    "pow": "power", "clip": "clip", "maximum": "maximum", "minimum": "minimum", "sum": "sum", "mean": "mean", "prod": "prod",
    "max": "max", "min": "min", "any": "any", "all": "all", "std": "std", "var": "var", "logsumexp": "logsumexp", "erf": "erf",
    "equal": "equal", "not_equal": "not_equal", "greater": "greater", "greater_equal": "greater_equal", "less": "less",
    "less_equal": "less_equal", "logical_and": "logical_and", "logical_or": "logical_or", "logical_not": "logical_not",
    "cast": "cast", "reshape": "reshape", "shape": "shape", "stack": "stack", "transpose": "transpose",
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


def expand_dims(x: Any, axis: int = -1, dim: int | None = None) -> Any:
    """Add an axis, by default the last; ``dim`` is Keras 1's word for ``axis``."""
    return ops.expand_dims(x, axis if dim is None else dim)


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


def _matmul(x: Any, y: Any, axes: Any = None) -> Any:
    """``batch_dot`` of tensors of the same four axes or more, of which all but the last two stand for each other."""
    last = len(x.shape) - 1
    first, second = (last, last - 1) if axes is None else (axes, axes) if isinstance(axes, int) else axes
    return ops.matmul(x if first == last else ops.swapaxes(x, -1, -2), ops.swapaxes(y, -1, -2) if second == last else y)


def _batch_dot(teller: Teller) -> Callable[..., Any]:
    @functools.wraps(batch_dot)
    def product(x: Any, y: Any, axes: Any = None) -> Any:
        if len(x.shape) != len(y.shape) or len(x.shape) < 4 or through_tensorflow():
            return batch_dot(x, y, axes)
        teller.tell("K.batch_dot of four axes", "it multiplies the last two axes for each of those before, as in Keras 2.2; in 2.3 it "
                    "went over one axis of each. Write keras.ops.matmul or keras.ops.einsum.")
        return _matmul(x, y, axes)

    return product


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


def ctc_batch_cost(y_true: Any, y_pred: Any, input_length: Any, label_length: Any) -> Any:
    """CTC loss of each row, of shape ``(batch, 1)``; the last class is the blank, ``y_pred`` are probabilities."""
    logits = ops.log(ops.add(y_pred, keras.config.epsilon()))
    lengths = [ops.reshape(ops.cast(length, "int32"), (-1,)) for length in (label_length, input_length)]
    loss = ops.ctc_loss(ops.cast(y_true, "int32"), logits, *lengths, mask_index=y_pred.shape[-1] - 1)
    return ops.expand_dims(loss, -1)


def ctc_decode(y_pred: Any, input_length: Any, greedy: bool = True, beam_width: int = 100, top_paths: int = 1) -> Any:
    """Labels of each row, padded with -1, and their scores; the last class is the blank, ``y_pred`` are probabilities."""
    logits = ops.log(ops.add(ops.convert_to_tensor(y_pred), keras.config.epsilon()))
    decoded, scores = ops.ctc_decode(
        logits, ops.reshape(ops.cast(input_length, "int32"), (-1,)), strategy="greedy" if greedy else "beam_search",
        beam_width=beam_width, top_paths=top_paths, merge_repeated=greedy, mask_index=logits.shape[-1] - 1)
    return [decoded[place] for place in range(top_paths)], scores


def dot(x: Any, y: Any) -> Any:
    """Product over the last axis of ``x`` and the last but one of ``y``."""
    ranks = len(x.shape), len(y.shape)
    return ops.dot(x, y) if max(ranks) < 3 else ops.tensordot(x, y, axes=[[ranks[0] - 1], [max(ranks[1] - 2, 0)]])


def slice(x: Any, start: Any, size: Any) -> Any:
    """A block of ``size``, from ``start``; a size of -1 is all that is left."""
    return x[tuple(builtins.slice(first, None if isinstance(length, int) and length == -1 else first + length)
                   for first, length in zip(start, size, strict=True))]


def identity(x: Any, name: str | None = None) -> Any:
    """The same values."""
    return ops.copy(x)


def batch_normalization(x: Any, mean: Any, var: Any, beta: Any, gamma: Any, axis: int = -1, epsilon: float = 1e-3) -> Any:
    """Shifted and scaled by the moments given, then by ``gamma`` and ``beta``."""
    scaled = ops.multiply(ops.subtract(x, mean), ops.rsqrt(ops.add(var, epsilon)))
    return ops.add(ops.multiply(scaled, 1.0 if gamma is None else gamma), 0.0 if beta is None else beta)


def normalize_batch_in_training(x: Any, gamma: Any, beta: Any, reduction_axes: Any, epsilon: float = 1e-3) -> Any:
    """Normalized by the moments of the batch; and those moments."""
    mean, var = ops.moments(x, axes=tuple(reduction_axes), keepdims=True)
    kept = [ops.squeeze(moment, axis=tuple(reduction_axes)) for moment in (mean, var)]
    return batch_normalization(x, mean, var, beta, gamma, epsilon=epsilon), *kept


def foldl(fn: Any, elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """Fold the rows of ``elems`` together, from the first on."""
    rows = list(range(elems.shape[0]))
    made = elems[rows.pop(0)] if initializer is None else initializer
    for row in rows:
        made = fn(made, elems[row])
    return made


def foldr(fn: Any, elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """Fold the rows of ``elems`` together, from the last on."""
    return foldl(fn, ops.flip(elems, axis=0), initializer)


OWN = (
    sqrt, argmax, argmin, concatenate, expand_dims, flatten, batch_flatten, batch_dot, repeat, gather, switch, cumsum, cumprod,
    l2_normalize, relu, hard_sigmoid, in_top_k, bias_add, ctc_batch_cost, ctc_decode, dot, slice, identity, batch_normalization,
    normalize_batch_in_training, foldl, foldr,
)


def functions(teller: Teller) -> dict[str, Any]:
    """Every function by its old name."""
    direct = {old: by_old_words(getattr(ops, new), WORDS.get(old, ("x",))) for old, new in DIRECT.items()}
    turned = {name: in_order(name, direct[name], teller) for name in NAMES}
    own = {function.__name__: function for function in OWN}
    return {**direct, **turned, **own, "batch_dot": _batch_dot(teller)}
