"""Calls on the same model from two threads at once, on JAX: what training did stays."""

from __future__ import annotations

import os
import threading

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("JAX only", allow_module_level=True)

import stoker

ONES = np.ones((4, 1), "float32")
PATIENCE_S = 20
CALLS = {
    "predict": lambda model, source: stoker.predict(model, source, steps=6, workers=0),
    "evaluate": lambda model, source: stoker.evaluate(model, source, steps=6, workers=0),
}


def small_model(size=1):
    """Learns to give what it takes; arrays of a large one do not travel together."""
    model = keras.Sequential([keras.Input((size,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.1 / size), "mse")
    return model


def batch_of(model):
    return np.ones((4, model.input_shape[1]), "float32"), ONES


class Slow(threading.Thread):
    """A call on a thread of its own, whose source stands still after three batches until it is let go on."""

    def __init__(self, call, model):
        super().__init__()
        self.is_under_way, self.may_go_on = threading.Event(), threading.Event()
        self.call, self.model = CALLS[call], model
        self.start()
        assert self.is_under_way.wait(PATIENCE_S)

    def batches(self):
        for number in range(6):
            if number == 3:
                self.is_under_way.set()
                assert self.may_go_on.wait(PATIENCE_S)
            yield batch_of(self.model)

    def run(self):
        self.made = self.call(self.model, self.batches)

    def result(self):
        self.may_go_on.set()
        self.join()
        return self.made


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("call", CALLS)
def test_training_takes_the_place_of_a_call_on_another_thread_that_does_not_train(call, size):
    model, other = small_model(size), small_model(size)
    expected = CALLS[call](model, [batch_of(model)] * 6)
    slow = Slow(call, model)
    for each in (model, other):
        stoker.fit(each, [batch_of(each)] * 20, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])
    np.testing.assert_array_equal(slow.result(), expected)
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])
    assert model.get_weights()[0].mean() * size > 0.9
    assert type(model.trainable_variables[0]) is keras.Variable


@pytest.mark.parametrize("call", CALLS)
def test_a_call_on_another_thread_that_ends_after_the_training_puts_nothing_back(call):
    model, other, calls = small_model(), small_model(), []
    begin = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: calls or calls.append(Slow(call, model)))
    stoker.fit(model, [batch_of(model)] * 5, epochs=3, verbose=0, callbacks=[begin])
    stoker.fit(other, [batch_of(other)] * 5, epochs=3, verbose=0)
    calls[0].result()
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])
    assert type(model.trainable_variables[0]) is keras.Variable


def test_a_training_within_a_call_on_this_thread_is_not_undone_by_one_on_another():
    model, calls = small_model(), []

    def begin(batch, logs=None):
        stoker.fit(model, [batch_of(model)] * 20, verbose=0)
        calls.append(threading.Thread(target=lambda: stoker.fit(model, [batch_of(model)], verbose=0)))
        calls[0].start()
        calls[0].join()
        calls.append(model.get_weights()[0].item())

    stoker.predict(model, [ONES], callbacks=[keras.callbacks.LambdaCallback(on_predict_batch_end=begin)])
    assert model.get_weights()[0].item() == calls[1] > 0.9
