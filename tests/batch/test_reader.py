"""Batches matched with what a model takes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from stoker.batch.reader import KNOWN_LIMIT, BatchReader
from stoker.batch.spec import ModelSpec, Port, Ports, fits, show
from stoker.batch.weights import read_class_weight
from stoker.errors import BatchError

X = np.arange(8, dtype="float32").reshape(4, 2)
Y = np.arange(4, dtype="float32").reshape(4, 1)


def port(name, width=2, **more):
    return Port(name=name, key=more.pop("key", name), shape=(None, width), **more)


def spec(inputs=("x",), outputs=("y",), form="single", **more):
    return ModelSpec(
        inputs=Ports(form if len(inputs) > 1 else "single", tuple(port(name) for name in inputs)),
        outputs=Ports("list" if len(outputs) > 1 else "single", tuple(port(name, 1, **more) for name in outputs)), has_loss=True)


def read(item, model=None, **options):
    return BatchReader(model or spec(), **options).read(item, 5)


def test_an_array_goes_through_as_it_is():
    batch = read((X, Y))
    assert batch.inputs is X and batch.targets is Y and batch.weights is None and batch.size == 4


@pytest.mark.parametrize("inputs", [X, [X], (X,), {"x": X}])
@pytest.mark.parametrize("targets", [Y, [Y], {"y": Y}])
def test_a_model_with_one_input_and_output_gets_arrays_however_they_come(inputs, targets):
    batch = read((inputs, targets))
    assert batch.inputs is X and batch.targets is Y


def test_names_decide_the_order_of_several_inputs_and_outputs():
    model = spec(("a", "b"), ("c", "d"), "list")
    batch = read(({"b": X, "a": X + 1}, {"d": Y, "c": Y + 1}, {"d": Y[:, 0], "c": None}), model)
    assert batch.inputs[1] is X and batch.targets[1] is Y and batch.weights[0] is None
    assert isinstance(batch.inputs, list)


def test_a_model_that_takes_a_dict_gets_its_own_keys():
    model = ModelSpec(inputs=Ports("dict", (port("layer_a", key="a"), port("layer_b", key="b"))))
    assert set(read(({"layer_a": X, "b": X}, Y), model).inputs) == {"a", "b"}
    assert read(([X, X + 1], Y), model).inputs["a"] is X


def test_arrays_are_told_apart_by_place_and_not_by_identity():
    reader = BatchReader(spec(outputs=("y",)))
    wide = np.ones((4, 1), "float32")
    free = BatchReader(ModelSpec())
    assert free.read((wide, wide), 0).targets is wide
    other = free.read((wide, Y), 1)
    assert other.inputs is wide and other.targets is Y
    assert reader.read((X, Y), 0).targets is Y


@pytest.mark.parametrize(
    ("inputs", "got", "expected"),
    [({"a": X, "z": X}, "'a', 'z'", "'a', 'b'"), ({"a": X}, "'a'", "'a', 'b'"), ([X], "1 array", "2 (a, b)"), (X, "1 array", "2 (a, b)"),
     ([X, X, X], "3 arrays", "2 (a, b)"), ({}, "an empty dict", "'a', 'b'")])
def test_names_and_numbers_that_do_not_match_are_listed(inputs, got, expected):
    with pytest.raises(BatchError) as caught:
        read((inputs, Y), spec(("a", "b"), ("y",), "list"))
    assert (caught.value.got, caught.value.expected) == (got, expected)
    assert caught.value.where == "inputs, batch 5"


@pytest.mark.parametrize(
    ("item", "where", "got"),
    [((X[:, :1].repeat(3, 1), Y), "inputs, batch 5", "(4, 3)"), ((X[None].repeat(4, 0), Y), "inputs, batch 5", "(4, 4, 2)"),
     ((X, Y.repeat(2, 1)), "targets, batch 5", "(4, 2)"), ((X.astype(str), Y), "inputs, batch 5", "<U32"),
     ((X.astype("complex64"), Y), "inputs, batch 5", "complex64"), ((X, Y.astype(str)), "targets, batch 5", "<U32")])
def test_shapes_and_dtypes_that_the_model_cannot_take_are_refused(item, where, got):
    with pytest.raises(BatchError) as caught:
        read(item, spec(strict=True))
    assert (caught.value.where, caught.value.got) == (where, got)


def test_a_loss_of_ones_own_may_take_targets_of_any_shape():
    assert read((X, Y.repeat(5, 1))).targets.shape == (4, 5)


def test_a_missing_last_axis_is_left_to_keras():
    assert fits((4,), (None, 1)) and fits((4, 2, 1), (None, 2)) and not fits((4,), (None, 2)) and fits((4, 9), (None, None))
    assert show((None, 3, None)) == "(batch, 3, any)" and show((None,)) == "(batch,)"


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float64"])
def test_small_targets_become_floatx(dtype):
    assert read((X, Y.astype(dtype))).targets.dtype == np.float32


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64"])
def test_labels_keep_their_dtype(dtype):
    assert read((X, Y.astype(dtype)), spec(labels=True)).targets.dtype == dtype


def test_small_integer_inputs_travel_as_they_are():
    batch = read((X.astype("uint8"), Y))
    assert batch.inputs.dtype == np.uint8
    assert read((X.astype("float64"), Y)).inputs.dtype == np.float32


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4"])
def test_arrays_of_foreign_byte_order_are_brought_to_this_machines(dtype):
    batch = read((X.astype(dtype), Y.astype(dtype)))
    assert batch.inputs.dtype.isnative and batch.targets.dtype.isnative
    np.testing.assert_array_equal(batch.inputs, X)


def test_missing_targets_are_refused_where_there_is_a_loss():
    with pytest.raises(BatchError, match="no targets"):
        read((X, None))
    assert read((X, None), ModelSpec()).targets is None


def test_every_batch_is_checked_whose_structure_is_new():
    reader = BatchReader(spec(strict=True))
    reader.read((X, Y), 0)
    with pytest.raises(BatchError, match="batch 1"):
        reader.read((X, Y.repeat(3, 1)), 1)
    with pytest.raises(BatchError, match="differ in length"):
        reader.read((X, Y[:2]), 2)
    assert reader.read((X[:2], Y[:2]), 3).size == 2


def test_a_batch_like_the_one_before_is_told_from_one_that_is_not():
    reader = BatchReader(ModelSpec())
    first = reader.read((X, Y), 0)
    assert reader.read((X + 1, Y), 1).form is first.form is not None
    others = [(X[:, :1], Y), (X.astype("float64"), Y), [X, Y], (X, Y, np.ones(4, "float32")), ((X,), Y), (X.astype(">f4"), Y)]
    for number, item in enumerate(others):
        assert reader.read((X, Y), 0).form is first.form
        other = reader.read(item, 1 + number)
        assert other.form is not first.form
        np.testing.assert_array_equal(np.ravel(other.inputs[0] if isinstance(other.inputs, tuple) else other.inputs), np.ravel(item[0]))


def test_memory_of_structures_is_bounded():
    reader = BatchReader(ModelSpec())
    for length in range(1, 2 * KNOWN_LIMIT):
        reader.read((np.zeros((length, 1), "float32"), np.zeros(length, "float32")), length)
    assert len(reader._known) <= KNOWN_LIMIT


def test_one_weight_array_serves_all_outputs():
    weights = np.ones(4, "float32")
    assert read((X, [Y, Y], weights), spec(outputs=("c", "d"))).weights is weights


def test_outputs_without_loss_may_be_left_out():
    outputs = Ports("list", (port("c", 1), port("d", 1, needed=False)))
    model = ModelSpec(outputs=outputs, has_loss=True)
    assert read((X, {"c": Y}), model).targets == [Y, None]
    assert read((X, [Y]), model).targets[1] is None


def test_class_weights_are_applied_to_every_batch():
    reader = BatchReader(spec(), read_class_weight({0: 1.0, 1: 3.0}, spec().outputs))
    assert reader.read((X, np.array([0, 1, 1, 0])), 0).weights.tolist() == [1, 3, 3, 1]
    assert reader.read((X, np.array([1, 1, 1, 0])), 1).weights.tolist() == [3, 3, 3, 1]


def test_the_first_batch_is_read_again_once_it_has_built_the_model():
    seen = []

    def settle(batch):
        seen.append(batch.inputs.shape)
        return spec(labels=True), read_class_weight({0: 2.0, 1: 3.0}, spec().outputs)

    reader = BatchReader(ModelSpec(has_loss=True, is_final=False), settle=settle)
    first, second = (reader.read((X, np.array([0, 1, 1, 0], "uint8")), index) for index in range(2))
    assert seen == [(4, 2)] and first.weights.tolist() == [2, 3, 3, 2] and first.form is second.form
    assert first.targets.dtype == np.uint8


def test_a_first_batch_that_the_built_model_cannot_take_is_refused():
    reader = BatchReader(ModelSpec(has_loss=True, is_final=False), settle=lambda batch: (spec(strict=True), None))
    with pytest.raises(BatchError, match=r"targets, batch 0"):
        reader.read((X, Y.repeat(3, 1)), 0)


@pytest.mark.parametrize(("labels", "dtype"), [(False, "float32"), (True, "uint8")])
def test_where_outputs_are_not_known_the_loss_alone_says_what_small_targets_are(labels, dtype):
    model = ModelSpec(has_loss=True, any_output=Port("", "", labels=labels))
    assert read((X, [Y.astype("uint8"), Y]), model).targets[0].dtype == dtype
    with pytest.raises(BatchError, match="Encode"):
        read((X, Y.astype(str)), model)


def test_text_goes_only_where_the_framework_has_it():
    assert read((X.astype(str), Y), ModelSpec()).inputs.dtype.kind == "U"
    with pytest.raises(BatchError, match="numbers"):
        read((X.astype(str), Y), ModelSpec(takes_text=False))


@pytest.mark.parametrize("part", ["inputs", "targets"])
@pytest.mark.parametrize("way", [list, tuple, dict])
def test_none_for_an_array_that_the_model_needs_is_told(part, way):
    model = spec(("a", "b"), ("c", "d"), "list")
    names = {"inputs": ("a", "b"), "targets": ("c", "d")}[part]
    holes = {name: None if name == names[1] else (X if part == "inputs" else Y) for name in names}
    item = {"inputs": [X, X], "targets": [Y, Y], part: holes if way is dict else way(holes.values())}
    with pytest.raises(BatchError, match=f"'{names[1]}'") as caught:
        read((item["inputs"], item["targets"]), model)
    assert "None" in caught.value.got and part in caught.value.where


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_floats_that_numpy_lacks_become_floatx(dtype):
    batch = read((X.astype(dtype), Y.astype(dtype), Y[:, 0].astype(dtype)))
    assert {batch.inputs.dtype, batch.targets.dtype, batch.weights.dtype} == {np.dtype("float32")}
    np.testing.assert_array_equal(batch.inputs, X)


def image_spec(**more):
    return ModelSpec(outputs=Ports("single", (Port("y", "y", shape=(None, 3, 2, 5), strict=True, **more),)), has_loss=True)


@pytest.mark.parametrize(
    ("shape", "made"), [((4,), (4, 1, 1)), ((4, 1), (4, 1)), ((4, 3), (4, 3)), ((4, 3, 2), (4, 3, 2)), ((4, 1, 1), (4, 1, 1)),
                        ((4, 3, 2, 1), (4, 3, 2, 1))])
def test_sample_weights_meet_the_losses_row_by_row(shape, made):
    assert read((X, np.zeros((4, 3, 2, 5), "float32"), np.ones(shape, "float32")), image_spec()).weights.shape == made


@pytest.mark.parametrize("shape", [(4, 2), (4, 3, 5), (4, 3, 2, 5), (4, 3, 2, 1, 1)])
def test_sample_weights_that_fit_no_loss_are_refused(shape):
    with pytest.raises(BatchError, match=r"sample_weights, batch 5.*\(batch, 3, 2\)"):
        read((X, np.zeros((4, 3, 2, 5), "float32"), np.ones(shape)), image_spec())


def test_sample_weights_may_name_some_outputs_only():
    assert read((X, [Y, Y], {"d": Y[:, 0]}), spec(outputs=("c", "d"))).weights[0] is None
