"""A call on a model from another thread, such as one in a generator, while the model trains; on every backend."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import threading

import keras
import numpy as np
import pytest

import stoker

ONE = np.ones((1, 1), "float32")
PATIENCE_S = 60.0


def model(*parts):
    made = keras.Sequential([keras.Input((1,)), *parts, keras.layers.Dense(1, kernel_initializer="zeros")])
    made.compile(keras.optimizers.SGD(0.0), "mse")
    return made


class OneStepMeanwhile(keras.callbacks.Callback):
    """Lets the first step run while a predict in the generator is under way, and that one end after it."""

    def __init__(self):
        super().__init__()
        self.has_begun, self.has_trained = threading.Event(), threading.Event()
        self.was_training = []

    def on_train_batch_begin(self, batch, logs=None):
        assert self.has_begun.wait(PATIENCE_S)

    def on_train_batch_end(self, batch, logs=None):
        self.was_training.append(getattr(self.model, "training", None))
        self.has_trained.set()

    def inputs(self):
        yield ONE
        self.has_begun.set()
        assert self.has_trained.wait(PATIENCE_S)
        yield ONE

    def batches(self, made):
        yield ONE, ONE
        assert len(stoker.predict(made, self.inputs, workers=0)) == 2
        yield ONE, 3 * ONE


def test_a_predict_in_a_generator_leaves_the_running_metrics_as_the_steps_make_them():
    made, meanwhile = model(), OneStepMeanwhile()
    history = stoker.fit(made, meanwhile.batches(made), steps_per_epoch=2, verbose=0, callbacks=[meanwhile])
    assert history.history["loss"] == [pytest.approx(5.0)]


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch only")
def test_a_predict_in_a_generator_leaves_the_training_to_layers_of_torch():
    made, meanwhile = model(), OneStepMeanwhile()
    stoker.fit(made, [(ONE, ONE)], verbose=0)
    stoker.fit(made, meanwhile.batches(made), steps_per_epoch=2, verbose=0, callbacks=[meanwhile])
    assert meanwhile.was_training == [True, True] and not made.training


def test_a_call_on_another_thread_may_outlive_the_training():
    made, fitted = model(), threading.Event()

    def inputs():
        yield ONE
        begun.set()
        assert fitted.wait(PATIENCE_S)

    def batches():
        thread.start()
        assert begun.wait(PATIENCE_S)
        yield from [(ONE, ONE), (ONE, 3 * ONE)]

    begun, thread = threading.Event(), threading.Thread(target=lambda: stoker.predict(made, inputs, workers=0))
    try:
        assert stoker.fit(made, batches(), steps_per_epoch=2, verbose=0).history["loss"] == [pytest.approx(5.0)]
        result = stoker.evaluate(made, [(ONE, 2 * ONE)])
    finally:
        fitted.set()
        thread.join()
    assert result == pytest.approx(4.0) == made.get_metrics_result()["loss"]
