"""On PyTorch, steps that are run from a recording change nothing but the time; what cannot be recorded runs as ever."""

from __future__ import annotations

import copy

import keras
import numpy as np
import pytest
from keras import layers

if keras.backend.backend() != "torch":
    pytest.skip("PyTorch only", allow_module_level=True)

import torch
from same import Cut, data

import stoker
from stoker.backend import keras_settings, torch_graph
from stoker.backend.keras_settings import Settings
from stoker.backend.torch_graph import Form

EPOCHS = 4
LONG_STEP_S = 60.0
"""The first of two steps is slow where the machine is."""


@pytest.fixture(autouse=True)
def _recorded_early(monkeypatch):
    monkeypatch.setattr(torch_graph, "AFTER_STEPS", 2)
    monkeypatch.setattr(torch_graph, "LONG_STEP_S", LONG_STEP_S)


def compiled(*parts, loss="mse", optimizer="adam", **options):
    model = keras.Sequential([keras.Input((6,)), *parts])
    model.compile(optimizer, loss, metrics=["mae"], **options)
    return model


def dense():
    return compiled(layers.Dense(8, "tanh"), layers.Dense(1))


def train(build, monkeypatch, *, may_record=True, epochs=EPOCHS, callbacks=(), parts=None):
    """History and model; ``may_record`` False has every step run as ever."""
    keras.utils.set_random_seed(3)
    model = build()
    with monkeypatch.context() as change:
        if not may_record:
            change.setattr(torch_graph, "AFTER_STEPS", 10**9)
        history = stoker.fit_generator(
            model, Cut(*(parts or data())), epochs=epochs, verbose=0, shuffle=False, validation_data=Cut(*data(1)),
            callbacks=[make(model) for make in callbacks])
    return history.history, model


def assert_same_with_and_without(build, monkeypatch, **ways):
    """Trains twice, and gives the model whose steps might be recorded."""
    expected, theirs = train(build, monkeypatch, may_record=False, **ways)
    got, ours = train(build, monkeypatch, **ways)
    assert got == expected
    for weight, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    return ours


def kinds(model, phase="train"):
    """How steps on batches of each shape are run now: full batches, and the last one of an epoch."""
    return [form.next for form in model._stoker_programs.by_phase[phase]._forms.values()]


def functional():
    one, two = keras.Input((6,), name="one"), keras.Input((6,), name="two")
    shared = layers.Dense(5, "gelu")
    joined = layers.concatenate([shared(one), shared(two)])
    model = keras.Model({"one": one, "two": two}, {"a": layers.Dense(1, name="a")(joined), "b": layers.Dense(1, name="b")(joined)})
    model.compile("adam", {"a": "mse", "b": "mae"}, loss_weights={"a": 1.0, "b": 0.3})
    return model


def named_parts():
    x, y = data()
    return {"one": x, "two": x[::-1].copy()}, {"a": y, "b": -y}, {"a": np.abs(y[:, 0]), "b": np.ones(len(y), "float32")}


@pytest.mark.parametrize("build", [
    dense,
    lambda: compiled(layers.Dense(8), layers.BatchNormalization(), layers.Activation("relu"), layers.Dense(1)),
    lambda: compiled(layers.Dense(16), layers.Dropout(0.5), layers.Dense(1)),
    lambda: compiled(layers.Reshape((6, 1)), layers.Conv1D(4, 3, padding="same"), layers.MaxPooling1D(), layers.Flatten(), layers.Dense(1)),
    lambda: compiled(layers.Reshape((3, 2)), layers.LSTM(4, return_sequences=True), layers.GRU(3), layers.Dense(1)),
    lambda: compiled(layers.Dense(4, kernel_regularizer="l2", kernel_constraint="unit_norm"), layers.LayerNormalization(), layers.Dense(1)),
    lambda: compiled(layers.Dense(4, dtype="mixed_bfloat16"), layers.Dense(1, dtype="float32")),
    lambda: compiled(layers.Dense(4), layers.Dense(1), loss=keras.losses.Huber(0.3), optimizer=keras.optimizers.AdamW(0.01, clipnorm=0.1)),
    lambda: compiled(layers.Dense(4), layers.Dense(1), optimizer="sgd"),
    lambda: compiled(layers.Dense(4), layers.Dense(1), optimizer=keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=0.1)),
    lambda: compiled(
        layers.Dense(4), layers.Dense(1), optimizer=keras.optimizers.SGD(0.03, 0.5, nesterov=True, weight_decay=0.1, use_ema=True)),
], ids=["dense", "norm", "dropout", "conv", "rnn", "regularized", "mixed", "clipped", "sgd", "momentum", "nesterov"])
def test_models_of_keras_own_layers_run_from_recordings_to_the_bit(build, monkeypatch):
    model = assert_same_with_and_without(build, monkeypatch)
    assert kinds(model)[0] == kinds(model, "test")[0] == "graph"


def test_several_inputs_outputs_and_weights_of_samples(monkeypatch):
    def run(*, may_record):
        keras.utils.set_random_seed(3)
        model = functional()
        with monkeypatch.context() as change:
            if not may_record:
                change.setattr(torch_graph, "AFTER_STEPS", 10**9)
            history = stoker.fit_generator(model, Cut(*named_parts()), epochs=EPOCHS, verbose=0, shuffle=False)
        return history.history, model

    (expected, _), (got, model) = run(may_record=False), run(may_record=True)
    assert got == expected and kinds(model)[0] == "graph"


def own_loss(y, y_pred):
    return keras.ops.mean(keras.ops.abs(y - y_pred), axis=-1)


class Doubled(layers.Layer):
    def call(self, inputs):
        return inputs * 2


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = layers.Dense(1)

    def call(self, inputs):
        return self.last(inputs)


def subclassed():
    model = Net()
    model.compile("sgd", "mse", metrics=["mae"])
    return model


@pytest.mark.parametrize("build", [
    lambda: compiled(layers.Dense(1), loss=own_loss),
    lambda: compiled(Doubled(), layers.Dense(1)),
    lambda: compiled(layers.Lambda(lambda inputs: inputs * 2), layers.Dense(1)),
    lambda: compiled(layers.Dense(1, activation=lambda x: x * 2)),
    subclassed,
    lambda: compiled(layers.Dense(8), layers.Dropout(0.5, seed=4), layers.Dense(1)),
    lambda: compiled(layers.GaussianNoise(0.3), layers.Dense(1)),
    lambda: compiled(layers.Dense(1), optimizer=keras.optimizers.Adam(0.01, gradient_accumulation_steps=3)),
    lambda: compiled(layers.Dense(1), optimizer=keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9))),
    lambda: compiled(layers.Dense(1), optimizer="adadelta"),
], ids=["loss", "layer", "lambda", "activation", "model", "seeded dropout", "noise", "accumulating", "schedule", "rate as a number"])
def test_code_of_the_users_and_choices_that_depend_on_numbers_run_as_ever(build, monkeypatch):
    assert kinds(assert_same_with_and_without(build, monkeypatch))[0] == "as ever"


def test_a_model_that_runs_eagerly_is_never_recorded(monkeypatch):
    _, model = train(lambda: compiled(layers.Dense(1), run_eagerly=True), monkeypatch)
    assert not hasattr(model, "_stoker_programs")


class Change(keras.callbacks.Callback):
    """Does something to the model at the end of an epoch."""

    def __init__(self, change, at=(1, 2)):
        super().__init__()
        self.change, self.at = change, at

    def on_epoch_end(self, epoch, logs=None):
        if epoch in self.at:
            self.change(self.model, epoch)


def drop_more(model, epoch):
    model.layers[1].rate = 0.1 + epoch / 10


def freeze(model, epoch):
    model.layers[0].trainable = False


def learn_slower(model, epoch):
    model.optimizer.learning_rate = 0.001


def compile_anew(model, epoch):
    model.compile("adam", "mae", metrics=["mae"])


def other_weights(model, epoch):
    model.set_weights([weight * 0.5 for weight in model.get_weights()])


@pytest.mark.parametrize("change", [drop_more, freeze, learn_slower, compile_anew, other_weights])
def test_what_a_callback_changes_between_epochs_counts_from_then_on(change, monkeypatch):
    def build():
        return compiled(layers.Dense(8), layers.Dropout(0.2), layers.Dense(1))

    model = assert_same_with_and_without(build, monkeypatch, epochs=6, callbacks=[lambda model: Change(change)])
    assert "graph" in kinds(model)


def test_what_a_callback_changes_between_batches_counts_at_once(monkeypatch):
    class Often(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 5:
                drop_more(self.model, batch)

    def build():
        return compiled(layers.Dense(8), layers.Dropout(0.2), layers.Dense(1))

    assert_same_with_and_without(build, monkeypatch, callbacks=[lambda model: Often()])


def test_a_layer_that_a_callback_unfreezes_between_batches_is_trained_from_then_on(monkeypatch):
    class Unfreeze(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.layers[0].trainable = self.model.layers[0].trainable or batch == 7

    def run(*, may_record):
        keras.utils.set_random_seed(3)
        model = dense()
        model.train_on_batch(*batches[0])
        model.layers[0].trainable = False
        with monkeypatch.context() as change:
            if not may_record:
                change.setattr(torch_graph, "AFTER_STEPS", 10**9)
            history = stoker.fit(model, batches, epochs=2, verbose=0, callbacks=[Unfreeze()])
        return history.history, model

    batches = [data()] * 20
    (expected, theirs), (got, ours) = run(may_record=False), run(may_record=True)
    assert got == expected and kinds(ours) == ["graph"]
    for weight, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


@pytest.mark.parametrize("at", [range(1), (1, 2), range(9)])
def test_the_rate_of_an_optimizer_that_takes_it_as_a_number_counts_from_the_batch_on_at_which_it_changed(at, monkeypatch):
    class Often(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if self.model.optimizer.iterations in [4 * number + 6 for number in at]:
                self.model.optimizer.learning_rate = float(self.model.optimizer.learning_rate) * 0.5

    ways = {"epochs": 10, "callbacks": [lambda model: Often()]}
    model = assert_same_with_and_without(lambda: compiled(layers.Dense(1), optimizer="sgd"), monkeypatch, **ways)
    assert kinds(model)[0] == ("graph" if len(at) < 9 else "as ever")


def test_settings_that_change_again_and_again_are_not_recorded_any_more(monkeypatch):
    def build():
        return compiled(layers.Dense(8), layers.Dropout(0.2), layers.Dense(1))

    ways = {"epochs": 7, "callbacks": [lambda model: Change(drop_more, range(7))]}
    assert set(kinds(assert_same_with_and_without(build, monkeypatch, **ways))) == {"as ever"}


def test_gradients_are_where_backward_leaves_them(monkeypatch):
    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append([variable.value.grad.clone() for variable in self.model.trainable_weights])

    found = []
    for may_record in (False, True):
        seen = []
        _, model = train(dense, monkeypatch, may_record=may_record, callbacks=[lambda model: Look()])
        found.append(seen)
    assert kinds(model)[0] == "graph"
    assert len(found[0]) == len(found[1])
    assert all(torch.equal(one, other) for ours, theirs in zip(*found, strict=True) for one, other in zip(ours, theirs, strict=True))


def test_predictions_are_the_same_and_keep_their_structure(monkeypatch):
    model, inputs = functional(), named_parts()[0]
    expected = model.predict(inputs, batch_size=8, verbose=0)
    for _ in range(3):
        got = stoker.predict_generator(model, Cut(inputs), verbose=0)
        assert list(got) == list(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(got[name], array)
    assert kinds(model, "predict")[0] == "graph"


def test_batches_of_many_lengths_run_as_ever_once_four_are_known(monkeypatch):
    def batches():
        for number in range(60):
            x, y = data()
            yield x[:1 + number % 6], y[:1 + number % 6]

    model = dense()
    stoker.fit_generator(model, batches(), 60, verbose=0)
    assert kinds(model) == ["graph"] * 4


def test_a_model_that_was_recorded_is_copied_and_saved_as_ever(monkeypatch, tmp_path):
    _, model = train(dense, monkeypatch)
    for other in (copy.deepcopy(model), keras.models.clone_model(model)):
        assert not hasattr(other, "_stoker_programs")
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras").get_weights()[0], model.get_weights()[0])


class Recorded:
    """A recording that is like others of its number."""

    def __init__(self, number):
        self.number = number

    def equals(self, other):
        return self.number == other.number


def form_after(*recordings):
    form = Form()
    for _ in range(2):
        form.took(0.001)
    form.watched(set())
    for recording in recordings:
        assert form.next == "recorded"
        form.recorded(recording)
    return form


def test_two_equal_recordings_are_asked_for():
    one = Recorded(1)
    assert form_after(one, Recorded(1)).next == "graph"
    assert form_after(one, Recorded(2)).next == form_after(one, None).next == form_after(None).next == "as ever"


def test_long_steps_and_strangers_are_never_recorded():
    slow, strange = Form(), Form()
    for _ in range(5):
        slow.took(2 * LONG_STEP_S)
    assert slow.next == "as ever"
    strange.took(0.001)
    assert strange.next == "as ever"
    strange.took(0.001)
    assert strange.next == "watched"
    strange.watched({"my_layers"})
    assert strange.next == "as ever"


def test_settings_hold_until_an_attribute_changes():
    model = compiled(layers.Dense(8), layers.Dropout(0.2), layers.Dense(1))
    model.train_on_batch(*data())
    settings = Settings(model)
    model.train_on_batch(*data())
    model.evaluate(*data(), verbose=0)
    model.train()
    assert settings.hold()
    model.layers[1].rate = 0.3
    assert not settings.hold()
    model.layers[1].rate = 0.2
    assert settings.hold()
    model.optimizer.weight_decay = 0.1
    assert not settings.hold()


def test_nobody_looks_at_settings_where_nothing_is_recorded(monkeypatch):
    class Noting(layers.Layer):
        def call(self, inputs):
            self.latest = inputs
            return inputs

    class Counted(Settings):
        def __init__(self, model):
            looks.append(model)
            super().__init__(model)

    looks = []
    monkeypatch.setattr(torch_graph, "Settings", Counted)
    model = compiled(layers.Dense(4), Noting(), layers.Dense(1))
    stoker.fit(model, Cut(*data()), epochs=6, workers=0, verbose=0)
    assert len(looks) <= 6


def test_a_model_that_keeps_its_data_is_not_looked_through_at_every_step():
    model = dense()
    model.rows = list(range(keras_settings.MOST + 1))
    assert not Settings(model).hold()


@pytest.mark.parametrize("change", [
    lambda model: setattr(model.layers[0], "activation", keras.activations.relu),
    lambda model: setattr(model.layers[0], "trainable", False),
    lambda model: setattr(model.layers[0].kernel, "trainable", False),
    lambda model: model.layers[0].register_forward_hook(lambda *_: None),
    lambda model: setattr(model.optimizer, "clipnorm", 1.0),
    lambda model: setattr(model, "loss_weights", [2.0]),
    lambda model: model.compile("adam", "mse"),
], ids=["activation", "layer", "variable", "hook", "clipnorm", "attribute", "compile"])
def test_settings_see_every_change(change):
    model = dense()
    model.train_on_batch(*data())
    settings = Settings(model)
    change(model)
    assert not settings.hold()
