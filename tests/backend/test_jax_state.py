"""The state of a call on JAX: donated, published, and never lost."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("JAX only", allow_module_level=True)

import jax

import stoker
from stoker.backend.choose import load_backend
from stoker.batch.form import Batch


def counting_model(call=None):
    """Its only weight counts the steps."""
    inputs = keras.Input((1,))
    layers = [keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    outputs = inputs if call is None else call(inputs)
    for layer in layers:
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(1.0), lambda y_true, y_pred: -y_pred)
    return model


def source(number, size=1):
    return [(np.ones((size, 1), "float32"), np.zeros((size, 1), "float32"))] * number


BATCH = Batch(*source(1)[0], None, 1)


class FailsAt(keras.layers.Layer):
    """Calls the host in every step, and raises there at one of them."""

    def __init__(self, at):
        super().__init__()
        self.at = at
        self.calls = 0

    def host(self, value):
        self.calls += 1
        if self.calls == self.at:
            raise OSError("the host fails")
        return np.asarray(value)

    def call(self, inputs):
        forward = jax.lax.stop_gradient(inputs)
        return jax.pure_callback(self.host, jax.ShapeDtypeStruct(inputs.shape, inputs.dtype), forward)

    def compute_output_shape(self, shape):
        return shape

    def compute_output_spec(self, inputs, **options):
        return keras.KerasTensor(inputs.shape, inputs.dtype)


def test_a_step_that_fails_on_the_host_after_it_returned_loses_no_weights():
    model = counting_model(FailsAt(6))
    with pytest.raises(Exception, match="the host fails"):
        stoker.fit(model, source(10), verbose=0)
    assert model.get_weights()[0].item() == 5


def test_the_old_state_is_donated():
    model = counting_model()
    before = model.trainable_variables[0].value
    stoker.fit(model, source(3), verbose=0)
    assert before.is_deleted() and model.get_weights()[0].item() == 3


def test_two_variables_may_share_an_array():
    model = counting_model()
    stoker.fit(model, source(1), verbose=0)
    first, second = model.metrics_variables[:2]
    first._value = second._value
    shared = model.metrics_variables[0].value
    with load_backend().session(model) as session:
        step = session.begin("predict")
        step(BATCH)
    assert shared is not None and stoker.fit(model, source(2), verbose=0).history["loss"]


def test_publishing_costs_less_than_a_step():
    from time import perf_counter

    model = counting_model()
    with load_backend().session(model) as session:
        step = session.begin("train")
        step(BATCH)
        times = []
        for _ in range(200):
            step(BATCH)
            began = perf_counter()
            session.publish()
            times.append(perf_counter() - began)
    assert sorted(times)[100] < 100e-6


def test_compiled_steps_are_kept_between_calls_and_forgotten_by_compile():
    traces = []

    class Traced(keras.Sequential):
        def train_step(self, state, data):
            traces.append(1)
            return super().train_step(state, data)

    model = Traced([keras.Input((1,)), keras.layers.Dense(1)])
    for _ in range(2):
        model.compile("sgd", "mse")
        for _ in range(3):
            stoker.fit(model, source(2), epochs=2, verbose=0)
    assert len(traces) == 2


def test_a_loss_that_is_changed_by_compile_counts():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    losses = []
    for loss in ("mse", "mae"):
        model.compile(keras.optimizers.SGD(0.0), loss)
        losses.append(stoker.fit(model, [(np.full((1, 1), 3.0), np.zeros((1, 1)))], verbose=0).history["loss"])
    assert losses == [[9.0], [3.0]]


def test_a_ragged_last_batch_is_traced_once_in_all():
    traces = []

    class Traced(keras.Sequential):
        def train_step(self, state, data):
            traces.append(data[0].shape)
            return super().train_step(state, data)

    model = Traced([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    stoker.fit(model, source(2, 4) + source(1, 3), epochs=4, verbose=0)
    assert len(traces) == 2
