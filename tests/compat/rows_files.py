"""Files of models and weights under stoker.compat: written, read, trained on. Run in a process of its own for each backend."""

import json

import h5py
import numpy as np
import pytest

import stoker.compat

stoker.compat.install()

import keras  # noqa: E402
from keras import backend as K  # noqa: E402
from keras.callbacks import ModelCheckpoint  # noqa: E402
from keras.layers import LSTM, BatchNormalization, Dense, Embedding, Input, Lambda  # noqa: E402
from keras.models import Model, Sequential, load_model, model_from_json  # noqa: E402
from keras.optimizers import Adam  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::stoker.compat.CompatWarning")

R = np.random.RandomState(5)
X = R.rand(24, 4).astype("float32")
Y = np.eye(2, dtype="float32")[R.randint(0, 2, 24)]


def classifier(loss="categorical_crossentropy", metrics=("accuracy",)):
    model = Sequential([Dense(5, input_dim=4), BatchNormalization(), Dense(2, activation="softmax")])
    model.compile(Adam(lr=0.01, decay=0.1), loss, metrics=list(metrics))
    return model


def same(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# going on from a file

@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model", "model.keras"])
def test_training_goes_on_from_a_file_as_it_would_have_gone_on(tmp_path, name):
    model = classifier()
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(str(tmp_path / name))
    again = load_model(str(tmp_path / name))
    for one in (model, again):
        one.fit(X, Y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    same(model, again)
    assert int(K.get_value(again.optimizer.iterations)) == int(K.get_value(model.optimizer.iterations)) == 8


def test_a_full_checkpoint_trains_on(tmp_path):
    model = classifier()
    keep = ModelCheckpoint(str(tmp_path / "best.h5"), "val_acc", save_best_only=True)
    model.fit(X, Y, verbose=0, validation_split=0.25, callbacks=[keep])
    again = load_model(str(tmp_path / "best.h5"))
    same(model, again)
    history = again.fit_generator(((X, Y) for _ in range(9)), 3, 1, verbose=0).history
    assert history["acc"] == history["accuracy"] and not np.array_equal(model.get_weights()[0], again.get_weights()[0])


@pytest.mark.parametrize("loss", ["mse", "mae", "kld", "cosine_proximity"])
def test_short_names_of_losses_and_metrics_are_read(tmp_path, loss):
    model = classifier(loss, ["mae", "mse", "acc"])
    model.save(str(tmp_path / "m.h5"))
    again = load_model(str(tmp_path / "m.h5"))
    np.testing.assert_allclose(again.evaluate(X, Y, verbose=0), model.evaluate(X, Y, verbose=0), rtol=1e-5)
    assert again.metrics_names == model.metrics_names == ["loss", "mae", "mse", "acc"]


def test_own_losses_and_metrics_are_found(tmp_path):
    def half(y_true, y_pred):
        return K.mean(K.square(y_true - y_pred)) / 2

    def PSNR(y_true, y_pred):
        return K.mean(y_pred)

    model = classifier(half, [PSNR])
    model.save(str(tmp_path / "m.hdf5"))
    again = load_model(str(tmp_path / "m.hdf5"), custom_objects={"half": half, "PSNR": PSNR})
    assert again.evaluate(X, Y, verbose=0)[0] == pytest.approx(((Y - model.predict(X)) ** 2).mean() / 2, rel=1e-4)
    assert "PSNR" in again.fit(X, Y, verbose=0, epochs=1).history


# what is in a graph

def test_a_mask_in_a_graph_is_read(tmp_path):
    inputs = Input((3,))
    model = Model(inputs, Dense(1)(LSTM(4)(Embedding(9, 4, mask_zero=True)(inputs))))
    model.compile("adam", "mse")
    words = np.array([[1, 2, 0], [3, 0, 0]])
    model.fit(words, np.ones((2, 1)), verbose=0)
    model.save(str(tmp_path / "m.h5"))
    again = load_model(str(tmp_path / "m.h5"))
    np.testing.assert_allclose(again.predict(words), model.predict(words), rtol=1e-5)
    np.testing.assert_allclose(again.predict(words[1:]), again.predict(np.array([[3, 0, 0]])), rtol=1e-5)
    again.fit(words, np.ones((2, 1)), verbose=0)


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_code_in_a_file_is_run_and_told(tmp_path, name):
    model = Sequential([Lambda(lambda x: K.square(x) * 3.0, input_shape=(4,))])
    model.compile("sgd", "mse")
    model.save(str(tmp_path / name))
    np.testing.assert_allclose(load_model(str(tmp_path / name)).predict(X), 3 * X**2, rtol=1e-5)


def test_models_are_compiled_when_they_are_cloned(tmp_path):
    model = classifier()
    model.fit(X, Y, verbose=0)
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    text = model.to_json()
    np.testing.assert_allclose(twin.predict(X), model.predict(X), rtol=1e-5)
    assert model_from_json(text).count_params() == model.count_params()
    model.save(str(tmp_path / "m.keras"))
    again = load_model(str(tmp_path / "m.keras"))
    assert again.compiled and again.optimizer.decay == 0.1
    assert again.evaluate(X, Y, verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-5)


# files of Keras 2 itself

SPREAD = {"class_name": "VarianceScaling", "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}}
ZEROS = {"class_name": "Zeros", "config": {}}


def old_dense(name, units, **more):
    return {"class_name": "Dense", "config": {
        "name": name, "trainable": True, "dtype": "float32", "units": units, "activation": "linear", "use_bias": True,
        "kernel_initializer": SPREAD, "bias_initializer": ZEROS, "kernel_regularizer": None, "bias_regularizer": None,
        "activity_regularizer": None, "kernel_constraint": None, "bias_constraint": None, **more}}


def old_file(path, model, weights, training=None, state=()):
    """Write a file as Keras 2.2 did."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = b"2.2.4", b"tensorflow"
        file.attrs["model_config"] = json.dumps(model).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, values in weights.items():
            own = group.create_group(name)
            own.attrs["weight_names"] = [f"{name}/{part}:0".encode() for part in values]
            for part, value in values.items():
                own[f"{name}/{part}:0"] = value
        if training:
            file.attrs["training_config"] = json.dumps(training).encode()
            own = file.create_group("optimizer_weights")
            own.attrs["weight_names"] = [f"v{place}".encode() for place in range(len(state))]
            for place, value in enumerate(state):
                own[f"v{place}"] = value


KERNEL = np.arange(8.0).reshape(4, 2)
WEIGHTS = {"d": {"kernel": KERNEL, "bias": np.ones(2)}}


def test_a_sequential_file_of_keras_2_loads_with_its_optimizer(tmp_path):
    training = {"optimizer_config": {"class_name": "Adam", "config": {
        "lr": 0.5, "beta_1": 0.9, "beta_2": 0.999, "decay": 0.25, "epsilon": 1e-7, "amsgrad": False}},
        "loss": "mean_squared_error", "metrics": ["accuracy"], "sample_weight_mode": None, "loss_weights": None}
    moments = [np.full((4, 2), 0.1), np.full(2, 0.2), np.full((4, 2), 0.3), np.full(2, 0.4)]
    old_file(tmp_path / "k.h5", {"class_name": "Sequential", "config": {
        "name": "s", "layers": [old_dense("d", 2, batch_input_shape=[None, 4])]}}, WEIGHTS, training, [np.int64(7), *moments])
    model = load_model(str(tmp_path / "k.h5"))
    np.testing.assert_allclose(model.predict(X), X @ KERNEL + 1, rtol=1e-5)
    optimizer = model.optimizer
    assert optimizer.decay == 0.25 and float(K.get_value(optimizer.lr)) == 0.5 and int(K.get_value(optimizer.iterations)) == 7
    for part, value in ((optimizer._momentums, 0.1), (optimizer._velocities, 0.3)):
        np.testing.assert_allclose(K.get_value(part[0]), np.full((4, 2), value), rtol=1e-5)
    gradient = 2 * X.T @ (X @ KERNEL + 1 - Y) / Y.size
    moved = [0.9 * 0.1 + 0.1 * gradient, 0.999 * 0.3 + 0.001 * gradient**2]
    rate = 0.5 / (1 + 0.25 * 7) * np.sqrt(1 - 0.999**8) / (1 - 0.9**8)
    model.train_on_batch(X, Y)
    np.testing.assert_allclose(model.get_weights()[0], KERNEL - rate * moved[0] / (np.sqrt(moved[1]) + 1e-7), rtol=1e-3)


def test_a_functional_file_and_json_of_keras_2_load(tmp_path):
    entry = {"name": "in", "class_name": "InputLayer", "inbound_nodes": [], "config": {
        "batch_input_shape": [None, 4], "dtype": "float32", "sparse": False, "name": "in"}}
    config = {"class_name": "Model", "config": {
        "name": "m", "layers": [entry, {**old_dense("d", 2), "name": "d", "inbound_nodes": [[["in", 0, 0, {}]]]}],
        "input_layers": [["in", 0, 0]], "output_layers": [["d", 0, 0]]}}
    old_file(tmp_path / "k.h5", config, WEIGHTS)
    np.testing.assert_allclose(load_model(str(tmp_path / "k.h5")).predict(X), X @ KERNEL + 1, rtol=1e-5)
    model = model_from_json(json.dumps({**config, "keras_version": "2.2.4", "backend": "tensorflow"}))
    model.load_weights(str(tmp_path / "k.h5"))
    np.testing.assert_allclose(model.predict(X), X @ KERNEL + 1, rtol=1e-5)
    assert model_from_json(json.dumps({"class_name": "Sequential", "config": [old_dense("d", 3, batch_input_shape=[None, 4])]})
                           ).output_shape == (None, 3)


# what TensorFlow's Keras 2 wrote beside that

def sequential(*layers):
    """A model as JSON of Keras 2, of pairs of a class and its config."""
    return json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": [
        {"class_name": kind, "config": {"name": f"layer_{place}", "trainable": True, "dtype": "float32", **config}}
        for place, (kind, config) in enumerate(layers)]}})


GATES = {"units": 2, "activation": "tanh", "use_bias": True, "time_major": False, "implementation": 2, "return_sequences": True}


def test_what_compile_was_given_in_tensorflows_keras_2_is_read(tmp_path):
    def half(y_true, y_pred):
        return K.mean(y_pred) / 2

    metrics = [{"class_name": "MeanMetricWrapper", "config": {"name": name, "dtype": "float32", "fn": function}} for name, function in (
        ("accuracy", "sparse_categorical_accuracy"), ("right", "sparse_categorical_accuracy"), ("half", "half"))]
    training = {
        "loss": {"class_name": "SparseCategoricalCrossentropy", "config": {"reduction": "auto", "name": "entropy", "from_logits": True}},
        "metrics": [metrics], "weighted_metrics": None, "loss_weights": None,
        "optimizer_config": {"class_name": "Custom>Adam", "config": {
            "name": "Adam", "weight_decay": None, "clipnorm": None, "global_clipnorm": None, "clipvalue": None, "use_ema": False,
            "ema_momentum": 0.99, "ema_overwrite_frequency": None, "jit_compile": True, "is_legacy_optimizer": False,
            "learning_rate": 0.25, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False}}}
    old_file(tmp_path / "k.h5", {"class_name": "Sequential", "config": {
        "name": "s", "layers": [old_dense("d", 2, batch_input_shape=[None, 4])]}}, WEIGHTS, training)
    model = load_model(str(tmp_path / "k.h5"), custom_objects={"half": half})
    kind, p = Y.argmax(1), X @ KERNEL + 1
    entropy = (np.log(np.exp(p).sum(1)) - p[range(24), kind]).mean()
    wanted = [entropy, *[(p.argmax(1) == kind).mean()] * 2, p.mean() / 2]
    np.testing.assert_allclose(model.evaluate(X, kind, verbose=0), wanted, rtol=1e-4)
    assert model.metrics_names == ["loss", "accuracy", "right", "half"] and float(K.get_value(model.optimizer.lr)) == 0.25
    model.train_on_batch(X, kind)


def test_words_of_tensorflows_keras_2_that_say_nothing_are_left_out():
    text = sequential(("LSTM", {**GATES, "recurrent_activation": "hard_sigmoid", "batch_input_shape": [None, 3, 2]}),
                      ("GRU", {**GATES, "recurrent_activation": "sigmoid", "reset_after": True}), ("SimpleRNN", GATES))
    model = model_from_json(text)
    assert model.output_shape == (None, 3, 2) and model.layers[0].recurrent_activation is keras.activations.hard_sigmoid
    unused = {"kernel_initializer": SPREAD, "kernel_regularizer": None, "kernel_constraint": None}
    text = sequential(("DepthwiseConv2D", {"kernel_size": [3, 3], "groups": 1, "batch_input_shape": [None, 8, 8, 2]}),
                      ("Conv2DTranspose", {"filters": 2, "kernel_size": [3, 3], "groups": 1, "output_padding": None}),
                      ("SeparableConv2D", {"filters": 2, "kernel_size": [3, 3], "groups": 1, **unused}))
    assert model_from_json(text).output_shape == (None, 6, 6, 2)


def test_words_of_tensorflows_keras_2_that_say_something_else_are_an_error():
    first = {"batch_input_shape": [None, 4, 4]}
    for text, said in ((sequential(("LSTM", {**GATES, "time_major": True, **first})), r"LSTM\(time_major=True\).*swapaxes"),
                       (sequential(("Conv1DTranspose", {"filters": 2, "kernel_size": 3, "groups": 2, **first})), r"groups=2.*Split")):
        with pytest.raises((stoker.compat.NotInKeras3, TypeError), match=said):
            model_from_json(text)


def test_layers_within_layers_of_keras_2_are_read():
    inner = {"class_name": "LSTM", "config": {
        **GATES, "name": "inner", "trainable": True, "recurrent_activation": "hard_sigmoid", "batch_input_shape": [None, 3, 2]}}
    text = sequential(("Bidirectional", {"layer": inner, "merge_mode": "sum", "batch_input_shape": [None, 3, 2]}),
                      ("TimeDistributed", {"layer": old_dense("d", 4)}),
                      ("TimeDistributed", {"layer": {"class_name": "Sequential", "config": [
                          old_dense("e", 5, activation="hard_sigmoid", batch_input_shape=[None, 4])]}}))
    model = model_from_json(text)
    assert model.output_shape == (None, 3, 5)
    both, _, last = model.layers
    for layer in (both.forward_layer, both.backward_layer):
        assert layer.recurrent_activation is keras.activations.hard_sigmoid
    assert last.layer.layers[0].activation is keras.activations.hard_sigmoid
