"""Modules, layers, images, utilities and TensorFlow's names under stoker.compat. Run in a process of its own for each backend."""

import pickle

import numpy as np
import pytest

import stoker.compat

stoker.compat.install()

import keras  # noqa: E402
from keras import backend as K  # noqa: E402
from keras.engine import InputSpec, Layer  # noqa: E402
from keras.engine.topology import Layer as TopologyLayer  # noqa: E402
from keras.engine.training import Model as TrainingModel  # noqa: E402
from keras.layers import BatchNormalization, Dense, Embedding, Flatten, Input, LeakyReLU, merge  # noqa: E402
from keras.layers.advanced_activations import PReLU  # noqa: E402
from keras.layers.convolutional import Convolution1D, Convolution2D, MaxPooling2D, UpSampling2D, ZeroPadding2D  # noqa: E402
from keras.layers.core import Activation, Dropout  # noqa: E402
from keras.layers.embeddings import Embedding as OldEmbedding  # noqa: E402
from keras.layers.local import LocallyConnected2D  # noqa: E402
from keras.layers.merge import concatenate  # noqa: E402
from keras.layers.noise import GaussianNoise  # noqa: E402
from keras.layers.normalization import BatchNormalization as OldBatchNormalization  # noqa: E402
from keras.layers.pooling import GlobalAveragePooling2D  # noqa: E402
from keras.layers.recurrent import GRU, LSTM  # noqa: E402
from keras.layers.wrappers import Bidirectional, TimeDistributed  # noqa: E402
from keras.legacy import interfaces  # noqa: E402, F401
from keras.models import Model, Sequential  # noqa: E402
from keras.objectives import categorical_crossentropy, mean_squared_error  # noqa: E402
from keras.preprocessing.image import ImageDataGenerator, array_to_img, img_to_array, load_img  # noqa: E402
from keras.preprocessing.sequence import TimeseriesGenerator, pad_sequences  # noqa: E402
from keras.preprocessing.text import Tokenizer, text_to_word_sequence  # noqa: E402
from keras.regularizers import l2  # noqa: E402
from keras.utils import GeneratorEnqueuer, OrderedEnqueuer, multi_gpu_model, np_utils, to_categorical  # noqa: E402
from keras.utils.conv_utils import conv_output_length, normalize_data_format  # noqa: E402
from keras.utils.data_utils import Sequence, get_file  # noqa: E402
from keras.utils.generic_utils import Progbar, get_custom_objects  # noqa: E402
from keras.utils.layer_utils import print_summary  # noqa: E402
from keras.utils.training_utils import multi_gpu_model as other_multi_gpu_model  # noqa: E402
from keras.utils.vis_utils import plot_model  # noqa: E402
from keras.wrappers.scikit_learn import KerasClassifier  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::stoker.compat.CompatWarning")
R = np.random.RandomState(2)


# modules

def test_old_modules_hold_the_same_objects():
    import keras.callbacks.callbacks
    import keras.initializations

    assert TopologyLayer is Layer is keras.layers.Layer and TrainingModel is Model and InputSpec is keras.layers.InputSpec
    assert OldEmbedding is Embedding and OldBatchNormalization is BatchNormalization
    assert keras.callbacks.callbacks.EarlyStopping is keras.callbacks.EarlyStopping
    assert mean_squared_error is keras.losses.mean_squared_error and categorical_crossentropy is keras.losses.categorical_crossentropy
    assert Progbar is keras.utils.Progbar and plot_model is keras.utils.plot_model and get_file is keras.utils.get_file
    assert keras.initializations.glorot_uniform and callable(get_custom_objects) and callable(print_summary)
    assert conv_output_length(10, 3, "valid", 2) == 4 and normalize_data_format(None) == "channels_last"
    for kind in (Activation, Dropout, PReLU, GaussianNoise, GlobalAveragePooling2D, Bidirectional, TimeDistributed):
        assert kind is getattr(keras.layers, kind.__name__)


def test_a_star_import_of_an_old_module_works():
    held = {}
    exec("from keras.layers.core import *", held)
    assert held["Dense"] is Dense


def test_a_name_of_no_table_fails_at_its_import():
    with pytest.raises(ImportError):
        from keras.layers.core import NoSuchLayer  # noqa: F401
    with pytest.raises(ImportError):
        import keras.layers.no_such_module  # noqa: F401


def test_a_name_without_a_meaning_fails_at_its_use_with_the_line():
    with pytest.raises(stoker.compat.NotInKeras3, match=r"rows_names\.py:\d+.*Conv2D"):
        LocallyConnected2D(3, (2, 2))
    with pytest.raises(stoker.compat.NotInKeras3, match="scikeras"):
        KerasClassifier(lambda: None)


def test_modules_that_are_gone_fail_at_their_use():
    import theano.tensor as T
    from keras.applications.imagenet_utils import _obtain_input_shape

    with pytest.raises(stoker.compat.NotInKeras3, match="keras.ops"):
        T.mean(1)
    with pytest.raises(stoker.compat.NotInKeras3, match="input_shape"):
        _obtain_input_shape(None)


def test_tensorflow_keras_is_keras():
    from tensorflow.keras import backend as TK
    from tensorflow.keras.layers import Dense as TfDense
    from tensorflow.keras.preprocessing.image import ImageDataGenerator as TfGenerator
    from tensorflow.keras.utils import multi_gpu_model as tf_multi

    assert TfDense is Dense and TK is K and TfGenerator is ImageDataGenerator and tf_multi is multi_gpu_model


def test_numpy_names_are_back():
    assert np.array([1], dtype=np.int).dtype == int and np.array([1], dtype=np.bool).dtype == bool
    assert np.float is float and np.object is object


# layers of Keras 1

def test_convolutions_of_keras_1_have_keras_1s_meaning():
    model = Sequential([
        Convolution2D(5, 3, 2, border_mode="same", subsample=(2, 2), init="he_normal", W_regularizer=l2(0.01), b_regularizer=None,
                      dim_ordering="tf", bias=False, input_shape=(8, 8, 3), activation="relu"),
        ZeroPadding2D((1, 1)), MaxPooling2D((2, 2), strides=(2, 2), border_mode="valid", dim_ordering="tf"), UpSampling2D((2, 2)),
        Convolution2D(nb_filter=4, nb_row=1, nb_col=2), keras.layers.Conv2D(2, 3, 3, padding="same")])
    first = model.layers[0]
    assert first.get_weights()[0].shape == (3, 2, 3, 5) and first.strides == (2, 2) and first.padding == "same" and not first.use_bias
    assert float(first.kernel_regularizer.l2) == pytest.approx(0.01)
    assert model.layers[-2].get_weights()[0].shape == (1, 2, 5, 4)
    assert model.layers[-1].get_weights()[0].shape == (3, 3, 4, 2) and model.layers[-1].strides == (1, 1)
    assert Convolution1D(4, 3, border_mode="same", subsample_length=2, input_dim=5, input_length=6).kernel_size == (3,)


def test_dense_and_recurrent_layers_of_keras_1():
    model = Sequential([
        LSTM(output_dim=4, input_dim=3, input_length=5, return_sequences=True, inner_activation="hard_sigmoid", dropout_W=0.0,
             dropout_U=0.0, consume_less="gpu"),
        TimeDistributed(Dense(output_dim=2, init="zero")), GRU(3), Dropout(p=0.25), Dense(1, init="one", bias=False, W_constraint=None)])
    assert model.input_shape == (None, 5, 3) and model.layers[0].units == 4 and model.layers[3].rate == 0.25
    np.testing.assert_array_equal(model.layers[-1].get_weights()[0], np.ones((3, 1)))
    np.testing.assert_array_equal(model.layers[1].get_weights()[0], np.zeros((4, 2)))
    layer = keras.layers.Dense(2, init="normal", input_dim=3)
    assert isinstance(layer.kernel_initializer, keras.initializers.RandomNormal)


def test_old_words_of_other_layers():
    table = R.randn(6, 4).astype("float32")
    model = Sequential([
        Embedding(6, 4, weights=[table], input_length=3, trainable=False), Flatten(),
        Dense(2, weights=[np.ones((12, 2)), np.zeros(2)]), BatchNormalization(mode=0, axis=-1), LeakyReLU(alpha=0.3)])
    out = model.predict(np.array([[1, 2, 3]]))
    np.testing.assert_allclose(out[0, 0], (lambda s: max(s, 0.3 * s))(table[[1, 2, 3]].sum() / np.sqrt(1.001)), rtol=1e-3)
    assert Sequential([Dense(1, batch_input_shape=(None, 3))]).input_shape == (None, 3)


@pytest.mark.parametrize("mode", ["sum", "mul", "ave", "max", "concat", "dot", "cos"])
def test_merge_has_keras_1s_modes(mode):
    a, b = R.randn(4, 3).astype("float32"), R.randn(4, 3).astype("float32")
    wanted = {
        "sum": a + b, "mul": a * b, "ave": (a + b) / 2, "max": np.maximum(a, b), "concat": np.concatenate([a, b], 1),
        "dot": (a * b).sum(1, keepdims=True),
        "cos": ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))[:, None]}[mode]
    x, y = Input((3,)), Input((3,))
    model = Model(input=[x, y], output=merge([x, y], mode=mode, concat_axis=1))
    np.testing.assert_allclose(model.predict([a, b]), wanted, rtol=1e-4, atol=1e-5)


def test_merge_with_a_function_says_what_to_write():
    x = Input((3,))
    with pytest.raises(stoker.compat.NotInKeras3, match="Lambda"):
        merge([x, x], mode=lambda pair: pair[0])
    assert concatenate([x, x]).shape == (None, 6)


def test_layers_of_the_scripts_own_may_use_old_add_weight():
    class Scale(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

        def build(self, input_shape):
            self.kernel = self.add_weight((input_shape[-1],), initializer="one", name="scale")
            self.shift = self.add_weight("shift", (input_shape[-1],), initializer="zero", trainable=True)
            super().build(input_shape)

        def call(self, x, mask=None):
            return x * self.kernel + self.shift

    model = Sequential([Scale(input_shape=(3,))])
    np.testing.assert_array_equal(model.predict(np.ones((2, 3))), np.ones((2, 3)))
    assert len(model.get_weights()) == 2


# images

@pytest.fixture()
def folder(tmp_path):
    for number, name in enumerate(("cats", "dogs")):
        (tmp_path / name).mkdir()
        for each in range(5):
            array_to_img(np.full((6, 6, 3), 40 * number + each, "float32"), scale=False).save(
                tmp_path / name / f"{each}.{'png' if each % 2 else 'jpg'}")
    return tmp_path


def test_images_flow_from_folders(folder):
    flow = ImageDataGenerator(rescale=0.1).flow_from_directory(
        str(folder), target_size=(6, 6), batch_size=4, class_mode="categorical", shuffle=False)
    assert flow.class_indices == {"cats": 0, "dogs": 1} and len(flow) == 3 and flow.samples == 10
    assert flow.classes.tolist() == [0] * 5 + [1] * 5
    x, y = flow.next()
    assert x.shape == (4, 6, 6, 3) and y.tolist() == [[1, 0]] * 4 and abs(x[1].mean() - 0.1) < 0.2
    x, _ = next(flow)
    flow.reset()
    first, _ = flow.next()
    assert first[0].mean() < x[1].mean()


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 2}, {"workers": 2, "use_multiprocessing": True}])
def test_image_iterators_go_through_the_feed(folder, options):
    flow = ImageDataGenerator(rescale=1 / 255).flow_from_directory(
        str(folder), target_size=(6, 6), batch_size=4, class_mode="binary", shuffle=False)
    model = Sequential([Flatten(input_shape=(6, 6, 3)), Dense(1, init="one", bias=False)])
    model.compile("sgd", "mse")
    wanted = sum((flow[i][0].reshape(len(flow[i][0]), -1).sum(1).tolist() for i in range(3)), [])
    np.testing.assert_allclose(model.predict_generator(flow, **options)[:, 0], wanted, rtol=1e-4)
    model.fit_generator(flow, steps_per_epoch=3, epochs=1, verbose=0, validation_data=flow, **options)


def test_image_iterators_can_be_pickled_as_the_feed_does_it(folder):
    from stoker.source.open import open_source

    flow = ImageDataGenerator(horizontal_flip=True).flow(R.rand(8, 4, 4, 1), np.arange(8), batch_size=3)
    assert open_source(flow).length() == 3
    with pytest.raises(TypeError):
        pickle.dumps(flow)  # it holds a lock and a generator: why the feed has a way of its own


def test_generators_that_are_fitted_standardize():
    images = R.rand(20, 4, 4, 1).astype("float32") * 9
    augment = ImageDataGenerator(featurewise_center=True, featurewise_std_normalization=True)
    augment.fit(images)
    x = augment.flow(images, batch_size=20, shuffle=False).next()
    assert abs(x.mean()) < 1e-4 and abs(x.std() - 1) < 1e-3


def test_images_flow_from_data_frames(folder):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"filename": ["cats/0.jpg", "dogs/1.png"], "class": ["cat", "dog"]})
    flow = ImageDataGenerator().flow_from_dataframe(frame, str(folder), target_size=(6, 6), shuffle=False, class_mode="categorical")
    assert flow.next()[1].tolist() == [[1, 0], [0, 1]]


def test_zipped_iterators_stay_in_step():
    images = np.arange(24.0).reshape(6, 2, 2, 1)
    augment = {"horizontal_flip": True}
    flows = [ImageDataGenerator(**augment).flow(images, batch_size=2, seed=3) for _ in range(2)]
    for _, (x, y) in zip(range(7), zip(*flows, strict=False), strict=False):
        np.testing.assert_array_equal(x, y)


def test_single_images_are_loaded_and_written(folder):
    image = load_img(str(folder / "cats" / "1.png"), target_size=(3, 3))
    assert img_to_array(image).shape == (3, 3, 3) and img_to_array(image).max() == 1


# utilities

def test_one_hot_codes():
    for convert in (to_categorical, np_utils.to_categorical):
        assert convert([0, 2], 3).tolist() == [[1, 0, 0], [0, 0, 1]] and convert(np.array([1.0, 0.0])).dtype == np.float32
    assert np_utils.to_categorical([1], nb_classes=2).tolist() == [[0, 1]]


def test_text_and_sequences():
    words = Tokenizer(num_words=3)
    words.fit_on_texts(["a b a", "a c"])
    assert words.texts_to_sequences(["a b"]) == [[1, 2]] and text_to_word_sequence("A, b") == ["a", "b"]
    assert pad_sequences([[1], [1, 2, 3]], maxlen=2).tolist() == [[0, 1], [2, 3]]
    series = TimeseriesGenerator(np.arange(10), np.arange(10), length=3, batch_size=4)
    x, y = series[0]
    assert x[0].tolist() == [0, 1, 2] and y[0] == 3


def test_several_gpus_are_one_model():
    model = Sequential([Dense(1, input_dim=1)])
    assert multi_gpu_model(model, gpus=4) is model and other_multi_gpu_model(model) is model


class Squares(Sequence):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return np.full((1, 1), index**2)


@pytest.mark.parametrize("workers", [0, 2])
def test_enqueuers_give_batches_in_order(workers):
    queue = OrderedEnqueuer(Squares(), use_multiprocessing=False)
    assert not queue.is_running()
    queue.start(workers=workers, max_queue_size=3)
    got = queue.get()
    assert [next(got).item() for _ in range(7)] == [0, 1, 4, 9, 16, 0, 1] and queue.is_running()
    queue.stop()
    assert not queue.is_running()
    assert OrderedEnqueuer(sequence=Squares()).sequence is not None


def test_generator_enqueuers_end_with_their_generator():
    queue = GeneratorEnqueuer(generator=(n for n in range(4)), wait_time=0.1)
    queue.start(workers=2, max_queue_size=2)
    assert list(queue.get()) == [0, 1, 2, 3]
    queue.stop()
    with pytest.raises(stoker.FeedClosed):
        queue.get()


# metrics and optimizers

def test_old_names_of_metrics_are_known(tmp_path):
    x, y = R.rand(12, 3).astype("float32"), np.eye(2, dtype="float32")[R.randint(0, 2, 12)]
    model = Sequential([Dense(2, activation="softmax", input_dim=3)])
    model.compile("sgd", "mse", metrics=["cosine_proximity", "kld", "logcosh", "precision", "recall", "fmeasure"])
    p = model.predict(x)
    right, found = (np.round(y * p)).sum(), np.round(p).sum()
    cosine = -((y * p).sum(1) / np.linalg.norm(p, axis=1)).mean()
    divergence = (np.clip(y, 1e-7, 1) * np.log(np.clip(y, 1e-7, 1) / p)).sum(1).mean()
    wanted = [cosine, divergence, np.log(np.cosh(p - y)).mean(), right / found, right / 12, 2 * right / (found + 12)]
    np.testing.assert_allclose(model.test_on_batch(x, y)[1:], wanted, rtol=1e-3)
    assert model.metrics_names[1:] == ["cosine_proximity", "kld", "logcosh", "precision", "recall", "fmeasure"]
    model.save(str(tmp_path / "m.h5"))
    np.testing.assert_allclose(keras.models.load_model(str(tmp_path / "m.h5")).test_on_batch(x, y)[1:], wanted, rtol=1e-3)


def test_an_optimizer_of_the_scripts_own_says_what_to_write():
    class Own(keras.optimizers.Optimizer):
        def __init__(self, lr=0.01, **options):
            super().__init__(**options)

        def get_updates(self, loss, params):
            return []

    with pytest.raises(stoker.compat.NotInKeras3, match=r"Own\.get_updates.*update_step\(gradient, variable, learning_rate\)"):
        Own()


# sessions

def test_sessions_and_gpu_options_do_nothing_and_seeds_are_set():
    tf = K.tf
    if isinstance(tf, stoker.compat.lost.Lost):
        from stoker.compat.tell import Teller
        from stoker.compat.tensorflow1 import names

        class tf:  # TensorFlow is there, but not imported: what it would be filled with
            locals().update({name: staticmethod(value) if callable(value) else value for name, value in names(Teller()).items()})

    config = tf.ConfigProto()
    config.gpu_options.allow_growth = True
    config.gpu_options.per_process_gpu_memory_fraction = 0.3
    K.set_session(tf.Session(config=config))
    K.get_session().run(tf.global_variables_initializer())
    drawn = []
    for _ in range(2):
        tf.set_random_seed(7)
        drawn.append(K.eval(K.random_normal((3,))).tolist())
    assert drawn[0] == drawn[1]
    K.set_learning_phase(1)
