"""What a failed call of Keras's own leaves on the model does not come between steps on JAX."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("JAX only", allow_module_level=True)

from counting import counting_model, ones

import stoker


class Fails(keras.callbacks.Callback):
    """A call of Keras's own ends with its second batch."""

    def on_predict_batch_end(self, batch, logs=None):
        if batch == 1:
            raise OSError("here")

    on_test_batch_end = on_train_batch_end = on_predict_batch_end


FAILING = {
    "predict": lambda model: model.predict(np.ones((8, 1)), batch_size=2, verbose=0, callbacks=[Fails()]),
    "evaluate": lambda model: model.evaluate(np.ones((8, 1)), np.ones((8, 1)), batch_size=2, verbose=0, callbacks=[Fails()]),
    "fit": lambda model: model.fit(np.ones((8, 1)), np.ones((8, 1)), batch_size=2, verbose=0, callbacks=[Fails()]),
}


def fail(call, model):
    with pytest.raises(OSError, match="here"):
        FAILING[call](model)


@pytest.mark.parametrize("event", ["on_train_begin", "on_epoch_begin", "on_train_batch_end", "on_epoch_end"])
@pytest.mark.parametrize("call", ["predict", "evaluate"])
def test_a_call_of_keras_own_that_fails_in_a_hook_does_not_undo_the_training_that_follows(call, event):
    model, seen = counting_model(), []
    hook = keras.callbacks.LambdaCallback(**{event: lambda *arguments: fail(call, model)})
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(look.model.get_weights()[0].item()))
    stoker.fit(model, ones(5), epochs=3, verbose=0, callbacks=[look, hook])
    assert seen == [5, 10, 15] and look.model.get_weights()[0].item() == 15


@pytest.mark.parametrize("call", ["predict", "evaluate"])
def test_a_look_at_the_model_many_steps_after_such_a_call_finds_the_latest_weights(call):
    model, seen = counting_model(), []

    def begin(batch, logs=None):
        if batch == 2:
            fail(call, model)

    hook = keras.callbacks.LambdaCallback(on_train_batch_end=begin)
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(look.model.get_weights()[0].item()))
    stoker.fit(model, ones(10), epochs=2, verbose=0, callbacks=[look, hook])
    assert seen == [10, 20] and look.model.get_weights()[0].item() == 20


@pytest.mark.parametrize("call", FAILING)
def test_a_call_of_keras_own_that_failed_before_leaves_its_weights_to_the_next(call):
    model = counting_model()
    stoker.fit(model, ones(3), verbose=0)
    fail(call, model)
    look = keras.callbacks.LambdaCallback()
    stoker.fit(model, ones(2), epochs=2, verbose=0, callbacks=[look])
    assert look.model.get_weights()[0].item() == 7 + 2 * (call == "fit")


def test_what_is_assigned_after_a_call_of_keras_own_failed_counts():
    model = counting_model()
    stoker.fit(model, ones(3), verbose=0)
    fail("predict", model)
    model.set_weights([np.full((1, 1), 20.0)])
    assert stoker.predict(model, ones(1))[0, 0] == 20 == model.get_weights()[0].item()


def test_a_call_within_a_hook_follows_one_of_keras_own_that_failed():
    model, found = counting_model(), []

    def begin(epoch, logs=None):
        fail("evaluate", model)
        found.append(stoker.evaluate(model, ones(2)))

    stoker.fit(model, ones(5), epochs=2, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=begin)])
    assert found == [-5, -10] and model.get_weights()[0].item() == 10
