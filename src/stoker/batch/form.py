"""The one reader of the tuples, lists and dicts that users yield.

A batch is ``(inputs, targets)`` or ``(inputs, targets, sample_weights)``, a tuple or a list; inputs and targets are arrays, lists or
tuples of arrays, or dicts of arrays. For predict it is bare inputs, ``(inputs,)``, or a tuple whose targets are ignored; a list is
then several inputs.

Rules: nothing is known of the model here; what comes out holds numpy arrays with a first axis of one common length; a list of
numbers is one array, a list with an array in it is a list of arrays; arrays are never copied where they need not be.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from stoker.batch.tree import leaves
from stoker.errors import BatchError

FORM = "(inputs, targets) or (inputs, targets, sample_weights), a tuple or a list"
PREDICT_FORM = "inputs, (inputs,), or a tuple that begins with the inputs"
_REMEDY = "Yield (inputs, targets)."


class Batch(NamedTuple):
    """One batch, read.

    Args:
        inputs: array of shape ``(batch, ...)``, or a list, tuple or dict of such.
        targets: the same, or None.
        weights: None, array of shape ``(batch, ...)``, or a list or dict of such and None.
        size: the common length of the first axis.
        form: batches that share this very object have the same structure, shapes and dtypes; None where that is not known.
    """

    inputs: Any
    targets: Any
    weights: Any
    size: int
    form: object = None


def to_batch(item: Any, where: str = "", *, predict: bool = False) -> Batch:
    """Read what a source yielded.

    Args:
        item: what the user's code made.
        where: the place for messages, such as ``batch 7``.
        predict: read it as input for predict: targets and weights are not looked at.

    Returns:
        The batch, with numpy arrays in the same tuples, lists and dicts.

    Raises:
        BatchError: the form is wrong, an array is ragged, lengths differ, or there are no rows.
    """
    inputs, targets, weights = split_for_predict(item, where) if predict else split(item, where)
    batch_inputs = to_arrays(inputs, "inputs", where)
    batch_targets = to_arrays(targets, "targets", where)
    batch_weights = to_arrays(weights, "sample_weights", where)
    return Batch(batch_inputs, batch_targets, batch_weights, common_length(batch_inputs, batch_targets, batch_weights, where))


def split(item: Any, where: str) -> tuple[Any, Any, Any]:
    """Inputs, targets and sample weights of an item for fit or evaluate; missing weights are None."""
    if isinstance(item, tuple | list) and len(item) in (2, 3):
        inputs, targets, *rest = item
        if inputs is not None:
            return inputs, targets, rest[0] if rest else None
    got = f"a {type(item).__name__} of {len(item)}" if isinstance(item, tuple | list) else describe(item)
    remedy = "Yield (inputs, targets); whole arrays are passed as a tuple, (x, y)." if hasattr(item, "shape") else _REMEDY
    raise BatchError("a batch has the wrong form", got=got, expected=FORM, where=where, remedy=remedy)


def split_for_predict(item: Any, where: str) -> tuple[Any, None, None]:
    """Inputs of an item for predict."""
    inputs = item[0] if isinstance(item, tuple) and 1 <= len(item) <= 3 else item
    if inputs is None or isinstance(inputs, str | bytes) or (isinstance(item, tuple) and not 1 <= len(item) <= 3):
        got = f"a tuple of {len(item)}" if isinstance(item, tuple) else describe(item)
        raise BatchError("a batch has the wrong form", got=got, expected=PREDICT_FORM, where=where, remedy="Yield the inputs.")
    return inputs, None, None


def to_arrays(part: Any, path: str, where: str) -> Any:
    """The same part with numpy arrays for leaves; lists of numbers become arrays."""
    if part is None:
        return None
    if isinstance(part, dict):
        return {key: to_arrays(value, f"{path}[{key!r}]", where) for key, value in part.items()}
    if isinstance(part, tuple | list) and _holds_arrays(part):
        made = [to_arrays(value, f"{path}[{number}]", where) for number, value in enumerate(part)]
        return made if isinstance(part, list) else tuple(made)
    return to_array(part, path, where)


def _holds_arrays(part: Any) -> bool:
    """Whether a list is a list of arrays rather than the rows of one array.

    Rows may be lists of numbers; anything that has rows of its own (an array, a DataFrame, a tensor) makes it a list of arrays.
    """
    return any(value is None or isinstance(value, dict) or getattr(value, "ndim", 0) > 0 for value in part)


def to_array(value: Any, path: str, where: str) -> NDArray[Any]:
    """One numpy array of shape ``(batch, ...)`` of anything numpy understands.

    Raises:
        BatchError: a scalar, text, a ragged list, or an object numpy cannot read.
    """
    if isinstance(value, str | bytes):
        _refuse_leaf(value, path, where)
    array = value if type(value) is np.ndarray else _read(value, path, where)
    if array.dtype.kind == "O":
        array = _from_objects(array, path, where)
    if array.ndim == 0:
        _refuse_leaf(value, path, where)
    return array


def _read(value: Any, path: str, where: str) -> NDArray[Any]:
    if hasattr(value, "toarray"):
        value = value.toarray()
    elif hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype).removeprefix("torch.").startswith(("bfloat", "float8")):
            value = value.float()  # numpy has no such dtypes
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise _ragged(path, where, str(error)) from error


def _from_objects(array: NDArray[Any], path: str, where: str) -> NDArray[Any]:
    """An array of Python objects as one of numbers or text: mixed DataFrames, rows of equal arrays."""
    if array.ndim == 0:
        raise BatchError("a leaf is no array", got=describe(array.item()), expected="an array of shape (batch, ...)",
                         where=_place(path, where), remedy="Yield numpy arrays.")
    try:
        made = np.asarray([np.asarray(row) for row in array])
    except (ValueError, TypeError) as error:
        raise _ragged(path, where, "rows of different shapes") from error
    if made.dtype.kind != "O":
        return made
    if all(isinstance(value, str | bytes) for value in array.flat):
        return array
    try:
        return array.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise _ragged(path, where, f"Python objects such as {describe(array.flat[0])}") from error


def _ragged(path: str, where: str, got: str) -> BatchError:
    return BatchError("an array is ragged", got=got, expected="rows of one shape and of numbers", where=_place(path, where),
                      remedy="Pad the rows of a batch to one length, or convert them with np.asarray.")


def _refuse_leaf(value: Any, path: str, where: str) -> NoReturn:
    raise BatchError("a leaf is no array", got=describe(value), expected="an array of shape (batch, ...)",
                     where=_place(path, where), remedy="Yield arrays whose first axis is the batch.")


def common_length(inputs: Any, targets: Any, weights: Any, where: str) -> int:
    """The length of the first axis, the same for each array of a batch.

    Raises:
        BatchError: lengths differ, there are no rows, or no arrays at all.
    """
    found = [*leaves(inputs, "inputs"), *leaves(targets, "targets"), *leaves(weights, "sample_weights")]
    lengths = {path: array.shape[0] for path, array in found}
    if len(set(lengths.values())) > 1:
        raise BatchError(
            "arrays of one batch differ in length", got=", ".join(f"{path}: {length}" for path, length in lengths.items()),
            expected="the same number of rows in each", where=where, remedy="Cut inputs and targets to the same rows.")
    size = next(iter(lengths.values()), 0)
    if size == 0:
        raise BatchError("a batch is empty", got=", ".join(f"{path}: 0 rows" for path in lengths) or "no arrays",
                         expected="at least one row", where=where, remedy="Leave empty batches out.")
    return int(size)


def describe(value: Any) -> str:
    """A value in a few words for a message: its type, and shape or text where it has one."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    if isinstance(value, tuple | list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return "None" if value is None else f"{type(value).__name__} {text if len(text) < 40 else text[:37] + '...'}"


def in_words(batch: Batch) -> str:
    """The arrays of a batch for a message: path, dtype and shape of each."""
    parts = ("inputs", batch.inputs), ("targets", batch.targets), ("sample_weights", batch.weights)
    found = [leaf for path, part in parts for leaf in leaves(part, path)]
    return ", ".join(f"{path} {getattr(array, 'dtype', '')} {tuple(getattr(array, 'shape', ()))}" for path, array in found)


def _place(path: str, where: str) -> str:
    return f"{path}, {where}" if where else path
