"""What callers of Keras's own ``fit`` are used to holds here too, whatever they override; on every backend."""

from __future__ import annotations

import types
from collections import namedtuple

import keras
import numpy as np
import pytest
from keras import layers

import stoker

BACKEND = keras.backend.backend()
BATCHES = [(np.ones((4, 2), "float32"), np.ones((4, 1), "float32"))] * 3
Pair = namedtuple("Pair", "first second")


def small(kind=keras.Sequential, **options):
    model = kind([keras.Input((2,)), layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.1), "mse", **options)
    return model


class Calling(keras.callbacks.Callback):
    """Calls a function with the epoch and the model at the end of each."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def on_epoch_end(self, epoch, logs=None):
        self.function(epoch, self.model)


def failing_predict(epoch, model):
    with pytest.raises(Exception):  # noqa: B017, PT011  # of whatever type the framework has for it
        model.predict(np.ones((4, 3), "float32"), verbose=0)


def test_a_predict_of_keras_own_that_fails_in_a_callback_costs_no_weights():
    model, other = small(), small()
    stoker.fit(model, BATCHES, epochs=3, verbose=0, callbacks=[Calling(failing_predict)])
    stoker.fit(other, BATCHES, epochs=3, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])


def test_a_predict_of_keras_own_that_ends_the_call_costs_no_weights():
    def interrupted(epoch, model):
        kept.append(model.get_weights())
        model.predict(np.ones((4, 3), "float32"), verbose=0)

    model, kept = small(), []
    with pytest.raises(Exception):  # noqa: B017, PT011
        stoker.fit(model, BATCHES, epochs=3, verbose=0, callbacks=[Calling(interrupted)])
    np.testing.assert_array_equal(model.get_weights()[0], kept[0][0])


def test_a_callback_with_callbacks_of_its_own_is_told_and_they_are_not():
    class EverySecond(keras.callbacks.Callback):
        def __init__(self, callbacks):
            super().__init__()
            self.callbacks = callbacks

        def on_epoch_end(self, epoch, logs=None):
            if epoch % 2:
                for callback in self.callbacks:
                    callback.on_epoch_end(epoch, logs)

    seen = []
    within = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    stoker.fit(small(), BATCHES, epochs=4, verbose=0, callbacks=[EverySecond([within])])
    assert seen == [1, 3]


def test_early_stopping_puts_no_older_weights_back_after_ctrl_c():
    class Interrupting(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                self.latest = self.model.get_weights()
                raise KeyboardInterrupt

    interrupting = Interrupting()
    stopping = keras.callbacks.EarlyStopping("loss", mode="max", patience=99, restore_best_weights=True)
    model = small()
    with pytest.raises(KeyboardInterrupt):
        stoker.fit(model, BATCHES, epochs=9, verbose=0, callbacks=[stopping, interrupting])
    np.testing.assert_array_equal(model.get_weights()[0], interrupting.latest[0])


def test_outputs_in_a_named_tuple():
    class Named(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, inputs):
            made = self.dense(inputs)
            return Pair(made, made + 1)

    made = stoker.predict(Named(), np.ones((40, 2), "float32"))
    assert type(made) is Pair and made.first.shape == made.second.shape == (40, 1)


def test_a_metric_that_is_updated_in_compute_metrics_has_the_last_batch_too():
    class Own(keras.Sequential):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.extra = keras.metrics.MeanAbsoluteError(name="extra")

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            result = super().compute_metrics(x, y, y_pred, sample_weight)
            self.extra.update_state(y, y_pred)
            return result

    result = stoker.evaluate(small(Own), BATCHES[:1], return_dict=True)
    assert result["extra"] == pytest.approx(1.0)


def test_a_stop_that_is_asked_for_at_the_last_batch_has_its_validation():
    class Stopping(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.stop_training = True

    history = stoker.fit(small(), BATCHES, epochs=4, verbose=0, validation_data=BATCHES, callbacks=[Stopping()])
    assert history.epoch == [0] and len(history.history["val_loss"]) == 1


def test_a_training_step_that_is_put_in_the_place_of_another_is_taken():
    def constant(self, data):
        return {"loss": keras.ops.convert_to_tensor(42.0)}

    def stateless(self, state, data):
        return {"loss": keras.ops.convert_to_tensor(42.0)}, state

    model = small()
    stoker.fit(model, BATCHES, verbose=0)
    model.train_step = types.MethodType(stateless if BACKEND == "jax" else constant, model)
    model.compile("sgd", "mse")
    assert stoker.fit(model, BATCHES, verbose=0).history["loss"] == [42.0]


def more_logs(logs):
    more = {"inner": {"again": logs["loss"], "deeper": {"rows": 4}}, "nothing": None}
    return {**logs, **more, **({"text": "text"} if BACKEND == "torch" else {})}


class MoreLogs(keras.Sequential):
    """Its step gives logs that are no numbers."""

    def train_step(self, *arguments):
        given = super().train_step(*arguments)
        return (more_logs(given[0]), given[1]) if BACKEND == "jax" else more_logs(given)


@pytest.mark.parametrize("verbose", [0, 2])
def test_logs_of_a_step_may_hold_dicts_and_what_is_no_number(verbose):
    class Hearing(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append({name: value for name, value in logs.items() if name not in ("batch", "size")})

    def expected():
        model = small(MoreLogs)
        return model.fit(*BATCHES[0], batch_size=4, epochs=1, verbose=0).history

    seen = []
    history = stoker.fit(small(MoreLogs), BATCHES[:1] * 40, verbose=verbose, callbacks=[Hearing()]).history
    assert history.keys() == expected().keys() and {"again", "rows"} <= history.keys()
    assert history["again"] == history["loss"] and history["nothing"] == [None] and history.get("text") in (None, ["text"])
    assert len(seen) == 40 and all(logs.keys() == history.keys() and logs["again"] == logs["loss"] for logs in seen)


@pytest.mark.skipif(BACKEND != "jax", reason="JAX only")
def test_logs_of_steps_that_ran_ahead_may_hold_dicts_and_none():
    import jax.numpy as jnp

    from stoker.backend.jax_ahead import GroupLogs

    logs = GroupLogs({"loss": jnp.arange(2.0), "inner": {"again": jnp.arange(2.0)}, "nothing": None})
    assert logs.row(1) == {"loss": 1.0, "again": 1.0, "nothing": None}


@pytest.mark.skipif(BACKEND != "tensorflow", reason="others refuse it in Keras too")
def test_a_model_with_a_step_of_its_own_and_no_call():
    import tensorflow as tf

    class Encoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.net = keras.Sequential([keras.Input((2,)), layers.Dense(1)])

        def train_step(self, data):
            inputs, targets = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((targets - self.net(inputs)) ** 2)
            weights = self.net.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = Encoder()
    model.compile(keras.optimizers.Adam(0.1))
    before = model.net.get_weights()[0]
    assert stoker.fit(model, BATCHES * 10, epochs=3, verbose=0).epoch == [0, 1, 2]
    after = model.net.get_weights()[0]
    assert np.all(np.abs(after - before) > 0.01)


def test_a_class_weight_for_the_only_output_by_name():
    entry = keras.Input((2,))
    model = keras.Model(entry, {"out": layers.Dense(1, activation="sigmoid")(entry)})
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    plain = stoker.fit(model, BATCHES, verbose=0).history["loss"][0]
    weighted = stoker.fit(model, BATCHES, class_weight={0: 1.0, 1: 100.0}, verbose=0).history["loss"][0]
    assert weighted == pytest.approx(100 * plain, rel=1e-4)


def test_labels_in_a_list_of_numbers_and_weights_for_some_outputs():
    x = np.ones((4, 2), "float32")
    assert stoker.fit(small(), (x, list(np.float32([0, 1, 0, 1]))), verbose=0).epoch == [0]
    entry = keras.Input((2,))
    model = keras.Model(entry, [layers.Dense(1)(entry), layers.Dense(1)(entry)])
    model.compile("sgd", ["mse", "mse"])
    assert stoker.fit(model, (x, [x[:, :1], x[:, 1:]], [None, np.ones(4)]), verbose=0).epoch == [0]


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch only")
class TestTorch:
    @pytest.fixture(autouse=True)
    def _recorded_early(self, monkeypatch):
        from stoker.backend import torch_graph

        monkeypatch.setattr(torch_graph, "AFTER_STEPS", 2)
        monkeypatch.setattr(torch_graph, "LONG_STEP_S", 60.0)

    def test_a_class_of_the_users_own_hides_no_change(self):
        class Net(keras.Sequential):
            pass

        model = Net([keras.Input((1,)), layers.Dense(1, kernel_initializer="ones")])
        batches = [(np.full((1, 1), 3.0, "float32"), np.zeros((1, 1), "float32"))] * 20
        for loss, value in (("mse", 9.0), ("mae", 3.0)):
            model.compile(keras.optimizers.SGD(0.0), loss)
            assert stoker.fit(model, batches, verbose=0).history["loss"] == [value]
        assert [form.next for form in model._stoker_programs.by_phase["train"]._forms.values()] == ["graph"]

    def test_batches_of_one_shape_may_lie_in_memory_in_many_ways(self):
        model = keras.Sequential([keras.Input((4, 4)), layers.Flatten(), layers.Dense(1)])
        model.compile("adam", "mse")
        luck = np.random.default_rng(0)

        def batches():
            for number in range(150):
                rows = luck.random((8, 4, 4), dtype="float32")
                yield rows if number < 140 else rows.swapaxes(1, 2), np.zeros((8, 1), "float32")

        assert len(stoker.fit(model, batches(), steps_per_epoch=150, verbose=0).epoch) == 1

    def test_a_log_that_a_step_leaves_in_its_graph_is_read_without_a_warning(self):
        import torch

        class Own(keras.Sequential):
            def train_step(self, data):
                x, y = data
                self.zero_grad()
                loss = self.compute_loss(y=y, y_pred=self(x, training=True))
                loss.backward()
                with torch.no_grad():
                    self.optimizer.apply([weight.value.grad for weight in self.trainable_weights], self.trainable_weights)
                return {"loss": loss, "kernel": self.trainable_weights[0]}

        seen = []
        model = Own([keras.Input((2,)), layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        hears = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"]))
        history = stoker.fit(model, BATCHES, verbose=0, callbacks=[hears]).history
        assert history["loss"] == seen[-1:] and history["kernel"][0].shape == (2, 1)

    def test_layers_of_torch_are_as_for_inference_between_and_after_passes(self):
        import torch

        class Noise(layers.Layer):
            def call(self, inputs):
                return torch.nn.functional.dropout(inputs, 0.5, self.training)

        def look(epoch, model):
            seen.append(model.training)

        seen = []
        model = keras.Sequential([keras.Input((2,)), Noise(), layers.Dense(1)])
        model.compile("sgd", "mse")
        stoker.fit(model, BATCHES, epochs=2, verbose=0, callbacks=[Calling(look)])
        assert seen == [False, False] and not model.training


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow only")
def test_replicas_share_a_batch_as_in_keras():
    import subprocess
    import sys

    script = """
import numpy as np, keras, stoker, tensorflow as tf
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
x, y = np.arange(22, dtype="float32").reshape(11, 2), np.ones((11, 1), "float32")
with strategy.scope():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(1e-3), "mse", metrics=[keras.metrics.TruePositives(0.5), "mae"])
start = model.get_weights()
print(model.evaluate(x, y, batch_size=4, verbose=0), model.predict(x, batch_size=4, verbose=0).ravel().tolist(),
      sorted(model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history.items()), model.get_weights()[0].tolist())
with strategy.scope():
    entry = keras.Input((2,))
    two = keras.Model(entry, [keras.layers.Dense(1)(entry), keras.layers.Dense(1)(entry)])
    two.compile("sgd", ["mse", "mse"])
assert stoker.fit(two, [(x, [y, y], [np.ones(11, "float32"), None])] * 3, verbose=0).epoch == [0]
model.set_weights(start)
print(stoker.evaluate(model, (x, y), batch_size=4), stoker.predict(model, x, batch_size=4).ravel().tolist(),
      sorted(stoker.fit(model, (x, y), batch_size=4, shuffle=False, verbose=0).history.items()), model.get_weights()[0].tolist())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs, ours = done.stdout.splitlines()[-2:]
    assert ours == theirs
