"""The state of a call on JAX: donated, published, and never lost."""

from __future__ import annotations

import os
import signal
import threading

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("JAX only", allow_module_level=True)

import jax
from counting import counting_model, ones

import stoker
from stoker.backend import keras_jax_variables
from stoker.backend.choose import load_backend
from stoker.batch.form import Batch

BATCH = Batch(*ones(1)[0], None, 1)


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
        stoker.fit(model, ones(10), verbose=0)
    assert model.get_weights()[0].item() == 5


def test_the_old_state_is_donated_and_the_variables_hold_other_arrays():
    model = counting_model()
    before = model.trainable_variables[0].value
    with load_backend().session(model) as session:
        step = session.begin("train")
        step(BATCH)
        old = session._state[0][0]
        step(BATCH)
        assert old.is_deleted() and not before.is_deleted()
    assert model.get_weights()[0].item() == 2


def test_a_step_that_fails_after_it_has_consumed_its_state_leaves_the_weights_that_were_last_looked_at():
    model = counting_model()
    with pytest.raises(OSError, match="device"), load_backend().session(model) as session:
        step = session.begin("train")
        for _ in range(3):
            step(BATCH)
        assert model.get_weights()[0].item() == 3
        step(BATCH)
        for value in jax.tree.leaves(session._state):
            value.delete()
        raise OSError("device")
    assert model.get_weights()[0].item() == 3


def test_the_step_that_ctrl_c_waits_for_is_seen_by_who_has_looked_before_it():
    model = counting_model()
    with load_backend().session(model) as session:
        step = session.begin("train")
        step(BATCH)
        one = session._program.one
        session._program.one = lambda *arguments: (signal.raise_signal(signal.SIGINT), one(*arguments))[1]
        assert model.get_weights()[0].item() == 1
        with pytest.raises(KeyboardInterrupt):
            step(BATCH)
        assert model.get_weights()[0].item() == 2


@pytest.mark.parametrize("is_second", [False, True])
def test_ctrl_c_while_a_session_closes_leaves_every_variable_what_it_was(monkeypatch, is_second):
    model, let_go, struck = counting_model(), keras_jax_variables._let_go, []

    def interrupted(watch, variable):
        let_go(watch, variable)
        if not struck:
            struck.append(variable)
            signal.raise_signal(signal.SIGINT)

    def trained():
        yield from ones(3)
        if is_second:
            raise KeyboardInterrupt

    monkeypatch.setattr(keras_jax_variables, "_let_go", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stoker.fit(model, trained(), steps_per_epoch=4 if is_second else 3, verbose=0, workers=0)
    assert struck and model.get_weights()[0].item() == 3
    assert {type(variable) for variable in (*model.variables, *model.optimizer.variables)} == {keras.Variable}


def test_two_variables_may_share_an_array():
    model = counting_model()
    stoker.fit(model, ones(1), verbose=0)
    first, second = model.metrics_variables[:2]
    first._value = second._value
    shared = model.metrics_variables[0].value
    with load_backend().session(model) as session:
        step = session.begin("predict")
        step(BATCH)
    assert shared is not None and stoker.fit(model, ones(2), verbose=0).history["loss"]


def test_looking_at_the_model_after_a_step_costs_less_than_a_step():
    from time import perf_counter

    model = counting_model()
    with load_backend().session(model) as session:
        step = session.begin("train")
        step(BATCH)
        times = []
        for number in range(200):
            raw = step(BATCH)
            session.read(raw)
            began = perf_counter()
            session.publish()
            value = model.trainable_variables[0].value
            times.append(perf_counter() - began)
            assert value.item() == number + 2
    assert sorted(times)[20] < 300e-6, "about 50 us where nothing else runs; Keras takes 700"


def test_nothing_is_copied_for_a_callback_that_does_not_look_at_the_model(monkeypatch):
    copied, copies = [], keras_jax_variables.copies
    monkeypatch.setattr(keras_jax_variables, "copies", lambda values: copied.append(len(values)) or copies(values))

    class Reads(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert logs["loss"] == logs["loss"]
            copied.append("batch")

    stoker.fit(counting_model(), ones(5), verbose=0, callbacks=[Reads()])
    first = copied.index("batch")
    assert copied[first:first + 5] == ["batch"] * 5


class OnThread(threading.Thread):
    """Does something on a thread of its own, and says what came of it."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.start()

    def run(self):
        self.made = self.function()

    def result(self):
        self.join()
        return self.made


def test_what_another_thread_does_to_the_variables_neither_breaks_nor_undoes_a_step():
    model = counting_model()
    variable = model.trainable_variables[0]
    with load_backend().session(model) as session:
        step = session.begin("train")
        step(BATCH)
        step(BATCH)
        theirs = OnThread(lambda: variable._value).result()
        theirs.delete()
        step(BATCH)
        assert model.get_weights()[0].item() == 3
        OnThread(lambda: variable.assign(np.full((1, 1), 99.0))).join()
        step(BATCH)
        variable.assign(variable + 10)
        step(BATCH)
    assert model.get_weights()[0].item() == 15 and type(variable) is keras.Variable


@pytest.mark.thinned(5)
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("way", ["predict_on_batch", "predict", "encoder"])
@pytest.mark.parametrize("looks", [False, True])
def test_a_source_may_use_the_model_that_is_trained_on_it(workers, way, looks):
    inputs = keras.Input((1,))
    hidden = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(inputs)
    model, encoder = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, trainable=False)(hidden)), keras.Model(inputs, hidden)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.ones((2, 1), "float32")
    used = encoder if way == "encoder" else model
    expected = used.predict(x, verbose=0)

    def batches():
        while True:
            made = used.predict(x, verbose=0) if way == "predict" else used.predict_on_batch(x)
            np.testing.assert_array_equal(made, expected)
            yield x, made

    hooks = {"on_train_batch_end": lambda batch, logs: model.get_weights()} if looks else {}
    callback = keras.callbacks.LambdaCallback(**hooks)
    history = stoker.fit_generator(model, batches(), 20, 3, verbose=0, workers=workers, callbacks=[callback])
    assert len(history.history["loss"]) == 3
    np.testing.assert_array_equal(used.predict(x, verbose=0), expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_source_that_uses_the_model_finds_weights_that_train(workers):
    model = counting_model()
    seen = []

    def batches():
        while True:
            seen.append(float(model.predict_on_batch(np.ones((1, 1)))[0, 0]))
            yield ones(1)[0]

    stoker.fit_generator(model, batches(), 200, verbose=0, workers=workers)
    assert model.get_weights()[0].item() == 200
    assert seen == list(range(200)) if workers == 0 else sorted(seen) == seen and seen[-1] > 100


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
            stoker.fit(model, ones(2), epochs=2, verbose=0)
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
    stoker.fit(model, ones(2, 4) + ones(1, 3), epochs=4, verbose=0)
    assert len(traces) == 2


@pytest.mark.parametrize("phase", ["predict", "evaluate", "fit"])
def test_two_layers_of_the_same_shape_may_change_which_of_them_is_trained(phase):
    x = np.linspace(-1.0, 1.0, 12, dtype="float32").reshape(3, 4)
    layers = [keras.layers.Dense(4, activation="tanh", kernel_initializer=keras.initializers.RandomNormal(seed=seed)) for seed in (1, 2)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    layers[0].trainable = False
    model.compile(keras.optimizers.SGD(0.0), "mse")
    call = {
        "predict": lambda: stoker.predict(model, [x]),
        "evaluate": lambda: stoker.evaluate(model, [(x, x)]),
        "fit": lambda: stoker.fit(model, [(x, x)], verbose=0).history["loss"],
    }[phase]
    expected = call()
    layers[0].trainable, layers[1].trainable = True, False
    np.testing.assert_allclose(call(), expected, rtol=1e-6)
