"""Loss curves and weights are those of Keras's own fit on the same batches, on whatever backend Keras runs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from same import Cut, assert_same, data, train_both

import stoker

pytestmark = pytest.mark.slow

EPOCHS = 20
BACKEND = keras.backend.backend()



@pytest.fixture(autouse=True)
def _recorded_early(monkeypatch):
    """On PyTorch, most steps of these short trainings are run from recordings."""
    if BACKEND == "torch":
        monkeypatch.setattr("stoker.backend.torch_graph.AFTER_STEPS", 2)


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "sgd with a schedule": lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.05, 10, 0.9)),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adam with ema": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=None),
    "adam with ema taken over": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=5),
    "adam with a clipped norm": lambda: keras.optimizers.Adam(0.01, clipnorm=0.1),
    "adam clipped globally": lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.1),
    "adam accumulating": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.02),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, clipvalue=0.05),
    "lion": lambda: keras.optimizers.Lion(0.003, weight_decay=0.01),
}


def dense(optimizer):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="tanh"), layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_epochs_of_any_optimizer_are_bit_identical(name):
    assert_same(*train_both(lambda: dense(OPTIMIZERS[name]()), data(), EPOCHS, validation=data(1)), exact=True)


@pytest.mark.parametrize("ways", [{"workers": 0}, {"workers": 3}])
def test_the_number_of_workers_changes_nothing(ways):
    assert_same(*train_both(lambda: dense("adam"), data(), 3, **ways), exact=True)


def compiled(model, optimizer="adam", loss="mse", **options):
    model.compile(optimizer, loss, **options)
    return model


def batch_norm():
    return compiled(keras.Sequential([keras.Input((6,)), layers.Dense(8), layers.BatchNormalization(), layers.Dense(1)]))


def dropout():
    return compiled(keras.Sequential([keras.Input((6,)), layers.Dense(16), layers.Dropout(0.5), layers.Dense(1)]))


def unbuilt():
    return compiled(keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(1)]), metrics=["mae"])


def classifier():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(4, activation="softmax")])
    return compiled(model, loss="sparse_categorical_crossentropy", metrics=["accuracy"])


def with_added_loss():
    class Penalised(layers.Layer):
        def call(self, inputs):
            self.add_loss(0.01 * keras.ops.mean(keras.ops.square(inputs)))
            return inputs

    return compiled(keras.Sequential([
        keras.Input((6,)), layers.Dense(8, kernel_regularizer="l2"), Penalised(), layers.Dense(1)]))


def eager():
    return compiled(keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Dense(1)]), run_eagerly=True)


def scaled():
    inner = keras.optimizers.Adam(0.01)
    return compiled(keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Dense(1)]),
                    optimizer=keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**10, dynamic_growth_steps=5))


def mixed():
    policy = keras.mixed_precision.DTypePolicy("mixed_bfloat16")
    return compiled(keras.Sequential([
        keras.Input((6,)), layers.Dense(8, activation="relu", dtype=policy), layers.Dense(1, dtype="float32")]))


def subclassed():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Dense(8, activation="relu")
            self.last = layers.Dense(1)

        def call(self, inputs):
            return self.last(self.hidden(inputs))

    return compiled(Net(), metrics=["mae"])


def own_loss():
    class Net(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.mean(keras.ops.abs(y - y_pred)) + 0.1

    inputs = keras.Input((6,))
    model = Net(inputs, layers.Dense(1)(inputs))
    model.compile("sgd")
    return model


@pytest.mark.parametrize("build", [
    batch_norm, dropout, unbuilt, with_added_loss, eager, scaled, mixed, subclassed, own_loss], ids=lambda build: build.__name__)
def test_a_model_of_any_kind_trains_as_in_keras(build):
    if build is dropout and BACKEND == "torch":
        pytest.skip("Keras's fit draws a seed for its DataLoader from the generator that dropout uses")
    assert_same(*train_both(build, data(), 3, validation=data(1)))


def test_dropout_is_reproduced_by_the_seed_whatever_feeds():
    losses = []
    for workers in (0, 1, 2):
        keras.utils.set_random_seed(11)
        losses.append(stoker.fit_generator(dropout(), Cut(*data()), epochs=2, verbose=0, workers=workers).history["loss"])
    assert losses[0] == losses[1] == losses[2]


def test_labels_of_sparse_losses_keep_their_meaning():
    x, y = data(classes=4)
    assert_same(*train_both(classifier, (x, y.astype("uint8")), 3))


def test_sample_weights_weigh_as_in_keras():
    x, y = data()
    weights = np.linspace(0, 2, len(x)).astype("float32")
    assert_same(*train_both(lambda: dense("sgd"), (x, y, weights), 3))


def test_several_inputs_and_outputs_by_name():
    def build():
        a, b = keras.Input((6,), name="a"), keras.Input((1,), name="b")
        both = layers.Concatenate()([a, b])
        model = keras.Model({"a": a, "b": b}, {"p": layers.Dense(1, name="p")(both), "q": layers.Dense(1, name="q")(both)})
        return compiled(model, optimizer="sgd", loss={"p": "mse", "q": "mae"}, loss_weights={"p": 1.0, "q": 0.3},
                        metrics={"p": ["mae"], "q": ["mse"]})

    x, y = (part[:48] for part in data())  # Keras on TensorFlow weighs a smaller last batch wrongly in p_loss and q_loss
    assert_same(*train_both(build, ({"a": x, "b": y}, {"p": y, "q": -y}), 3))


@pytest.mark.skipif(BACKEND == "torch", reason="Keras's own fit cannot train a stateful layer on torch")
def test_a_recurrent_model_with_state():
    def build():
        model = keras.Sequential([keras.Input(batch_shape=(8, 3, 2)), layers.LSTM(4, stateful=True), layers.Dense(1)])
        return compiled(model, optimizer="sgd")

    class Whole(keras.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            luck = np.random.default_rng(index)
            x = luck.normal(size=(8, 3, 2)).astype("float32")
            return x, x.sum(axis=(1, 2), keepdims=True)[:, 0]

    histories = []
    for fit in (lambda m: m.fit(Whole(), epochs=3, verbose=0, shuffle=False),
                lambda m: stoker.fit_generator(m, Whole(), epochs=3, verbose=0, shuffle=False)):
        keras.utils.set_random_seed(1)
        histories.append(fit(build()).history["loss"])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-6)


def test_a_step_of_the_models_own_counts():
    if BACKEND == "jax":
        from own_steps_jax import OwnStep
    elif BACKEND == "torch":
        from own_steps_torch import OwnStep
    else:
        from own_steps_tensorflow import OwnStep

    def build():
        inputs = keras.Input((6,))
        model = OwnStep(inputs, layers.Dense(1)(inputs))
        model.compile(optimizer="adam")
        return model

    theirs, ours = train_both(build, data(), 3, validation=data(1))
    assert "own_mae" in ours[0] and "val_own_mae" in ours[0]
    assert_same(theirs, ours)


def test_predictions_are_those_of_keras():
    x, _ = data()
    model = dense("sgd")
    expected = model.predict(x, verbose=0, batch_size=8)
    got = stoker.predict_generator(model, (x[start:start + 8] for start in range(0, len(x), 8)), steps=7)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_evaluation_is_that_of_keras():
    x, y = data()
    model = dense("sgd")
    expected = model.evaluate(x, y, verbose=0, batch_size=8)
    got = stoker.evaluate_generator(model, ((x[start:start + 8], y[start:start + 8]) for start in range(0, len(x), 8)), steps=7)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
