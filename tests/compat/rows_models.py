"""Models, optimizers, metrics and callbacks as old scripts use them. Run in a process of its own for each backend."""

import numpy as np
import pytest

import stoker.compat

stoker.compat.install()

from keras import backend as K  # noqa: E402
from keras.layers import Dense, Input  # noqa: E402
from keras.models import Model, Sequential  # noqa: E402
from keras.optimizers import SGD, Adam  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::stoker.compat.CompatWarning")

R = np.random.RandomState(4)
X = R.rand(16, 4).astype("float32")
Y = np.eye(2, dtype="float32")[R.randint(0, 2, 16)]


def linear(optimizer, units=1, loss="mse", **options):
    model = Sequential([Dense(units, input_dim=4, init="one", bias=False)])
    model.compile(optimizer, loss, **options)
    return model


# one optimizer, several models

def test_one_optimizer_serves_two_models_that_share_its_rate_and_its_steps():
    optimizer = SGD(lr=0.1, decay=1.0, momentum=0.9)
    one, other = linear(optimizer), linear(optimizer)
    K.set_value(optimizer.lr, 0.2)
    weights = {id(model): model.get_weights()[0].astype("float64") for model in (one, other)}
    speeds = dict.fromkeys(weights, 0.0)
    for step, model in enumerate((one, other, one, one, other)):
        w = weights[id(model)]
        speeds[id(model)] = 0.9 * speeds[id(model)] - 0.2 / (1 + step) * 2 * X.T @ (X @ w - 1) / 16
        weights[id(model)] = w + speeds[id(model)]
        model.train_on_batch(X, np.ones((16, 1)))
    for model in (one, other):
        np.testing.assert_allclose(model.get_weights()[0], weights[id(model)], rtol=1e-4)
    assert float(K.get_value(one.optimizer.lr)) == float(K.get_value(other.optimizer.lr)) == pytest.approx(0.2)


def test_a_generator_and_its_critic_train_in_turn_with_one_optimizer():
    optimizer = Adam(0.02, 0.5)
    critic = Sequential([Dense(1, input_dim=2, activation="sigmoid")])
    critic.compile(loss="binary_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    maker = Sequential([Dense(2, input_dim=4)])
    noise = Input(shape=(4,))
    critic.trainable = False
    pair = Model(noise, critic(maker(noise)))
    pair.compile(loss="binary_crossentropy", optimizer=optimizer)
    for _ in range(3):
        before = [model.get_weights()[0].copy() for model in (critic, maker)]
        loss, accuracy = critic.train_on_batch(maker.predict(X), np.zeros((16, 1)))
        between = [model.get_weights()[0].copy() for model in (critic, maker)]
        assert 0 <= accuracy <= 1 and not np.array_equal(before[0], between[0]) and np.array_equal(before[1], between[1])
        assert np.ndim(pair.train_on_batch(X, np.ones((16, 1)))) == 0
        assert np.array_equal(between[0], critic.get_weights()[0]) and not np.array_equal(between[1], maker.get_weights()[0])


def test_compiling_again_with_the_same_optimizer_trains_what_is_trainable_then():
    optimizer = Adam(lr=0.01)
    model = Sequential([Dense(3, input_dim=4), Dense(1)])
    model.layers[0].trainable = False
    model.compile(optimizer, "mse")
    model.fit(X, np.ones((16, 1)), verbose=0)
    model.layers[0].trainable = True
    model.compile(optimizer, "mse")
    frozen = model.get_weights()[0].copy()
    model.fit(X, np.ones((16, 1)), verbose=0)
    assert not np.array_equal(frozen, model.get_weights()[0])
