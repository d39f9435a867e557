"""The reader of what users yield, without any model."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from stoker.batch.form import to_batch
from stoker.errors import BatchError

X = np.arange(12, dtype="float32").reshape(4, 3)
Y = np.arange(4, dtype="float32")


class Tensor:
    """A tensor of some framework: an array once it is detached and on the host."""

    ndim = 2
    shape = (4, 3)

    def detach(self):
        return self

    def cpu(self):
        return X


@pytest.mark.parametrize("item", [(X, Y), [X, Y], (X, Y, None), ([X], [Y]), (X.tolist(), Y.tolist()), [X.tolist(), list(Y)]])
def test_tuples_and_lists_of_two_or_three_are_batches(item):
    batch = to_batch(item)
    inputs = batch.inputs[0] if isinstance(batch.inputs, list) else batch.inputs
    np.testing.assert_array_equal(inputs, X)
    assert batch.weights is None and batch.size == 4


def test_arrays_are_not_copied():
    batch = to_batch((X, {"out": Y}, Y))
    assert batch.inputs is X and batch.targets["out"] is Y and batch.weights is Y


def test_anything_numpy_understands_is_an_array():
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [3, 4]})
    mixed = pandas.DataFrame({"a": [1.5, 2.0], "b": [True, False]})
    rows = pandas.Series([np.ones(3), np.zeros(3)])
    assert to_batch((frame, frame["b"])).inputs.shape == (2, 2)
    assert to_batch((mixed, [0, 1])).inputs.dtype == np.float64
    assert to_batch((rows, [True, False])).inputs.shape == (2, 3)
    assert to_batch((Tensor(), Y)).inputs is X


def test_weights_may_be_given_by_output_and_miss_for_some():
    batch = to_batch((X, {"a": Y, "b": Y}, {"a": Y, "b": None}))
    assert batch.weights["a"] is Y and batch.weights["b"] is None
    assert to_batch((X, [Y, Y], [None, Y])).weights[0] is None


@pytest.mark.parametrize(
    ("item", "got"),
    [(X, "ndarray of shape (4, 3)"), (3, "int 3"), (None, "None"), ("text", "str 'text'"), ((X,), "a tuple of 1"),
     ((X, Y, Y, Y), "a tuple of 4"), ({"a": X}, "a dict of 1"), ((None, Y), "a tuple of 2"), ([], "a list of 0")])
def test_what_is_no_batch_is_refused_with_its_index(item, got):
    with pytest.raises(BatchError) as caught:
        to_batch(item, "batch 7")
    assert caught.value.got == got and caught.value.where == "batch 7" and "(inputs, targets)" in caught.value.expected


def test_lengths_that_differ_are_listed_with_their_paths():
    with pytest.raises(BatchError) as caught:
        to_batch(({"a": X, "b": X[:2]}, [Y, Y[:3]]), "batch 2")
    assert caught.value.got == "inputs['a']: 4, inputs['b']: 2, targets[0]: 4, targets[1]: 3"


@pytest.mark.parametrize("item", [(X[:0], Y[:0]), ([], []), ({}, None)])
def test_an_empty_batch_is_refused(item):
    with pytest.raises(BatchError, match="empty"):
        to_batch(item)


@pytest.mark.parametrize(
    "ragged", [[[1, 2], [3]], np.array([[1, 2], [3]], dtype=object), np.array([{}, {}], dtype=object), pandas.Series([object()] * 2)])
def test_ragged_arrays_are_refused_with_their_path(ragged):
    with pytest.raises(BatchError) as caught:
        to_batch((ragged, [0, 1]), "batch 3")
    assert caught.value.where == "inputs, batch 3"


@pytest.mark.parametrize("leaf", [np.float32(1), "text", np.array(object(), dtype=object), {"a": 3}])
def test_leaves_that_are_no_arrays_are_refused(leaf):
    with pytest.raises(BatchError, match="no array"):
        to_batch((leaf, Y))


@pytest.mark.parametrize("item", [X, (X,), (X, Y), (X, Y, Y)])
def test_for_predict_targets_are_ignored(item):
    batch = to_batch(item, predict=True)
    assert batch.inputs is X and batch.targets is None and batch.size == 4


def test_for_predict_a_list_is_several_inputs_and_a_dict_goes_by_name():
    assert to_batch([X, X], predict=True).inputs[1] is X
    assert to_batch({"a": X}, predict=True).inputs["a"] is X


@pytest.mark.parametrize("item", [None, "text", 3.0, (), (X, Y, Y, Y)])
def test_for_predict_what_is_no_input_is_refused(item):
    with pytest.raises(BatchError):
        to_batch(item, predict=True)
