"""Optimizers, names of metrics, callbacks, checkpoints and calls under stoker.compat. Run in a process of its own for each backend."""

import warnings
from importlib.machinery import PathFinder

import numpy as np
import pytest

import stoker.compat

stoker.compat.install()

import keras  # noqa: E402
from keras import backend as K  # noqa: E402
from keras.callbacks import BaseLogger, Callback, EarlyStopping, LearningRateScheduler, ModelCheckpoint, ReduceLROnPlateau  # noqa: E402
from keras.layers import Dense, Input  # noqa: E402
from keras.models import Model, Sequential, load_model  # noqa: E402
from keras.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, Nadam, RMSprop  # noqa: E402

HAS_TENSORFLOW = PathFinder.find_spec("tensorflow") is not None
"""Whether it is installed: where it is not, stoker.compat has put a module of that name in its place."""

pytestmark = pytest.mark.filterwarnings("ignore::stoker.compat.CompatWarning")

R = np.random.RandomState(1)
X = R.randn(12, 3).astype("float32")
Y = np.eye(2, dtype="float32")[R.randint(0, 2, 12)]


def one_weight(optimizer):
    """A model whose gradient is always 1, so that each step takes the rate itself."""
    model = Sequential([Dense(1, input_dim=1, init="one", bias=False)])
    model.compile(optimizer, loss=lambda y_true, y_pred: K.mean(y_pred))
    return model


def steps_of(model, count):
    weights = [model.get_weights()[0].item()]
    for _ in range(count):
        model.train_on_batch(np.ones((2, 1)), np.ones((2, 1)))
        weights.append(model.get_weights()[0].item())
    return -np.diff(weights)


def classifier(optimizer="sgd", metrics=("accuracy",), **options):
    model = Sequential([Dense(4, activation="tanh", input_dim=3, name="a"), Dense(2, activation="softmax", name="b")])
    model.compile(optimizer, "categorical_crossentropy", metrics=list(metrics), **options)
    return model


def batches(size=4):
    while True:
        for start in range(0, 12, size):
            yield X[start:start + size], Y[start:start + size]


# lr and decay

def test_decay_follows_keras_2s_formula():
    np.testing.assert_allclose(steps_of(one_weight(SGD(lr=0.1, decay=0.5)), 4), 0.1 / (1 + 0.5 * np.arange(4)), rtol=1e-5)


def test_decay_is_followed_in_fit_generator_too():
    model = one_weight(SGD(lr=0.1, decay=0.25))
    ones = ((np.ones((2, 1)), np.ones((2, 1))) for _ in range(100))
    model.fit_generator(ones, steps_per_epoch=6, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0].item(), 1 - (0.1 / (1 + 0.25 * np.arange(6))).sum(), rtol=1e-5)


def test_lr_is_read_and_set_beside_decay():
    optimizer = SGD(lr=0.1, decay=1.0)
    assert float(K.get_value(optimizer.lr)) == pytest.approx(0.1)
    model = one_weight(optimizer)
    np.testing.assert_allclose(steps_of(model, 2), [0.1, 0.05], rtol=1e-5)
    K.set_value(model.optimizer.lr, 0.3)
    np.testing.assert_allclose(steps_of(model, 1), [0.3 / 3], rtol=1e-5)
    model.optimizer.lr = 0.4
    np.testing.assert_allclose(steps_of(model, 1), [0.1], rtol=1e-5)


def test_positional_arguments_have_keras_2s_order():
    optimizer = SGD(0.1, 0.9, 1e-6, True)
    assert (optimizer.momentum, optimizer.decay, optimizer.nesterov) == (0.9, 1e-6, True)
    assert Adam(0.1, 0.8, 0.9, None).beta_1 == 0.8
    assert RMSprop(lr=0.01, rho=0.8, epsilon=None, decay=0.0).rho == 0.8


def test_old_defaults_hold():
    rates = {kind.__name__: float(K.get_value(kind().lr)) for kind in (SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam)}
    assert rates == pytest.approx({
        "SGD": 0.01, "RMSprop": 0.001, "Adagrad": 0.01, "Adadelta": 1.0, "Adam": 0.001, "Adamax": 0.002, "Nadam": 0.002})
    assert float(K.get_value(classifier("adadelta").optimizer.lr)) == 1.0


def test_optimizers_of_tensorflows_keras_are_its_own(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("""
from tensorflow.keras.optimizers import SGD, RMSprop, Adam, Adadelta, Adagrad, Adamax, Nadam
momentum, first_of_all, mean = SGD(0.01, 0.9, True), SGD(0.01, 0.9, 1e-6, True), RMSprop(1e-3, 0.8, 0.7, 0.1)
made = [kind() for kind in (Adadelta, Adagrad, Adamax, Nadam)]
clipped = Adam(0.1, 0.8, 0.9, 1e-7, True, clipnorm=2.0)
""")
    held = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", stoker.compat.CompatWarning)
        exec(compile(path.read_text(), str(path), "exec"), held)
    assert (held["momentum"].momentum, held["momentum"].nesterov, held["momentum"].decay) == (0.9, True, 0)
    assert (held["first_of_all"].decay, held["first_of_all"].nesterov) == (1e-6, True)
    assert (held["mean"].rho, held["mean"].momentum, held["mean"].epsilon) == (0.8, 0.7, 0.1)
    assert [float(K.get_value(one.lr)) for one in held["made"]] == pytest.approx([0.001] * 4)
    assert held["made"][1].initial_accumulator_value == 0.1
    assert held["clipped"].clipnorm == 2.0 and held["clipped"].global_clipnorm is None and held["clipped"].amsgrad


def test_clipnorm_clips_all_gradients_together():
    model = Sequential([Dense(2, input_dim=1, init="one")])
    model.compile(SGD(lr=1.0, clipnorm=1.0), loss=lambda y_true, y_pred: K.sum(y_pred) / 2.0)
    before = model.get_weights()
    model.train_on_batch(np.ones((2, 1)), np.ones((2, 2)))
    moved = np.concatenate([(a - b).ravel() for a, b in zip(before, model.get_weights(), strict=True)])
    np.testing.assert_allclose(moved, np.full(4, 0.5), rtol=1e-5)  # four gradients of 1, of norm 2 together


def test_decay_survives_saving(tmp_path):
    model = classifier(SGD(lr=0.2, decay=0.01))
    model.save(str(tmp_path / "model.h5"))
    again = load_model(str(tmp_path / "model.h5")).optimizer
    assert again.decay == 0.01 and float(K.get_value(again.lr)) == pytest.approx(0.2)


# names of metrics

def test_acc_and_accuracy_are_both_logged_and_equal():
    history = classifier().fit_generator(batches(), 3, 2, verbose=0, validation_data=(X, Y)).history
    assert history["acc"] == history["accuracy"] and history["val_acc"] == history["val_accuracy"] and len(history["acc"]) == 2
    history = classifier(metrics=["acc"]).fit(X, Y, nb_epoch=2, validation_split=0.5, verbose=0).history
    assert history["acc"] == history["accuracy"] and history["val_acc"] == history["val_accuracy"]


def test_errors_have_their_long_and_short_names():
    history = classifier(metrics=["mae", "mean_squared_error"]).fit(X, Y, epochs=1, validation_data=(X, Y), verbose=0).history
    assert history["val_mae"] == history["val_mean_absolute_error"] and history["mse"] == history["mean_squared_error"]


def test_val_acc_stops_early_and_by_its_height():
    class Falling(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_acc"] = 0.5 - epoch / 10

    history = classifier().fit_generator(
        batches(), 3, 9, verbose=0, validation_data=(X, Y), callbacks=[Falling(), EarlyStopping(monitor="val_acc", patience=2)])
    assert len(history.epoch) == 3


def test_own_metrics_keep_their_names():
    def PSNR(y_true, y_pred):
        return -10.0 * K.log(K.mean(K.square(y_true - y_pred))) / np.log(10.0)

    model = classifier(metrics=[PSNR, "accuracy"])
    history = model.fit_generator(batches(12), 1, 1, verbose=0, validation_data=(X, Y)).history
    p = model.predict(X)
    np.testing.assert_allclose(history["val_PSNR"], [-10 * np.log10(np.mean((Y - p) ** 2))], rtol=1e-4)
    assert "psnr" not in history and model.metrics_names == ["loss", "PSNR", "accuracy"]


def test_batch_logs_hold_acc():
    seen = []

    class Watch(Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append((logs["acc"], logs["accuracy"], logs["size"]))

    classifier().fit_generator(batches(), 3, 1, verbose=0, callbacks=[Watch()])
    assert len(seen) == 3 and all(a == b and size == 4 for a, b, size in seen)


def test_a_flat_list_of_metrics_goes_to_every_output():
    inputs = Input((3,))
    model = Model(input=inputs, output=[Dense(2, activation="softmax", name="p")(inputs), Dense(2, activation="softmax", name="q")(inputs)])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(X, [Y, Y], epochs=1, verbose=0).history
    assert {"p_loss", "q_loss", "p_acc", "q_acc", "p_accuracy", "q_accuracy"} <= set(history)
    assert len(model.metrics_names) == len(model.evaluate(X, [Y, Y], verbose=0)) == 5


def test_metrics_names_are_flat_before_and_after_the_first_batch():
    model = classifier()
    assert model.metrics_names == ["loss", "accuracy"]
    scores = model.evaluate(X, Y, verbose=0)
    assert model.metrics_names == ["loss", "accuracy"] and len(scores) == 2


# callbacks

def test_plateaus_take_epsilon():
    plateau = ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1, epsilon=10.0, verbose=0)
    assert plateau.min_delta == 10.0
    model = classifier(SGD(lr=0.4))
    history = model.fit_generator(batches(), 3, 4, verbose=0, validation_data=(X, Y), callbacks=[plateau]).history
    np.testing.assert_allclose(history["lr"], [0.4, 0.4, 0.2, 0.1], rtol=1e-5)


def test_the_direction_of_what_ends_in_auc_is_that_of_tensorflows_keras(tmp_path):
    directions = []
    for text in ("from tensorflow.keras.callbacks import EarlyStopping", "from keras.callbacks import EarlyStopping"):
        path = tmp_path / f"script{len(text)}.py"
        path.write_text(f"{text}\nmade = EarlyStopping(monitor='val_auc'), EarlyStopping('val_auc', mode='min')\n")
        held = {}
        exec(compile(path.read_text(), str(path), "exec"), held)
        directions.append([one.mode for one in held["made"]])
    assert directions == [["max", "min"], ["min", "min"]]


def test_schedulers_set_lr():
    model = classifier(SGD(lr=0.4))
    model.fit_generator(batches(), 3, 3, verbose=0, callbacks=[LearningRateScheduler(lambda epoch: 0.1 * 0.5**epoch), BaseLogger()])
    assert float(K.get_value(model.optimizer.lr)) == pytest.approx(0.025)


def test_a_checkpoint_keeps_its_period(tmp_path):
    keep = ModelCheckpoint(str(tmp_path / "w.{epoch:02d}.hdf5"), period=2, save_weights_only=True)
    classifier().fit_generator(batches(), 3, 5, verbose=0, callbacks=[keep])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.02.hdf5", "w.04.hdf5"]


@pytest.mark.skipif(not HAS_TENSORFLOW, reason="TensorFlow writes for it")
def test_tensorboard_drops_what_is_gone(tmp_path):
    board = keras.callbacks.TensorBoard(log_dir=str(tmp_path), batch_size=4, write_grads=True, embeddings_freq=0)
    assert board.log_dir == str(tmp_path)


# checkpoints

@pytest.mark.parametrize("name", ["best.h5", "best.hdf5", "best", "best.weights.h5", "weights.01-0.5"])
@pytest.mark.parametrize("weights_only", [True, False])
def test_a_checkpoint_of_any_name_loads_again(tmp_path, name, weights_only):
    if name.endswith(".weights.h5") and not weights_only:
        pytest.skip("a name for weights")
    path = tmp_path / name
    model = classifier(metrics=[])
    model.fit_generator(batches(), 3, 2, verbose=0, validation_data=(X, Y), callbacks=[
        ModelCheckpoint(str(path), monitor="val_loss", save_best_only=True, save_weights_only=weights_only)])
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    other = classifier(metrics=[])
    other.load_weights(str(path))
    assert not all(np.array_equal(a, b) for a, b in zip(classifier(metrics=[]).get_weights(), other.get_weights(), strict=True))
    if not weights_only:
        whole = load_model(str(path))
        for a, b in zip(whole.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert whole.evaluate(X, Y, verbose=0) == pytest.approx(other.evaluate(X, Y, verbose=0), rel=1e-5)


def test_file_names_may_hold_old_metric_names(tmp_path):
    keep = ModelCheckpoint(str(tmp_path / "{epoch:02d}-{val_acc:.2f}.hdf5"), monitor="val_acc", mode="auto", save_best_only=True)
    history = classifier().fit_generator(batches(), 3, 1, verbose=0, validation_data=(X, Y), callbacks=[keep]).history
    assert [path.name for path in tmp_path.iterdir()] == [f"01-{history['val_acc'][0]:.2f}.hdf5"]
    assert keep.best == history["val_acc"][0]


@pytest.mark.parametrize("name", ["w.h5", "w.hdf5", "w"])
def test_weights_load_by_name(tmp_path, name):
    model = classifier()
    model.save_weights(str(tmp_path / name))
    other = Sequential([Dense(4, input_dim=3, name="a"), Dense(7, name="c")])
    before = other.get_weights()
    other.load_weights(str(tmp_path / name), by_name=True)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    np.testing.assert_array_equal(other.get_weights()[2], before[2])


# calls

class Cut(keras.utils.Sequence):
    batch_size = 4

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[index * 4:index * 4 + 4], Y[index * 4:index * 4 + 4]


def test_samples_become_steps_where_the_source_has_a_batch_size():
    model = classifier()
    history = model.fit_generator(Cut(), samples_per_epoch=8, nb_epoch=2, verbose=0, validation_data=Cut(), nb_val_samples=12,
                                  max_q_size=2, nb_worker=2, pickle_safe=False)
    assert history.params["steps"] == 2 and history.epoch == [0, 1] and "val_loss" in history.history


def test_samples_by_position_are_batches_as_in_keras_2_and_a_number_that_looks_like_samples_is_told():
    class Counted(Cut):
        n = 12

    with pytest.warns(UserWarning, match=r"12 samples in 3 batches.*steps_per_epoch=3"):
        assert classifier().fit_generator(Counted(), 12, 1, verbose=0).params["steps"] == 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classifier().fit_generator(Counted(), 3, 1, verbose=0).params["steps"] == 3


def test_samples_are_steps_where_it_has_none():
    assert classifier().fit_generator(batches(), samples_per_epoch=5, nb_epoch=1, verbose=0).params["steps"] == 5


def test_old_and_new_words_may_be_mixed():
    model = classifier()
    assert model.fit_generator(batches(), steps_per_epoch=3, nb_epoch=1, verbose=0, workers=2, max_q_size=1).epoch == [0]
    model.evaluate_generator(batches(), val_samples=3, max_q_size=1)
    assert model.predict_generator(batches(), val_samples=3, nb_worker=1).shape == (12, 2)


def test_fit_takes_generators_and_what_the_feed_takes():
    model = classifier()
    assert model.fit(Cut(), epochs=2, workers=2, max_queue_size=3, use_multiprocessing=False, verbose=0).epoch == [0, 1]
    assert len(model.evaluate(Cut(), workers=2, verbose=0)) == 2
    assert model.predict(Cut(), workers=0).shape == (12, 2)
    np.testing.assert_allclose(model.predict(X), model.predict_generator(Cut()), rtol=1e-5)
    assert model.predict_generator(Cut(), 2, 10, 1, False, 0).shape[0] <= 12  # as up to 2.2.4: max_queue_size comes third
    assert len(model.evaluate_generator(Cut(), 2, 10)) == 2


def test_fit_takes_lists_and_splits_off_validation_from_the_end():
    model = classifier(SGD(lr=0.0))
    history = model.fit(X, Y, nb_epoch=1, validation_split=0.25, verbose=0, shuffle=True).history
    np.testing.assert_allclose(history["val_loss"][0], model.evaluate(X[9:], Y[9:], verbose=0)[0], rtol=1e-5)
    assert model.fit([X], [Y], epochs=1, verbose=0, validation_data=[X, Y]).epoch == [0]
    whole = model.fit(X, Y, verbose=0, validation_split=0.5, validation_data=(X, Y)).history  # trained on all, at a rate of 0
    np.testing.assert_allclose(whole["loss"], whole["val_loss"], rtol=1e-5)
    assert model.fit(X.tolist(), Y.tolist(), epochs=1, verbose=0).epoch == [0]


def test_compile_and_train_on_batch_take_old_words():
    model = classifier(sample_weight_mode="temporal")
    first = model.train_on_batch(X, Y, reset_metrics=True)
    assert len(first) == 2
    loss = model.test_on_batch(X, Y)[0]
    np.testing.assert_allclose(loss, model.evaluate(X, Y, verbose=0)[0], rtol=1e-5)
    steps = Sequential([Dense(1, input_shape=(3, 1), init="one", bias=False)])
    steps.compile("sgd", "mse", sample_weight_mode="temporal")
    weights = np.array([[1.0, 0.0, 0.0]])
    assert steps.evaluate(np.full((1, 3, 1), 3.0), np.zeros((1, 3, 1)), sample_weight=weights, verbose=0) == pytest.approx(3.0)


def test_classes_and_probabilities_are_predicted():
    model = classifier()
    p = model.predict(X)
    np.testing.assert_array_equal(model.predict_classes(X), p.argmax(1))
    np.testing.assert_array_equal(model.predict_proba(X), p)
    binary = Sequential([Dense(1, activation="sigmoid", input_dim=3)])
    np.testing.assert_array_equal(binary.predict_classes(X), (binary.predict(X) > 0.5).astype("int32"))


def test_trainable_counts_as_it_was_when_the_model_was_compiled():
    critic = Sequential([Dense(1, input_dim=3)])
    critic.compile(SGD(lr=0.1), "mse")
    critic.trainable = False
    maker = Sequential([Dense(3, input_dim=3)])
    inputs = Input((3,))
    pair = Model(inputs, critic(maker(inputs)))
    pair.compile(SGD(lr=0.1), "mse")
    weights = [model.get_weights()[0].copy() for model in (critic, maker)]
    critic.train_on_batch(X, np.ones((12, 1)))
    assert not np.array_equal(critic.get_weights()[0], weights[0]) and not critic.trainable
    weights[0] = critic.get_weights()[0].copy()
    pair.train_on_batch(X, np.ones((12, 1)))
    pair.fit(X, np.ones((12, 1)), epochs=1, verbose=0)
    assert np.array_equal(critic.get_weights()[0], weights[0]) and not np.array_equal(maker.get_weights()[0], weights[1])
    critic.fit_generator(((X, np.ones((12, 1))) for _ in range(9)), steps_per_epoch=1, verbose=0)
    assert not np.array_equal(critic.get_weights()[0], weights[0])


def test_states_are_kept_between_batches_and_reset():
    model = Sequential([keras.layers.LSTM(2, batch_input_shape=(1, 2, 3), stateful=True, recurrent_activation="sigmoid")])
    first, second = model.predict(X[None, :2]), model.predict(X[None, :2])
    assert K.backend() == "jax" or not np.allclose(first, second)  # Keras 3 on JAX keeps no state: there a warning says so
    model.reset_states()
    np.testing.assert_allclose(model.predict(X[None, :2]), first, rtol=1e-5)


def test_lower_case_names_of_optimizers():
    assert isinstance(keras.optimizers.rmsprop(lr=0.1, decay=1e-6), RMSprop) and keras.optimizers.sgd is SGD


def test_yaml_is_an_error_that_says_what_to_use():
    with pytest.raises(stoker.compat.NotInKeras3, match=r"rows_training\.py:\d+.*to_json"):
        classifier().to_yaml()
    with pytest.raises(stoker.compat.NotInKeras3, match="keras.Model"):
        K.function([], [])
