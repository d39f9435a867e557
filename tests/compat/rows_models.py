"""Models, optimizers, metrics and callbacks as old scripts use them. Run in a process of its own for each backend."""

import warnings

import numpy as np
import pytest

import stoker.compat

stoker.compat.install()

import keras  # noqa: E402
from keras import backend as K  # noqa: E402
from keras.callbacks import Callback, LambdaCallback, ModelCheckpoint  # noqa: E402
from keras.layers import Dense, Input, Lambda, Layer  # noqa: E402
from keras.models import Model, Sequential  # noqa: E402
from keras.optimizers import SGD, Adam  # noqa: E402

from stoker.compat.tell import Teller  # noqa: E402

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


# names and values of metrics

def test_accuracy_beside_binary_crossentropy_counts_value_by_value():
    for loss in ("binary_crossentropy", keras.losses.binary_crossentropy, {"o": "binary_crossentropy"}):
        inputs = Input((4,))
        model = Model(inputs, Dense(3, activation="sigmoid", name="o")(inputs))
        model.compile(SGD(lr=0.0), loss, metrics=["accuracy"])
        many = (R.rand(16, 3) > 0.5).astype("float32")
        wanted = ((model.predict(X) > 0.5) == many).mean()
        assert model.evaluate(X, many, verbose=0)[1] == pytest.approx(wanted)
        assert model.fit(X, many, verbose=0).history["acc"] == [pytest.approx(wanted)]


def test_metrics_names_are_those_of_what_is_returned():
    inputs = Input((4,))
    model = Model(inputs, [Dense(2, name="b", activation="softmax")(inputs), Dense(2, name="a")(inputs)])
    model.compile("sgd", loss={"b": "categorical_crossentropy", "a": "mse"}, metrics={"b": "accuracy", "a": ["mae", "mse"]})
    names = ["loss", "b_loss", "a_loss", "b_accuracy", "a_mae", "a_mse"]
    assert model.metrics_names == names
    p, q = model.predict(X)
    entropy, square = -(Y * np.log(p)).sum(1).mean(), ((q - Y) ** 2).mean()
    wanted = [entropy + square, entropy, square, (p.argmax(1) == Y.argmax(1)).mean(), abs(q - Y).mean(), square]
    generator = ((X, [Y, Y]) for _ in range(3))
    for values in (model.evaluate(X, [Y, Y], verbose=0), model.test_on_batch(X, [Y, Y]), model.evaluate_generator(generator, 1),
                   model.train_on_batch(X, [Y, Y])):
        np.testing.assert_allclose(values, wanted, rtol=1e-4)
        assert model.metrics_names == names


def test_one_loss_may_have_a_weight_for_each_output():
    for weights in ([1.0, 0.5], {"a": 1.0, "b": 0.5}):
        inputs = Input((4,))
        model = Model(inputs, [Dense(2, name="a")(inputs), Dense(2, name="b")(inputs)])
        model.compile("sgd", "mse", loss_weights=weights, metrics=["mae"])
        p, q = model.predict(X)
        values = model.evaluate(X, [Y, Y], verbose=0)
        assert values[0] == pytest.approx(((p - Y) ** 2).mean() + ((q - Y) ** 2).mean() / 2, rel=1e-5)
        assert model.metrics_names == ["loss", "a_loss", "b_loss", "a_mae", "b_mae"]


def test_own_metrics_see_targets_of_the_predictions_rank():
    seen = []

    def rmse(y_true, y_pred):
        seen.append((len(y_true.shape), len(y_pred.shape), y_true.shape[-1]))
        return K.sqrt(K.mean(K.square(y_pred - K.cast(y_true, "float32"))))

    def line(*ends):
        model = Sequential([Dense(2, input_dim=4), *ends])
        model.compile(SGD(lr=0.0), "mse", metrics=[rmse])
        return model

    model, targets = line(Dense(1)), R.rand(16).astype("float32")
    wanted = np.sqrt(np.mean((model.predict(X)[:, 0] - targets) ** 2))
    twin = line(Dense(1))
    twin.set_weights(model.get_weights())
    for values in (model.evaluate(X, targets, verbose=0), model.train_on_batch(X, targets), twin.evaluate(X, targets[:, None], verbose=0)):
        assert values[1] == pytest.approx(wanted, rel=1e-5)
    flat = line(Dense(1), keras.layers.Lambda(lambda x: x[:, 0], output_shape=()))
    wanted = np.sqrt(np.mean((flat.predict(X) - targets) ** 2))
    assert flat.evaluate(X, targets[:, None], verbose=0)[1] == pytest.approx(wanted, rel=1e-5)
    assert {one for one in seen if one[1] == 2} == {(2, 2, 1)} and all(one[0] == one[1] for one in seen)
    seen.clear()
    classes = Sequential([Dense(3, activation="softmax", input_dim=4)])
    classes.compile("sgd", "sparse_categorical_crossentropy", metrics=[rmse])
    classes.train_on_batch(X, np.arange(16) % 3)
    assert set(seen) == {(2, 2, 1)}


def test_own_metrics_see_targets_of_the_predictions_dtype():
    def found(y_true, y_pred):
        return K.sum(K.round(K.clip(y_true * y_pred, 0, 1))) / (K.sum(y_true) + K.epsilon())

    model = Sequential([Dense(1, input_dim=4, activation="sigmoid")])
    model.compile(SGD(lr=0.0), "binary_crossentropy", metrics=[found])
    y = np.arange(16) % 2
    wanted = pytest.approx((model.predict(X)[:, 0][y == 1] > 0.5).mean(), abs=1e-5)
    assert model.evaluate(X, y, verbose=0)[1] == wanted and model.train_on_batch(X, y[:, None])[1] == wanted


def test_a_normalization_that_is_not_trainable_is_told():
    model = Sequential([keras.layers.BatchNormalization(input_shape=(4,)), Dense(1)])
    model.layers[0].trainable = False
    with pytest.warns(stoker.compat.CompatWarning, match=r"BatchNormalization.*moving averages.*Leave it trainable"):
        model.compile("sgd", "mse")


# callbacks

class Look(Callback):
    """Keeps what it saw; never calls the constructor of its parent."""

    def __init__(self):
        self.seen = []

    def on_train_begin(self, logs=None):
        self.first = dict(self.params), self.validation_data

    def on_batch_end(self, batch, logs=None):
        self.seen.append(logs["acc"])


def test_callbacks_see_validation_data_and_params():
    model = linear("sgd", 2, metrics=["accuracy"])
    look = Look()
    model.fit(X, Y, nb_epoch=2, batch_size=4, verbose=0, validation_data=(X[:6], Y[:6]), callbacks=[look])
    params, held_out = look.first
    assert (params["samples"], params["batch_size"], params["nb_epoch"], params["epochs"], params["nb_sample"]) == (16, 4, 2, 2, 16)
    assert held_out[0] is not None and np.array_equal(held_out[0], X[:6]) and np.array_equal(held_out[1], Y[:6]) and len(held_out[2]) == 6
    assert len(look.seen) == 8
    look = Look()
    endless = ((X, Y) for _ in range(9))
    model.fit_generator(endless, 2, 1, verbose=0, validation_data=endless, validation_steps=1, callbacks=[look])
    assert look.first[1] is None
    look = Look()
    model.fit_generator(endless, 2, 1, verbose=0, validation_data=[X, Y], callbacks=[look])
    assert np.array_equal(look.first[1][0], X)
    model.fit(X, Y, verbose=0, callbacks=[look])
    assert look.first[1] is None


def test_callbacks_may_set_their_model(tmp_path):
    inner = Sequential([Dense(1, input_dim=4, name="inner")])

    class OfInner(ModelCheckpoint):
        def __init__(self, path, other):
            super().__init__(path)
            self.other = other

        def set_model(self, model):
            self.model = self.other

    inputs = Input((4,))
    outer = Model(inputs, Dense(2)(inner(inputs)))
    outer.compile("sgd", "mse")
    outer.fit(X, Y, verbose=0, callbacks=[OfInner(str(tmp_path / "m.h5"), inner)])
    assert keras.models.load_model(str(tmp_path / "m.h5")).output_shape == (None, 1)


def test_lambda_callbacks_of_batches_see_acc():
    seen = []
    model = linear("sgd", 2, metrics=["accuracy"])
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[LambdaCallback(on_batch_end=lambda batch, logs: seen.append(logs["acc"]))])
    assert len(seen) == 2


# values that a script changes while a model trains

def test_a_variable_in_a_loss_can_be_set_between_epochs():
    share = K.variable(0.0)

    class Warm(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            K.set_value(share, float(epoch))

    model = linear(SGD(lr=0.0), 2, loss=lambda y_true, y_pred: share * K.mean(K.square(y_true - y_pred), axis=-1))
    first, second, third = model.fit(X, Y, epochs=3, verbose=0, callbacks=[Warm()]).history["loss"]
    wanted = ((model.predict(X) - Y) ** 2).mean()
    assert first == 0 and second == pytest.approx(wanted, rel=1e-5) and third == pytest.approx(2 * wanted, rel=1e-5)
    K.set_value(share, 5.0)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(5 * wanted, rel=1e-5)
    assert len(model.get_weights()) == 1


def test_a_variable_in_a_lambda_layer_can_be_set():
    factor = K.variable(2.0)
    model = Sequential([Lambda(lambda x: x * factor, input_shape=(4,))])
    np.testing.assert_allclose(model.predict(X), 2 * X, rtol=1e-6)
    K.set_value(factor, 3.0)
    np.testing.assert_allclose(model.predict(X), 3 * X, rtol=1e-6)


def test_operators_in_place_change_nobody_elses_tensor():
    def shifted(y_true, y_pred):
        y_pred -= 1.0
        y_pred /= K.sum(K.ones_like(y_pred))
        return K.mean(y_pred)

    def untouched(y_true, y_pred):
        return K.mean(y_pred)

    def targets(y_true, y_pred):
        y_true *= 2.0
        return K.mean(y_true)

    model = linear("sgd", 2, loss=shifted, metrics=[shifted, untouched, targets])
    p, kept = model.predict(X), Y.copy()
    values = model.train_on_batch(X, Y)
    np.testing.assert_allclose(values, [(p.mean() - 1) / p.size, (p.mean() - 1) / p.size, p.mean(), 2 * kept.mean()], rtol=1e-4)
    np.testing.assert_array_equal(Y, kept)


def test_numpys_arrays_stand_on_either_side_of_a_tensor():
    weights = np.array([1.0, 3.0])

    def left(y_true, y_pred):
        return K.sum(weights * K.square(y_true - y_pred), axis=-1)

    def right(y_true, y_pred):
        return K.sum(K.square(y_true - y_pred) * weights - weights / weights, axis=-1) + 2.0

    for loss in (left, right):
        model = linear("sgd", 2, loss=loss)
        wanted = (weights * (model.predict(X) - Y) ** 2).sum(1).mean()
        before = model.get_weights()[0]
        assert model.train_on_batch(X, Y) == pytest.approx(wanted, rel=1e-5)
        step = 0.01 * 2 * X.T @ (weights * (X @ before - Y)) / 16
        np.testing.assert_allclose(before - model.get_weights()[0], step, rtol=1e-3, atol=1e-6)


def test_layers_may_be_given_layers_before_their_parents_constructor():
    class Twice(Layer):
        def __init__(self, units, **options):
            self.inner = Dense(units, init="one", bias=False)
            super().__init__(**options)

        def call(self, x):
            return 2.0 * self.inner(x)

    model = Sequential([Twice(1, input_shape=(4,))])
    np.testing.assert_allclose(model.predict(X)[:, 0], 2 * X.sum(1), rtol=1e-5)


# what a call is given

def test_what_a_dict_has_beside_the_models_inputs_is_left():
    inputs = Input((4,), name="image")
    model = Model(inputs, Dense(2, name="kind")(inputs))
    model.compile("sgd", {"kind": "mse"})
    batch = {"image": X, "source": X[:, :1]}, {"kind": Y}
    loss = model.evaluate(X, Y, verbose=0)
    assert model.evaluate(*batch, verbose=0) == pytest.approx(loss)
    assert model.fit_generator((batch for _ in range(3)), 1, 1, verbose=0).history["loss"][0] == pytest.approx(loss, rel=1e-5)
    assert model.predict({"image": X, "source": X[:, :1]}).shape == (16, 2)


WEIGHTS = np.r_[np.zeros(8), np.ones(8)]
ZEROS = {
    "fit": lambda model: model.fit(X, Y, sample_weight=WEIGHTS, verbose=0),
    "validation": lambda model: model.fit(X, Y, validation_data=(X, Y, WEIGHTS), verbose=0),
    "generator": lambda model: model.fit_generator(((X, Y) for _ in range(3)), 1, 1, validation_data=(X, Y, WEIGHTS), verbose=0),
    "evaluate": lambda model: model.evaluate(X, Y, sample_weight=WEIGHTS, verbose=0),
    "train_on_batch": lambda model: model.train_on_batch(X, Y, WEIGHTS),
    "test_on_batch": lambda model: model.test_on_batch(X, Y, sample_weight=WEIGHTS),
}


@pytest.mark.parametrize("name", ZEROS)
def test_the_scale_of_weights_of_zero_is_told(name, monkeypatch):
    told = []
    monkeypatch.setattr(Teller, "has_told", lambda self, topic: False)
    monkeypatch.setattr(Teller, "tell", lambda self, topic, text: told.append(text))
    ZEROS[name](linear("sgd", 2))
    assert any("not 0" in text for text in told)


def test_arrays_for_validation_are_taken_whole(tmp_path):
    model, endless = linear(SGD(lr=0.0), 2), ((X, Y) for _ in range(99))
    wanted = pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-5)
    for options in ({"validation_steps": 1}, {"nb_val_samples": 16}):
        assert model.fit_generator(endless, 1, 1, validation_data=(X, Y), verbose=0, **options).history["val_loss"] == [wanted]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert model.fit(X, Y, batch_size=4, validation_data=(X, Y), verbose=0, **options).history["val_loss"] == [wanted]
    path = tmp_path / "script.py"
    path.write_text("from tensorflow.keras import models\n"
                    "history = model.fit(x, y, batch_size=4, validation_data=(x, y), validation_steps=1, verbose=0).history\n")
    held = {"model": model, "x": X, "y": Y}
    exec(compile(path.read_text(), str(path), "exec"), held)
    assert held["history"]["val_loss"] == [pytest.approx(model.evaluate(X[:4], Y[:4], verbose=0), rel=1e-5)]


def test_sparse_matrices_and_tuples_are_data():
    sparse = pytest.importorskip("scipy.sparse")
    model = linear(SGD(lr=0.0), 2)
    x, wanted = sparse.csr_matrix(X), pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-5)
    assert model.fit(x, Y, verbose=0, validation_data=(x, Y)).history["val_loss"] == [wanted]
    assert model.evaluate(x, Y, verbose=0) == wanted
    np.testing.assert_allclose(model.predict(x), model.predict(X), rtol=1e-6)
    left, right = Input((4,)), Input((4,))
    pair = Model([left, right], Dense(4, init="identity")(keras.layers.add([left, right])))
    pair.compile(SGD(lr=0.0), "mse")
    wanted = pytest.approx(pair.evaluate([X, X], X, verbose=0), rel=1e-5)
    assert pair.fit((X, X), X, verbose=0, validation_data=((X, X), X)).history["val_loss"] == [wanted]
    assert pair.evaluate((X, X), X, verbose=0) == wanted
    np.testing.assert_allclose(pair.predict((X, X)), 2 * X, rtol=1e-6)


def test_functions_of_tensorflow_in_a_loss_are_told():
    if keras.config.backend() == "tensorflow":
        pytest.skip("they work there")

    def loss(y_true, y_pred):
        return K.tf.reduce_mean(y_pred)

    with pytest.warns(stoker.compat.CompatWarning, match="KERAS_BACKEND=tensorflow"):
        linear("sgd", 2, loss=loss)
