"""Callbacks: order of events, logs, parameters, live weights, nested calls, early stop."""

from __future__ import annotations

import itertools
import json
import pickle

import keras
import models
import numpy as np
import pytest

import stoker
import stoker.keras  # noqa: F401
from stoker.errors import StokerWarning
from stoker.loop.callbacks import BatchLogs

EVENTS = [
    f"on_{phase}{part}_{edge}" for phase in ("train", "test", "predict") for part in ("", "_batch") for edge in ("begin", "end")
] + ["on_epoch_begin", "on_epoch_end"]


def recorder(base=keras.callbacks.Callback, names=EVENTS):
    """A callback that writes down every event with its number and the names in its logs."""
    heard = []

    def hook(name):
        def method(self, *arguments):
            *number, logs = arguments
            heard.append((name, *number, sorted(logs)))

        return method

    made = type("Recorder", (base,), {name: hook(name) for name in names})()
    made.heard = heard
    return made


def names(heard):
    return [(name.removeprefix("on_"), *rest[:-1]) for name, *rest in heard]


def test_events_come_in_the_order_of_keras_2():
    callback = recorder()
    models.small_model().fit_generator(
        models.endless(), 3, 2, verbose=0, callbacks=[callback], validation_data=models.Numbered(2))
    batches = [event for i in range(3) for event in (("train_batch_begin", i), ("train_batch_end", i))]
    tests = [event for i in range(2) for event in (("test_batch_begin", i), ("test_batch_end", i))]
    epochs = [[("epoch_begin", e), *batches, ("test_begin",), *tests, ("test_end",), ("epoch_end", e)] for e in range(2)]
    assert names(callback.heard) == [("train_begin",), *itertools.chain(*epochs), ("train_end",)]


def test_logs_hold_what_callbacks_look_for():
    callback = recorder()
    model = models.small_model()
    model.fit_generator(models.endless(), 2, verbose=0, callbacks=[callback], validation_data=models.Numbered(2))
    logs = {name: rest[-1] for name, *rest in callback.heard}
    assert logs["on_train_batch_begin"] == ["batch", "size"]
    assert logs["on_train_batch_end"] == logs["on_test_batch_end"] == ["batch", "loss", "mae", "size"]
    assert logs["on_epoch_end"] == logs["on_train_end"] == ["loss", "mae", "val_loss", "val_mae"]
    assert logs["on_test_end"] == ["loss", "mae"]
    model.predict_generator(models.endless(), 2, callbacks=[callback])
    assert callback.heard[-2][:2] == ("on_predict_batch_end", 1) and callback.heard[-2][2] == ["batch", "outputs", "size"]


def test_old_style_batch_hooks_and_plain_objects_are_told():
    old = recorder(names=["on_batch_begin", "on_batch_end"])
    plain = recorder(object, ["on_epoch_end", "on_batch_end"])
    heard = []
    single = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: heard.append(batch))
    models.small_model().fit_generator(models.endless(), 2, verbose=0, callbacks=[old, [plain, single]])
    assert names(old.heard) == [("batch_begin", 0), ("batch_end", 0), ("batch_begin", 1), ("batch_end", 1)]
    assert names(plain.heard) == [("batch_end", 0), ("batch_end", 1), ("epoch_end", 0)] and heard == [0, 1]


def test_callbacks_may_come_one_or_as_a_callback_list():
    callback = recorder()
    model = models.small_model()
    model.fit_generator(models.endless(), 1, verbose=0, callbacks=callback)
    model.fit_generator(models.endless(), 1, verbose=0, callbacks=keras.callbacks.CallbackList([callback]))
    assert names(callback.heard).count(("train_begin",)) == 2


def test_batch_logs_are_a_dict_whichever_way_they_are_read():
    def logs():
        return BatchLogs(3, 4, lambda: {"loss": 0.5})

    full = {"batch": 3, "size": 4, "loss": 0.5}
    assert logs()["loss"] == 0.5 and logs().get("loss") == 0.5 and "loss" in logs() and len(logs()) == 3
    assert dict(logs()) == full == {**logs()} == logs().copy() == logs() | {} == {} | logs()
    assert list(logs()) == list(full) and list(logs().values()) == [3, 4, 0.5] and logs() == full
    assert json.loads(json.dumps(logs())) == full and type(pickle.loads(pickle.dumps(logs()))) is dict
    assert logs().pop("loss") == 0.5 and repr(logs()) == repr(full)
    assert logs().setdefault("loss", 99) == 0.5 and logs().popitem() == ("loss", 0.5)
    assert list(reversed(logs())) == ["loss", "size", "batch"] and logs() != {"batch": 3, "size": 4}
    shorter = logs()
    del shorter["loss"]
    assert shorter == {"batch": 3, "size": 4}
    with pytest.raises(KeyError):
        logs()["nothing"]


def test_batch_logs_are_not_read_unless_looked_at():
    def read():
        raise AssertionError("read")

    logs = BatchLogs(3, 4, read)
    assert logs["batch"] == 3 and logs["size"] == 4


def test_params_say_what_runs():
    callback = keras.callbacks.Callback()
    history = models.small_model().fit_generator(
        models.Numbered(3), epochs=4, initial_epoch=2, verbose=0, callbacks=[callback], validation_data=models.Numbered(2))
    assert callback.params is history.params
    assert callback.params == {"epochs": 4, "steps": 3, "verbose": 0, "do_validation": True,
                               "metrics": ["loss", "mae", "val_loss", "val_mae"]}


def test_what_a_callback_adds_to_epoch_logs_is_in_history():
    rate = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(rate=0.1 * epoch))
    history = models.small_model().fit_generator(models.endless(), 1, 3, verbose=0, callbacks=[rate])
    assert history.history["rate"] == [0.0, 0.1, 0.2] and history.epoch == [0, 1, 2]


def test_the_history_returned_is_the_models_and_may_be_the_callers():
    model, mine = models.small_model(), keras.callbacks.History()
    assert model.fit_generator(models.endless(), 1, verbose=0, callbacks=[mine]) is mine is model.history
    assert len(mine.feed) == 1 and mine.records[0].reason == "all batches were run"
    assert isinstance(model.fit_generator(models.endless(), 1, verbose=0), keras.callbacks.History)


def test_callbacks_see_live_weights_and_may_change_them():
    model = models.small_model()
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(self.model.get_weights()[1][0]))
            model.set_weights([np.zeros((2, 1)), np.array([7.0 + batch])])

    model.fit_generator(itertools.repeat(models.batch(0)), 3, verbose=0, callbacks=[Watch()])
    np.testing.assert_allclose(seen, [0.0, 7 * 0.98, 8 * 0.98], rtol=1e-5)
    assert model.get_weights()[1][0] == 9.0


def test_the_learning_rate_may_be_changed_between_batches_and_epochs():
    model = models.small_model(optimizer=keras.optimizers.SGD(0.1))
    stop = keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)
    model.fit_generator(models.endless(), 3, verbose=0, callbacks=[stop])
    np.testing.assert_array_equal(model.get_weights()[0], np.ones((2, 1)))


def test_calls_may_nest_in_callbacks():
    model = models.small_model()
    x, y = models.batch(1)
    found = []

    class Nest(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found.append(self.model.predict(x, verbose=0).shape)
            found.append(self.model.predict_generator(models.endless(), 2).shape)

        def on_epoch_end(self, epoch, logs=None):
            found.append(len(self.model.evaluate_generator(models.endless(), 2)))
            found.append(len(self.model.evaluate(x, y, verbose=0)))

    plain = models.small_model()
    expected = plain.fit_generator(models.endless(), 3, 2, verbose=0)
    history = model.fit_generator(models.endless(), 3, 2, verbose=0, callbacks=[Nest()])
    assert found == ([(4, 1), (8, 1)] * 3 + [2, 2]) * 2 and history.history == expected.history
    np.testing.assert_array_equal(model.get_weights()[0], plain.get_weights()[0])


def test_evaluating_in_a_batch_hook_leaves_the_running_metrics_alone():
    class Nest(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.evaluate_generator(models.endless(), 2)

    expected = models.small_model().fit_generator(models.endless(), 3, 2, verbose=0)
    history = models.small_model().fit_generator(models.endless(), 3, 2, verbose=0, callbacks=[Nest()])
    assert history.history == expected.history


class StopAt(keras.callbacks.Callback):
    """Asks to stop at a batch of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at = (epoch, batch)
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.model.stop_training = True


def test_a_stop_in_mid_epoch_is_heeded_at_once():
    callback = recorder()
    history = models.small_model().fit_generator(
        models.endless(), 5, 4, verbose=0, callbacks=[StopAt(1, 2), callback], validation_data=models.Numbered(1))
    assert history.epoch == [0, 1] and len(history.history["loss"]) == 2 and len(history.history["val_loss"]) == 1
    assert names(callback.heard)[-3:] == [("train_batch_end", 2), ("epoch_end", 1), ("train_end",)]
    assert history.records[1].reason == "a callback asked to stop after 3 of 5 batches"


def test_early_stopping_ends_training_and_restores_weights():
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True, baseline=-1.0)
    history = models.small_model().fit_generator(
        models.endless(), 2, 10, verbose=0, callbacks=[stopping], validation_data=models.Numbered(2))
    assert 1 <= len(history.epoch) < 10


def test_validation_does_not_clear_a_stop():
    class Ask(keras.callbacks.Callback):
        def on_test_end(self, logs=None):
            self.model.stop_training = True

    history = models.small_model().fit_generator(
        models.endless(), 2, 5, verbose=0, callbacks=[Ask()], validation_data=models.Numbered(1))
    assert history.epoch == [0] and "val_loss" in history.history


def test_evaluation_and_prediction_can_be_stopped_too():
    model = models.small_model()

    class Stop(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            self.model.stop_evaluating = batch == 1

        def on_predict_batch_end(self, batch, logs=None):
            self.model.stop_predicting = batch == 1

    assert model.predict_generator(models.endless(), 5, callbacks=[Stop()]).shape == (8, 1)
    heard = recorder()
    model.evaluate_generator(models.endless(), 5, callbacks=[Stop(), heard])
    assert names(heard.heard)[-2:] == [("test_batch_end", 1), ("test_end",)]


def test_no_epochs_left_gives_an_empty_history_and_both_train_events():
    callback = recorder()
    history = models.small_model().fit_generator(models.endless(), 2, 3, verbose=0, initial_epoch=3, callbacks=[callback])
    assert names(callback.heard) == [("train_begin",), ("train_end",)] and history.history == {} and history.epoch == []


def test_initial_epoch_keeps_its_numbers():
    assert models.small_model().fit_generator(models.endless(), 1, 5, verbose=0, initial_epoch=3).epoch == [3, 4]


@pytest.mark.parametrize(("freq", "validated"), [(1, 4), (2, 2), (3, 1), ([1, 4], 2)])
def test_validation_freq_says_after_which_epochs(freq, validated):
    history = models.small_model().fit_generator(
        models.endless(), 1, 4, verbose=0, validation_data=models.Numbered(1), validation_freq=freq)
    assert len(history.history["val_loss"]) == validated


def test_on_train_begin_runs_before_the_first_item_is_pulled():
    events = []

    def source():
        events.append("pulled")
        yield from models.endless()

    begin = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: events.append("begin"))
    models.small_model().fit_generator(source(), 1, verbose=0, callbacks=[begin])
    assert events == ["begin", "pulled"]


def test_a_generator_object_may_itself_be_a_callback():
    class Both(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.data = models.endless()

        def __next__(self):
            return next(self.data)

        def __iter__(self):
            return self

    both = Both()
    assert len(models.small_model().fit_generator(both, 2, verbose=0, callbacks=[both]).epoch) == 1


def test_on_train_end_runs_when_an_exception_escapes():
    callback = recorder()
    with pytest.raises(KeyError):
        models.small_model().fit_generator(models.Numbered(4, 2, KeyError("k")), verbose=0, callbacks=[callback], shuffle=False)
    assert names(callback.heard)[-1] == ("train_end",)


def test_a_stream_that_ends_early_is_told_and_the_epoch_recorded():
    made = (models.batch(n % 3) for n in range(5))
    with pytest.warns(StokerWarning, match="ended after 2 of 3 batches"):
        history = models.small_model().fit_generator(made, 3, 4, verbose=0)
    assert history.epoch == [0, 1] and history.records[1].steps == 2


def test_a_checkpoint_of_each_epoch_holds_its_weights(tmp_path):
    model = models.small_model()
    save = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    model.fit_generator(models.endless(), 2, 2, verbose=0, callbacks=[save])
    expected = model.get_weights()
    model.load_weights(tmp_path / "2.weights.h5")
    np.testing.assert_array_equal(expected[0], model.get_weights()[0])


def test_backup_and_restore_goes_on_with_the_epoch_after_the_interrupted_one(tmp_path):
    class Fail(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise OSError("power")

    model = models.small_model()
    with pytest.raises(OSError, match="power"):
        model.fit_generator(models.endless(), 2, 4, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path), Fail()])
    weights = model.get_weights()
    again = models.small_model()
    history = again.fit_generator(
        models.endless(), 2, 4, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)])
    assert history.epoch == [2, 3] and not np.array_equal(weights[0], again.get_weights()[0])


def test_built_in_callbacks_run_together(tmp_path):
    model = models.small_model()
    callbacks = [keras.callbacks.ReduceLROnPlateau("loss"), keras.callbacks.CSVLogger(tmp_path / "log.csv"),
                 keras.callbacks.TerminateOnNaN(), keras.callbacks.EarlyStopping(monitor="loss", patience=9)]
    stoker.fit(model, models.Numbered(3), epochs=2, verbose=0, callbacks=callbacks)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3


def test_batch_logs_that_are_kept_and_read_later_are_those_of_their_batch():
    kept = []
    model = models.small_model(metrics=[keras.metrics.TruePositives()])
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: kept.append(logs))
    stoker.fit(model, [(np.ones((4, 2), "float32"), np.ones((4, 1), "float32"))] * 5, verbose=0, callbacks=[callback])
    assert [logs["true_positives"] for logs in kept] == [4.0, 8.0, 12.0, 16.0, 20.0]
