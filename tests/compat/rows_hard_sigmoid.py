"""``hard_sigmoid`` by its name: what scripts, and files of Keras 1, 2 and 3, mean by it. Run in a process of its own for each backend."""

import json
import warnings
import zipfile

import h5py
import numpy as np
import pytest

import stoker.compat

stoker.compat.install()

import keras  # noqa: E402
from keras import backend as K  # noqa: E402
from keras.layers import GRU, LSTM, Activation, ConvLSTM2D, CuDNNGRU, CuDNNLSTM, Dense  # noqa: E402
from keras.models import Sequential, clone_model, load_model, model_from_json  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::stoker.compat.CompatWarning")
X = np.linspace(-4, 4, 9).astype("float32").reshape(9, 1)
OLD = np.clip(0.2 * X + 0.5, 0, 1)
NEW = np.clip(X / 6 + 0.5, 0, 1)


def passing(activation="hard_sigmoid"):
    """A model that computes the activation and nothing else."""
    model = Sequential([Dense(1, init="one", bias=False, activation=activation, input_dim=1)])
    model.compile("sgd", "mse")
    return model


def computes(model, wanted):
    np.testing.assert_allclose(model.predict(X), wanted, atol=1e-6)


def renamed(path, version=None):
    """Let a file hold the bare name, as Keras 2 and Keras 3 itself write it; and the version that wrote it."""
    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"]
        text = text.decode() if isinstance(text, bytes) else text
        file.attrs["model_config"] = text.replace('"relu"', '"hard_sigmoid"')
        if version:
            file.attrs["keras_version"] = version


def test_gates_that_were_always_sigmoid_are_not_told():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lstm, gru = CuDNNLSTM(2), CuDNNGRU(2, return_sequences=True)
        LSTM(2, recurrent_activation="hard_sigmoid")
        ConvLSTM2D(2, (3, 3), recurrent_activation="hard_sigmoid")
    assert isinstance(lstm, LSTM) and isinstance(lstm, CuDNNLSTM) and isinstance(gru, GRU) and gru.return_sequences and gru.reset_after
    assert lstm.recurrent_activation is gru.recurrent_activation is keras.activations.sigmoid and not GRU(2).reset_after


def test_convolutions_with_gates_take_old_words_and_their_default_is_told():
    with pytest.warns(stoker.compat.CompatWarning, match=r"^ConvLSTM2D: .*hard_sigmoid"):
        layer = ConvLSTM2D(2, 3, 1)
    assert layer.kernel_size == (3, 1) and layer.strides == (1, 1)
    layer = ConvLSTM2D(nb_filter=2, nb_row=3, nb_col=1, border_mode="same", inner_init="one", inner_activation="hard_sigmoid",
                       dim_ordering="tf", dropout_W=0.1, dropout_U=0.2, forget_bias_init="one", return_sequences=True)
    assert layer.recurrent_activation is keras.activations.hard_sigmoid and (layer.dropout, layer.recurrent_dropout) == (0.1, 0.2)
    assert layer(keras.Input((4, 5, 5, 1))).shape == (None, 4, 5, 5, 2)


def test_the_name_means_the_function_of_keras_2():
    for activation in ("hard_sigmoid", keras.activations.hard_sigmoid, keras.activations.get("hard_sigmoid"), K.hard_sigmoid,
                       keras.activations.deserialize("hard_sigmoid")):
        computes(passing(activation), OLD)
    computes(Sequential([Activation("hard_sigmoid", input_shape=(1,))]), OLD)
    for kind in (LSTM, GRU):
        assert kind(2, inner_activation="hard_sigmoid").recurrent_activation is keras.activations.hard_sigmoid


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m"])
def test_what_is_saved_keeps_its_function(tmp_path, name):
    model = passing()
    model.save(str(tmp_path / name))
    held = dict(keras.saving.get_custom_objects())
    for is_cleared in (False, True):
        if is_cleared:
            keras.saving.get_custom_objects().clear()
        try:
            computes(load_model(str(tmp_path / name)), OLD)
            for again in (clone_model(model), model_from_json(model.to_json())):
                again.set_weights(model.get_weights())
                computes(again, OLD)
        finally:
            keras.saving.get_custom_objects().update(held)


def test_files_of_keras_2_mean_its_function(tmp_path):
    passing("relu").save(str(tmp_path / "m.h5"))
    renamed(tmp_path / "m.h5", "2.2.4")
    computes(load_model(str(tmp_path / "m.h5")), OLD)
    text = json.dumps({"class_name": "Sequential", "config": [{"class_name": "Dense", "config": {
        "name": "d", "trainable": True, "units": 1, "activation": "hard_sigmoid", "use_bias": False, "batch_input_shape": [None, 1]}}]})
    model = model_from_json(text)
    model.set_weights([np.ones((1, 1))])
    computes(model, OLD)


def test_files_of_keras_3_mean_its_own(tmp_path):
    model = passing("relu")
    for name in ("m.keras", "m.h5"):
        model.save(str(tmp_path / name))
    renamed(tmp_path / "m.h5")
    with zipfile.ZipFile(tmp_path / "m.keras") as whole, zipfile.ZipFile(tmp_path / "n.keras", "w") as changed:
        for part in whole.namelist():
            changed.writestr(part, whole.read(part).replace(b'"relu"', b'"hard_sigmoid"'))
    loaded = [load_model(str(tmp_path / name)) for name in ("m.h5", "n.keras")]
    loaded.append(model_from_json(model.to_json().replace('"relu"', '"hard_sigmoid"')))
    loaded[-1].set_weights(model.get_weights())
    for one in loaded:
        computes(one, NEW)
        twin = clone_model(one)
        twin.set_weights(one.get_weights())
        computes(twin, NEW)
    loaded[0].save(str(tmp_path / "again.keras"))
    computes(load_model(str(tmp_path / "again.keras")), NEW)
