"""What every backend does for the loop, on whatever backend Keras runs (test_every_backend.py runs this file on all of them)."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest

import stoker
from stoker.backend.choose import load_backend
from stoker.backend.protocol import Backend
from stoker.batch.form import Batch

ROWS = 4


def batch(value=1.0, rows=ROWS, weights=None):
    return Batch(np.full((rows, 2), value, "float32"), np.zeros((rows, 1), "float32"), weights, rows)


@pytest.fixture
def backend():
    return load_backend()


@pytest.fixture
def model():
    made = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(1, kernel_initializer="ones", name="y")])
    made.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    return made


def test_it_has_the_whole_protocol(backend, model):
    assert isinstance(backend, Backend) and backend.name == keras.backend.backend()
    with backend.session(model) as session:
        assert session.fuse == 1


def test_logs_are_running_means_weighted_by_rows_in_declared_order(backend, model):
    model.optimizer.learning_rate = 0.0
    with backend.session(model) as session:
        step = session.begin("train")
        step(batch(1.0, rows=3))
        logs = session.result(step(batch(2.0, rows=1)))
    assert list(logs) == ["loss", "mae"] and all(type(value) is float for value in logs.values())
    assert logs["loss"] == pytest.approx((3 * 4 + 16) / 4) and logs["mae"] == pytest.approx((3 * 2 + 4) / 4)


def test_every_phase_begins_with_fresh_metrics(backend, model):
    model.optimizer.learning_rate = 0.0
    with backend.session(model) as session:
        for phase in ("train", "test", "train", "test"):
            step = session.begin(phase)
            assert session.read(step(batch()))["loss"] == pytest.approx(4.0)


def test_published_weights_are_live_and_changes_are_taken_up(backend, model):
    with backend.session(model) as session:
        step = session.begin("train")
        for _ in range(2):
            before = model.get_weights()[0].copy()
            step(batch())
            session.publish()
            assert not np.array_equal(model.get_weights()[0], before)
        model.set_weights([np.zeros((2, 1)), np.zeros(1)])
        assert session.read(session.begin("test")(batch()))["loss"] == 0.0
        session.begin("train")(batch())
    assert model.get_weights()[0].tolist() == [[0.0], [0.0]]


def test_the_state_is_in_the_model_however_the_call_ends(backend, model):
    with pytest.raises(OSError, match="here"), backend.session(model) as session:
        step = session.begin("train")
        step(batch())
        raise OSError("here")
    np.testing.assert_allclose(model.get_weights()[0], 0.6, rtol=1e-5)
    assert model.predict(np.ones((1, 2)), verbose=0).shape == (1, 1)


def test_sample_weights_weigh(backend, model):
    with backend.session(model) as session:
        step = session.begin("test")
        logs = session.read(step(batch(weights=np.array([1, 0, 0, 0], "float32"))))
    assert logs["loss"] == pytest.approx(1.0)


def test_predictions_are_numpy_arrays_in_the_models_structure(backend):
    x = keras.Input((2,))
    model = keras.Model(x, {"a": keras.layers.Dense(1)(x), "b": keras.layers.Dense(3)(x)})
    with backend.session(model) as session:
        outputs = session.outputs(session.begin("predict")(Batch(np.ones((4, 2), "float32"), None, None, 4)))
    assert {name: (type(value), value.shape) for name, value in outputs.items()} == {"a": (np.ndarray, (4, 1)), "b": (np.ndarray, (4, 3))}


def test_batches_do_not_change_under_a_step_that_is_under_way(backend, model):
    """The step may read its arrays after it has returned; ``wait`` says when it has."""
    with backend.session(model) as session:
        step = session.begin("test")
        arrays = np.ones((ROWS, 2), "float32"), np.zeros((ROWS, 1), "float32")
        raw = step(Batch(*arrays, None, ROWS))
        session.wait()
        arrays[0][:] = 100.0
        assert session.read(raw)["loss"] == pytest.approx(4.0)


@pytest.mark.slow
def test_several_steps_at_once_give_what_single_steps_give(backend, model):
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    batches = [batch(value / 10) for value in range(6)]
    found = []
    for made, at_once in ((model, False), (twin, True)):
        with backend.session(made) as session:
            step = session.begin("train")
            step(batches[0])
            raw = step(batches[0])
            if at_once and session.fuse > 1:
                raw = session.step_many(batches)
            else:
                for one in batches:
                    raw = step(one)
            found.append(session.result(raw))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_models_say_what_they_take(backend, model):
    spec = backend.describe(model)
    assert spec.inputs is not None and spec.outputs is not None
    assert spec.inputs.names == ["x"] and spec.inputs.ports[0].shape == (None, 2)
    assert spec.outputs.names == ["y"] and spec.outputs.ports[0].strict and spec.has_loss


@pytest.mark.parametrize(
    ("loss", "labels", "strict"),
    [("sparse_categorical_crossentropy", True, False), (keras.losses.SparseCategoricalCrossentropy(), True, False),
     ("mse", False, True), (keras.losses.Huber(), False, True), (keras.losses.mean_squared_error, False, True),
     (lambda y_true, y_pred: y_pred, False, False), ({"y": "mae"}, False, True), (["mae"], False, True)])
def test_losses_say_what_targets_are(backend, model, loss, labels, strict):
    model.compile("sgd", loss)
    port = backend.describe(model).outputs.ports[0]
    assert (port.labels, port.strict) == (labels, strict)


def sparse_distance(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


def test_a_loss_of_ones_own_is_told_apart_by_where_it_comes_from_and_not_by_its_name(backend, model):
    model.compile("sgd", sparse_distance)
    port = backend.describe(model).outputs.ports[0]
    assert (port.labels, port.strict) == (False, False)


@pytest.mark.parametrize(("loss", "labels"), [("mse", False), ("sparse_categorical_crossentropy", True), ({"y": "mae"}, False)])
def test_of_a_model_that_is_not_built_the_loss_is_known(backend, loss, labels):
    model = keras.Sequential([keras.layers.Dense(2, name="y")])
    model.compile("sgd", loss)
    spec = backend.describe(model)
    assert spec.outputs is None and not spec.is_final and spec.any_output.labels is labels


def test_a_model_is_built_by_a_batch_and_then_says_what_it_takes(backend):
    model = keras.Sequential([keras.layers.Dense(1, name="y")])
    model.compile("sgd", "mse")
    with backend.session(model) as session:
        step = session.begin("train")
        session.build(batch())
        spec = backend.describe(model)
        assert spec.is_final and spec.outputs.names == ["y"] and spec.outputs.ports[0].shape == (None, 1)
        assert model.optimizer.iterations == 0 and session.read(step(batch()))["loss"] >= 0


def test_an_input_may_be_optional(backend):
    x, y = keras.Input((2,), name="x"), keras.Input((2,), name="y", optional=True)
    model = keras.Model([x, y], keras.layers.Dense(1)(x))
    assert [port.needed for port in backend.describe(model).inputs.ports] == [True, False]


def test_outputs_without_a_loss_are_not_needed(backend):
    x = keras.Input((2,))
    model = keras.Model(x, [keras.layers.Dense(1, name="a")(x), keras.layers.Dense(1, name="b")(x)])
    model.compile("sgd", loss={"a": "mse"})
    assert [port.needed for port in backend.describe(model).outputs.ports] == [True, False]


def test_a_model_with_a_step_of_its_own_takes_what_comes(backend):
    own = type("Own", (keras.Model,), {"train_step": lambda self, *arguments: None})
    x = keras.Input((2,))
    spec = backend.describe(own(x, keras.layers.Dense(1)(x)))
    assert spec.inputs is None and spec.outputs is None and not spec.has_loss


def test_history_and_callbacks_are_keras_own(backend):
    assert isinstance(backend.new_history(), keras.callbacks.History) and backend.is_history(keras.callbacks.History())
    assert not backend.is_history(object()) and backend.callback_base is keras.callbacks.Callback


class Counting(keras.layers.Layer):
    """Counts how often Python runs it; its layer is never used."""

    def __init__(self):
        super().__init__()
        self.calls, self.unused = 0, keras.layers.Dense(1)
        self.built = True

    def call(self, inputs):
        self.calls += 1
        return inputs


def test_predict_runs_a_model_that_was_never_trained_once_for_each_batch():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input(batch_shape=(1, 3, 2)), keras.layers.LSTM(4, stateful=True), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(3, 3, 2)).astype("float32")
    expected = model.predict(x, batch_size=1, verbose=0)
    model.layers[0].reset_states()
    np.testing.assert_allclose(stoker.predict(model, x, batch_size=1), expected, rtol=1e-5)


def test_predict_on_a_model_with_layers_but_no_variables_of_its_loss_builds_nothing():
    counting = Counting()
    counting.unused.build((None, 2))
    model = keras.Sequential([keras.Input((2,)), counting, keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    x = np.ones((ROWS, 2), "float32")
    stoker.predict(model, x)
    before = counting.calls
    stoker.predict(model, x)
    assert counting.calls - before == (keras.backend.backend() == "torch")  # others have it compiled


def test_a_model_with_a_layer_that_nobody_uses_is_built_once_in_a_call(backend, monkeypatch):
    model = keras.Sequential([keras.Input((2,)), Counting(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    built, build = [], model._symbolic_build
    monkeypatch.setattr(type(model), "_symbolic_build", lambda self, **data: built.append(1) or build(**data))
    source = [(np.ones((ROWS, 2), "float32"), np.zeros((ROWS, 1), "float32"))] * 2
    stoker.fit(model, source, epochs=3, validation_data=source, verbose=0)
    assert len(built) == 1


def test_a_model_is_built_anew_after_it_was_compiled_in_a_call(backend, model):
    with backend.session(model) as session:
        session.begin("train")(batch())
        model.compile("sgd", "mse", metrics=["mse"])
        assert set(session.result(session.begin("train")(batch()))) == {"loss", "mse"}


def test_evaluate_of_several_outputs_has_the_order_of_keras():
    x = keras.Input((2,))
    model = keras.Model(x, [keras.layers.Dense(1, name="z")(x), keras.layers.Dense(1, name="a")(x)])
    model.compile("sgd", ["mse", "mse"], metrics=[["mae"], ["mae"]])
    inputs, targets = np.ones((ROWS, 2), "float32"), [np.ones((ROWS, 1), "float32"), np.zeros((ROWS, 1), "float32")]
    assert stoker.evaluate(model, [(inputs, targets)]) == pytest.approx(model.evaluate(inputs, targets, verbose=0))
    assert list(stoker.evaluate(model, [(inputs, targets)], return_dict=True)) == ["loss", "z_loss", "a_loss", "a_mae", "z_mae"]
