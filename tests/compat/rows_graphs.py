"""Losses of a graph's own tensors, stateful layers, and single values. Run in a process of its own for each backend."""

import copy
import pickle

import numpy as np
import pytest

import stoker.compat

stoker.compat.install()

import keras  # noqa: E402
from keras import backend as K  # noqa: E402
from keras.layers import GRU, LSTM, Dense, Input, Lambda, SimpleRNN  # noqa: E402
from keras.losses import binary_crossentropy  # noqa: E402
from keras.models import Model, Sequential, load_model  # noqa: E402
from keras.optimizers import SGD  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::stoker.compat.CompatWarning")
R = np.random.RandomState(8)
X = R.rand(12, 4).astype("float32")


def autoencoder():
    """Inputs, code and outputs; the code is not drawn, so that numbers can be computed."""
    inputs = Input((4,))
    mean, spread = Dense(2, name="mean")(inputs), Dense(2, name="spread")(inputs)
    code = Lambda(lambda both: both[0] + K.exp(both[1] / 2))([mean, spread])
    return inputs, mean, spread, Dense(4, activation="sigmoid")(code)


def expected(inputs, mean, spread, outputs):
    m, s, p = Model(inputs, [mean, spread, outputs]).predict(X)
    entropy = -(X * np.log(p) + (1 - X) * np.log(1 - p)).mean(-1) * 4
    return (entropy - 0.5 * (1 + s - m**2 - np.exp(s)).sum(-1)).mean()


def test_a_model_trains_on_a_loss_of_its_own_tensors(tmp_path):
    inputs, mean, spread, outputs = autoencoder()
    model = Model(inputs, outputs)
    loss = binary_crossentropy(inputs, outputs) * 4
    divergence = 1 + spread - K.square(mean) - K.exp(spread)
    divergence = K.sum(divergence, axis=-1)
    divergence *= -0.5
    model.add_loss(K.mean(loss + divergence))
    model.compile(optimizer=SGD(lr=0.05))
    wanted = expected(inputs, mean, spread, outputs)
    history = model.fit(X, epochs=4, batch_size=12, verbose=0, validation_data=(X, None)).history
    assert history["loss"][0] == pytest.approx(wanted, rel=1e-4) and history["loss"][-1] < wanted
    assert history["val_loss"][-1] == pytest.approx(expected(inputs, mean, spread, outputs), rel=1e-4)
    assert model.predict(X).shape == (12, 4) and len(model.get_weights()) == 6 and model.layers[-1].units == 4
    model.save_weights(str(tmp_path / "w.h5"))
    model.load_weights(str(tmp_path / "w.h5"))
    model.save(str(tmp_path / "m.h5"))
    np.testing.assert_allclose(load_model(str(tmp_path / "m.h5")).predict(X), model.predict(X), rtol=1e-5)


def test_a_loss_function_may_use_tensors_of_the_model():
    inputs, mean, spread, outputs = autoencoder()
    model = Model(inputs, outputs)

    def vae_loss(x, decoded):
        return 4 * keras.metrics.binary_crossentropy(x, decoded) - 0.5 * K.sum(1 + spread - K.square(mean) - K.exp(spread), axis=-1)

    model.compile(SGD(lr=0.05), vae_loss)
    wanted = expected(inputs, mean, spread, outputs)
    assert model.evaluate(X, X, verbose=0) == pytest.approx(wanted, rel=1e-4)
    history = model.fit(X, X, epochs=4, batch_size=12, verbose=0).history["loss"]
    assert history[0] == pytest.approx(wanted, rel=1e-4) and history[-1] < history[0]
    assert model.fit_generator(((X[:5], X[:5]) for _ in range(9)), 3, 1, verbose=0).history["loss"][0] < wanted * 1.5
    moved = model.get_layer("spread").get_weights()[0].copy()
    model.train_on_batch(X, X)
    assert not np.array_equal(moved, model.get_layer("spread").get_weights()[0])


def test_a_loss_that_is_a_method_may_use_tensors_of_its_object():
    class Vae:
        def __init__(self):
            self.inputs, self.mean, self.spread, self.outputs = autoencoder()
            self.model = Model(self.inputs, self.outputs)
            self.model.compile(SGD(lr=0.05), self.vae_loss)

        def vae_loss(self, x, decoded):
            return 4 * binary_crossentropy(x, decoded) - 0.5 * K.sum(1 + self.spread - K.square(self.mean) - K.exp(self.spread), axis=-1)

    vae = Vae()
    wanted = expected(vae.inputs, vae.mean, vae.spread, vae.outputs)
    assert vae.model.evaluate(X, X, verbose=0) == pytest.approx(wanted, rel=1e-4)
    history = vae.model.fit(X, X, epochs=4, batch_size=12, verbose=0).history["loss"]
    assert history[0] == pytest.approx(wanted, rel=1e-4) and history[-1] < history[0]
    assert isinstance(vae.mean, keras.KerasTensor)


def test_a_layer_that_adds_a_loss_of_a_tensor_it_is_not_called_with_says_what_to_write():
    inputs, mean, _, outputs = autoencoder()

    class Added(keras.layers.Layer):
        def call(self, x):
            self.add_loss(K.sum(K.square(mean)), inputs=x)
            return x

    with pytest.raises(stoker.compat.NotInKeras3, match="Call the layer with every tensor"):
        Added()(outputs)


def test_a_loss_of_another_models_tensor_says_what_to_write():
    inputs, _, _, outputs = autoencoder()
    with pytest.raises(stoker.compat.NotInKeras3, match=r"rows_graphs\.py:\d+.*self\.add_loss"):
        Model(inputs, outputs).add_loss(K.mean(Input((3,))))
    with pytest.raises(stoker.compat.NotInKeras3, match="self.add_loss"):
        Model(inputs, outputs).add_loss(3.0)


@pytest.mark.skipif(keras.config.backend() == "jax", reason="Keras on JAX begins every batch from zero, which is told")
@pytest.mark.parametrize("kind", [LSTM, GRU, SimpleRNN])
def test_stateful_layers_train_and_go_on_where_they_were(kind):
    steps = R.rand(2, 6, 3).astype("float32")
    model = Sequential([kind(4, batch_input_shape=(2, 3, 3), stateful=True), Dense(1)])
    whole = Sequential([kind(4, input_shape=(6, 3)), Dense(1)])
    whole.set_weights(model.get_weights())
    model.predict(steps[:, :3], batch_size=2)
    np.testing.assert_allclose(model.predict(steps[:, 3:], batch_size=2), whole.predict(steps), rtol=1e-4, atol=1e-6)
    model.compile(SGD(lr=0.1), "mse")
    before = model.get_weights()[0].copy()
    model.fit(np.concatenate([steps[:, :3]] * 3), np.ones((6, 1)), batch_size=2, shuffle=False, verbose=0)
    model.train_on_batch(steps[:, 3:], np.ones((2, 1)))
    assert not np.array_equal(before, model.get_weights()[0])
    model.reset_states()
    whole.set_weights(model.get_weights())
    short = Sequential([kind(4, input_shape=(3, 3)), Dense(1)])
    short.set_weights(model.get_weights())
    np.testing.assert_allclose(model.predict(steps[:, :3], batch_size=2), short.predict(steps[:, :3]), rtol=1e-4, atol=1e-6)


def test_a_prediction_of_one_value_is_a_number():
    model = Sequential([Dense(1, input_dim=4, init="one", bias=False)])
    assert float(model.predict(X[:1])) == pytest.approx(X[0].sum()) and float(model.predict(X[:1], batch_size=1)) > 0
    assert isinstance(model.predict(X[:1]), np.ndarray) and model.predict(X[:1]).shape == (1, 1)


def test_each_row_of_one_value_is_a_number():
    model = Sequential([Dense(1, input_dim=4, init="one", bias=False)])
    for predicted in (model.predict(X), model.predict_generator((X for _ in range(1)), 1), model.predict_on_batch(X)):
        assert f"{float(predicted[0]):.3f} %d" % (10 * predicted)[1] == f"{X[0].sum():.3f} {int(10 * X[1].sum())}"
        filled = np.zeros(2)
        filled[0] = predicted[0]
        assert filled[0] == pytest.approx(X[0].sum())
    with pytest.raises(ValueError, match="size 1"):
        float(predicted)


def test_predictions_are_arrays_as_ever(tmp_path):
    inputs = Input((4,))
    model = Model(inputs, [Dense(2)(inputs), Dense(1)(inputs)])
    first, second = model.predict(X)
    assert float(second[0]) == second[0, 0] and repr(first) == repr(np.array(first))
    assert {type(first.mean()), type(np.max(first)), type(first[0, 0]), type(first.sum(1)[0])} == {np.float32}
    assert {first.argmax(): 1, first[0].max(): 2} and type(pickle.loads(pickle.dumps(first, 5))) is np.ndarray
    np.save(tmp_path / "p.npy", first)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), first)
    np.testing.assert_array_equal(copy.deepcopy(first), first)
    other = Sequential([Dense(1, input_dim=2)])
    other.compile("sgd", "mse")
    other.fit(first, second, verbose=0, validation_data=(first, second))
    other.train_on_batch(first, second)
    other.fit_generator(((first, second) for _ in range(4)), 2, 1, verbose=0, workers=2)
    assert other.predict_on_batch(first).shape == (12, 1)
