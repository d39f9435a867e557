"""History, weights and results equal a computation by hand, to 1e-5, for every form of batch and of validation data."""

from __future__ import annotations

import itertools

import keras
import linear
import numpy as np
import pytest
from linear import ByHand, assert_same, batches, keras_model

import stoker
import stoker.keras  # noqa: F401


def endless(made):
    return itertools.cycle(made)


def fit(model, generator, epochs=2, steps=3, **options):
    return model.fit_generator(generator, steps_per_epoch=steps, epochs=epochs, verbose=0, **options)


def by_hand(made, epochs=2, validation=None, features=2):
    reference = ByHand(features)
    for _ in range(epochs):
        reference.epoch(made, validation)
    return reference


def assert_weights(model, reference):
    np.testing.assert_allclose(model.get_weights()[0], reference.kernel, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], reference.bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_plain_generator(workers):
    made = batches()
    model = keras_model()
    reference = by_hand(made)
    assert_same(fit(model, endless(made), workers=workers), reference)
    assert_weights(model, reference)


def test_batches_as_lists():
    made = batches()
    assert_same(fit(keras_model(), endless([[x, y] for x, y in made])), by_hand(made))
    assert_same(fit(keras_model(), endless([(x.tolist(), y.tolist()) for x, y in made])), by_hand(made))


def test_uneven_batches_count_by_their_rows():
    made = batches((5, 1, 3))
    assert_same(fit(keras_model(), endless(made)), by_hand(made))


def test_sample_weights():
    made = [(x, y, np.linspace(0, 2, len(x)).astype("float32")) for x, y in batches((4, 2, 3))]
    assert_same(fit(keras_model(), endless(made)), by_hand(made))


def test_binary_class_weights():
    made = [(x, (y > 0.3).astype("float32")) for x, y in batches()]
    weighted = [(x, y, np.where(y[:, 0] == 1, 3.0, 0.5)) for x, y in made]
    assert_same(fit(keras_model(), endless(made), class_weight={0: 0.5, 1: 3.0}), by_hand(weighted))


def test_class_weights_multiply_sample_weights():
    made = [(x, (y > 0.3).astype("float32"), np.linspace(1, 2, len(x))) for x, y in batches()]
    weighted = [(x, y, w * np.where(y[:, 0] == 1, 3.0, 0.5)) for x, y, w in made]
    assert_same(fit(keras_model(), endless(made), class_weight={0: 0.5, 1: 3.0}), by_hand(weighted))


def test_one_hot_class_weights():
    import keras

    draw = np.random.default_rng(0)
    kernel, bias = draw.normal(size=(2, 3)).astype("float32"), np.zeros(3, "float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.set_weights([kernel, bias])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, labels = draw.normal(size=(6, 2)).astype("float32"), np.array([0, 1, 2, 2, 1, 0])
    weights = np.array([1.0, 2.0, 5.0])[labels]
    history = fit(model, endless([(x, np.eye(3, dtype="float32")[labels])]), 1, 1, class_weight={0: 1, 1: 2, 2: 5})
    squares = ((x @ kernel + bias - np.eye(3)[labels]) ** 2).mean(1)
    np.testing.assert_allclose(history.history["loss"], [(weights * squares).sum() / 6], rtol=1e-5)


def test_dicts_of_inputs_and_targets():
    made = batches()
    named = [({"input_1": x / 4, "input_2": 3 * x / 4}, {"output": y}) for x, y in made]
    assert_same(fit(keras_model(names=("input_1", "input_2")), endless(named)), by_hand(made))


def test_bool_and_uint8_targets_do_not_wrap():
    made = [(x, (y > 0.3).astype("uint8") * 200) for x, y in batches()]
    assert_same(fit(keras_model(), endless(made)), by_hand([(x, y.astype("float32")) for x, y in made]))


VALIDATION = batches((4, 4, 2), seed=8)
WHOLE = tuple(np.concatenate(parts) for parts in zip(*VALIDATION, strict=True))


class Pairs(stoker.Sequence):
    """The validation batches, indexed."""

    def __len__(self):
        return len(VALIDATION)

    def __getitem__(self, index):
        return VALIDATION[index]


def once():
    yield from VALIDATION


@pytest.mark.thinned(3)
@pytest.mark.parametrize(
    ("validation", "steps"),
    [(WHOLE, None), (list(WHOLE), None), (Pairs(), None), (once, None), (VALIDATION, None), (itertools.cycle(VALIDATION), 3),
     (Pairs(), 3), (once, 3)],
    ids=["tuple", "list", "indexed", "function", "iterable", "stream", "indexed with steps", "function with steps"])
def test_every_form_of_validation_data(validation, steps):
    made = batches()
    history = fit(keras_model(), endless(made), validation_data=validation, validation_steps=steps)
    assert_same(history, by_hand(made, validation=VALIDATION), ("loss", "mae", "val_loss", "val_mae"))


def test_weighted_validation_data():
    weights = np.linspace(0, 2, len(WHOLE[0])).astype("float32")
    made = batches()
    history = fit(keras_model(), endless(made), validation_data=(*WHOLE, weights))
    assert_same(history, by_hand(made, validation=[(*WHOLE, weights)]), ("loss", "mae", "val_loss", "val_mae"))


def test_parts_of_a_validation_pass_are_always_the_first_batches():
    made = batches()
    for source in (Pairs(), once):
        history = fit(keras_model(), endless(made), validation_data=source, validation_steps=2)
        assert_same(history, by_hand(made, validation=VALIDATION[:2]), ("loss", "mae", "val_loss", "val_mae"))


def test_a_validation_stream_goes_on_between_epochs():
    made = batches()
    history = fit(keras_model(), endless(made), validation_data=itertools.cycle(VALIDATION), validation_steps=2)
    reference = ByHand()
    reference.epoch(made, VALIDATION[:2])
    reference.epoch(made, [VALIDATION[2], VALIDATION[0]])
    assert_same(history, reference, ("loss", "mae", "val_loss", "val_mae"))


def test_class_weights_do_not_touch_validation():
    made = [(x, (y > 0.3).astype("float32")) for x, y in batches()]
    validation = [(x, (y > 0.3).astype("float32")) for x, y in VALIDATION]
    weighted = [(x, y, np.where(y[:, 0] == 1, 3.0, 0.5)) for x, y in made]
    history = fit(keras_model(), endless(made), class_weight={0: 0.5, 1: 3.0}, validation_data=lambda: iter(validation))
    assert_same(history, by_hand(weighted, validation=validation), ("loss", "mae", "val_loss", "val_mae"))


def test_arrays_without_shuffle():
    made = batches((4, 4, 2))
    x, y = (np.concatenate(parts) for parts in zip(*made, strict=True))
    history = stoker.fit(keras_model(), (x, y), batch_size=4, epochs=2, shuffle=False, verbose=0, validation_data=WHOLE)
    assert_same(history, by_hand(made, validation=[WHOLE]), ("loss", "mae", "val_loss", "val_mae"))


def test_evaluate_and_predict_keep_order_and_count_rows():
    model = keras_model()
    reference = ByHand()
    squares, absolutes, rows = np.sum([reference.measure(*batch) for batch in VALIDATION], axis=0)
    for source in (Pairs(), once, iter(VALIDATION)):
        steps = None if not hasattr(source, "__next__") else 3
        np.testing.assert_allclose(model.evaluate_generator(source, steps), [squares / rows, absolutes / rows], rtol=1e-5)
    x, y = WHOLE
    expected = x @ linear.start()[0] + linear.start()[1]
    for workers in (0, 1, 4):
        np.testing.assert_allclose(model.predict_generator(Pairs(), workers=workers), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stoker.predict(model, x, batch_size=3), expected, rtol=1e-5, atol=1e-6)
    assert stoker.evaluate(model, (x, y), return_dict=True).keys() == {"loss", "mae"}


def test_evaluate_gives_a_scalar_where_there_is_only_a_loss():
    assert isinstance(keras_model(metrics=()).evaluate_generator(Pairs()), float)


def shortfall(y_true, y_pred):
    """A metric that wraps around where small unsigned targets reach it as they are."""
    return keras.ops.mean(keras.ops.cast(keras.ops.zeros_like(y_true) - y_true, "float32"))


class Subclassed(keras.Model):
    """A model that does not say what it takes."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="zeros")

    def call(self, inputs):
        return self.dense(inputs)


def of_every_kind(units, activation=None):
    """The same model built, built by its first batch, and subclassed, where that has one output."""
    def dense():
        return keras.layers.Dense(units, activation, kernel_initializer="zeros")

    said = keras.Sequential([keras.Input((2,) if units == 1 else (None, 2)), dense()])
    return [said, keras.Sequential([dense()]), *[Subclassed()] * (units == 1)]


@pytest.mark.parametrize("dtype", ["uint8", "bool"])
def test_small_targets_reach_metrics_as_floats_in_models_of_every_kind(dtype):
    made = [(np.ones((4, 2), "float32"), np.full((4, 1), 200).astype(dtype))]
    for model in of_every_kind(1):
        model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[shortfall])
        history = fit(model, endless(made)).history
        expected = -1.0 if dtype == "bool" else -200.0
        assert history["shortfall"] == [expected, expected] and history["loss"] == [expected**2] * 2


def test_class_weights_of_sequences_are_those_of_each_step_in_models_of_every_kind():
    x, y = np.zeros((3, 3, 2), "float32"), np.array([[0, 1, 1], [1, 1, 0], [0, 0, 0]])
    for model in of_every_kind(2, "softmax"):
        model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        history = fit(model, endless([(x, y)]), class_weight={0: 1.0, 1: 5.0}).history
        np.testing.assert_allclose(history["loss"], np.log(2) * (5 + 4 * 5) / 9, rtol=1e-5)
