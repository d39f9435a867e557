"""Class weights."""

from __future__ import annotations

import numpy as np
import pytest

from stoker.batch.spec import ModelSpec, Port, Ports
from stoker.batch.weights import read_class_weight
from stoker.errors import BatchError, OptionError, StokerWarning

TWO = Ports("list", (Port("a", "a"), Port("b", "b")))
LABELS = Ports("single", (Port("y", "y", labels=True),))


def weights(class_weight, targets, sample_weights=None, ports=None):
    return read_class_weight(class_weight, ports).apply(targets, sample_weights, ModelSpec(outputs=ports), "batch 0")


@pytest.mark.parametrize(
    "targets", [np.array([0, 2, 1]), np.array([[0.0], [2.0], [1.0]]), np.eye(3)[[0, 2, 1]], np.array([0, 2, 1], "uint8")])
def test_the_class_is_the_value_or_the_argmax(targets):
    assert weights({0: 1, 1: 2, 2: 5}, targets).tolist() == [1, 5, 2]


def test_labels_of_sparse_losses_are_values_in_any_shape():
    assert weights({0: 1, 1: 2}, np.array([[0, 1], [1, 1]]), ports=LABELS).tolist() == [[1, 2], [2, 2]]


def test_class_numbers_may_have_gaps_and_be_negative():
    assert weights({-1: 7, 10: 3}, np.array([10, -1])).tolist() == [3, 7]


def test_class_weights_are_multiplied_with_sample_weights():
    assert weights({0: 2, 1: 3}, np.array([0, 1]), np.array([0.5, 10])).tolist() == [1, 30]
    assert weights({0: 2, 1: 3}, np.array([0, 1]), np.array([[0.5], [10]])).tolist() == [1, 30]
    steps = weights({0: 2, 1: 3}, np.array([[0, 1], [1, 1]]), np.array([1, 10]), LABELS)
    assert steps.tolist() == [[2, 3], [30, 30]]


def test_a_class_without_weight_is_named():
    with pytest.raises(BatchError) as caught:
        weights({0: 1, 1: 2}, np.array([0, 4, 1]))
    assert caught.value.got == "class 4" and "batch 0" in caught.value.where
    with pytest.raises(BatchError, match=r"class 0\.5"):
        weights({0: 1, 1: 2}, np.array([0.5, 1]))


def test_each_output_has_its_own():
    made = weights({"b": {0: 4, 1: 8}}, [np.array([0, 1]), np.array([0, 1])], None, TWO)
    assert made[0].tolist() == [1, 1] and made[1].tolist() == [4, 8]
    made = weights([{0: 3, 1: 5}, {}], [np.array([0, 1]), np.array([0, 1])], [None, np.array([2.0, 2.0])], TWO)
    assert made[0].tolist() == [3, 5] and made[1].tolist() == [2, 2]


@pytest.mark.parametrize("senseless", [{"c": {0: 1}}, {0: 1.0, 1: 2.0}])
def test_with_several_outputs_their_names_are_needed(senseless):
    with pytest.raises(OptionError, match="output"):
        read_class_weight(senseless, TWO)


def test_entries_must_be_numbers():
    with pytest.raises(OptionError, match="no number"):
        read_class_weight({0: "heavy"}, None)


@pytest.mark.parametrize("ignored", ["balanced", "auto", np.array([1.0, 2.0])])
def test_what_is_no_dict_is_ignored_with_a_warning(ignored):
    with pytest.warns(StokerWarning, match="ignored"):
        assert read_class_weight(ignored, None) is None


def test_none_and_an_empty_dict_are_no_weights():
    assert read_class_weight(None, None) is None and read_class_weight({}, None) is None


def test_targets_are_needed():
    with pytest.raises(BatchError, match="needs targets"):
        weights({0: 1}, None)


def test_an_output_may_go_by_the_key_under_which_the_model_gives_it():
    ports = Ports("dict", (Port("dense", "first"), Port("dense_1", "second")))
    made = weights({"second": {0: 4, 1: 8}}, {"first": np.array([0, 1]), "second": np.array([0, 1])}, None, ports)
    assert made["first"].tolist() == [1, 1] and made["second"].tolist() == [4, 8]


def test_one_of_a_list_may_be_none():
    made = weights([None, {0: 4, 1: 8}], [np.array([0, 1]), np.array([0, 1])], None, TWO)
    assert made[0].tolist() == [1, 1] and made[1].tolist() == [4, 8]


def test_targets_without_the_axis_of_the_classes_are_class_numbers_whatever_the_loss():
    ports = Ports("single", (Port("y", "y", shape=(None, 2, 2)),))
    assert weights({0: 1, 1: 2}, np.array([[0, 1], [1, 1]]), ports=ports).tolist() == [[1, 2], [2, 2]]
    assert weights({0: 1, 1: 2}, np.eye(2)[[[0, 1], [1, 1]]], ports=ports).tolist() == [[1, 2], [2, 2]]
