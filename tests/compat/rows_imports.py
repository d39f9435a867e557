"""What old scripts import: it is there, or fails where it is used. Run in a process of its own for each backend."""

import importlib.util

import numpy as np
import pytest

import stoker.compat

stoker.compat.install()

import keras  # noqa: E402
from keras import backend as K  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::stoker.compat.CompatWarning")

SERVES = """
from keras.engine.network import Network, get_source_inputs
from keras.engine.topology import Network, InputSpec
from keras.utils.generic_utils import has_arg, to_list, unpack_singleton, func_dump
from keras.utils.layer_utils import count_params
from keras.utils.conv_utils import deconv_length, conv_input_length, normalize_padding
from keras.losses import KLD, MSE, cosine, cosine_proximity
from keras.metrics import accuracy, precision, recall, fmeasure, fbeta_score, MSE, mape, cosine_proximity
from keras.models import Input, Network
from keras.callbacks.tensorboard_v1 import TensorBoard
from keras.applications.mobilenet import MobileNet, relu6, DepthwiseConv2D
from keras_applications.vgg16 import VGG16
from keras_applications.resnet50 import ResNet50
from keras.backend.tensorflow_backend import _to_tensor, _EPSILON
from keras.backend.common import _EPSILON, normalize_data_format
from keras.preprocessing.image import list_pictures, apply_transform, transform_matrix_offset_center
from keras.preprocessing.text import base_filter
from tensorflow.compat.v1.keras.backend import set_session
from tensorflow.compat.v1.keras.layers import Dense
from tensorflow.python.keras.layers import Dense
from tensorflow.python.keras.engine.training import Model
from tensorflow.python.keras._impl.keras.layers import Dense
from tensorflow.contrib.keras.api.keras.layers import Dense
from tensorflow.contrib import keras
from tensorflow.keras.experimental import CosineDecay
from tensorflow.keras.layers.experimental.preprocessing import Rescaling, Resizing, RandomFlip, Normalization
from tensorflow.keras.layers.experimental import preprocessing, EinsumDense; preprocessing.Rescaling
import tensorflow as tf; name = tf.keras.layers.experimental.preprocessing.Rescaling
from tensorflow.python.client import device_lib
from tensorflow import ConfigProto, Session, set_random_seed
import tensorflow.compat.v1 as tf; tf.disable_v2_behavior()
import tensorflow as tf; tf.enable_eager_execution(); tf.compat.v1.disable_eager_execution
"""

FAILS_AT_USE = """
from scipy.misc import imread as name
from keras.models import Graph as name
from keras.layers.merge import _Merge as name
from keras.layers.normalization import LRN2D as name
from keras.engine.topology import load_weights_from_hdf5_group as name
from keras.engine.training_utils import standardize_input_data as name
from keras.engine.training import _make_batches as name
from keras.utils.test_utils import keras_test as name
from keras.legacy.interfaces import generate_legacy_interface as name
from tensorflow.contrib.slim import fully_connected as name
from tensorflow.examples.tutorials.mnist.input_data import read_data_sets as name
from keras_contrib.layers import InstanceNormalization as name
from tensorflow.keras.layers.experimental.preprocessing import RandomHeight as name
"""


@pytest.mark.parametrize("line", SERVES.strip().splitlines())
def test_it_can_be_imported(line):
    held = {}
    exec(line, held)
    assert not any(isinstance(value, stoker.compat.lost.Lost) for value in held.values())


@pytest.mark.parametrize("line", FAILS_AT_USE.strip().splitlines())
def test_it_fails_where_it_is_used_and_says_what_to_write(line):
    held = {}
    exec(line, held)
    with pytest.raises(stoker.compat.NotInKeras3, match=r"rows_imports\.py:\d+\)\. \S+"):
        held["name"](1)


def test_keras_of_tensorflow_is_keras_everywhere():
    from tensorflow.compat.v1.keras.layers import Dense as of_v1
    from tensorflow.contrib import keras as of_contrib
    from tensorflow.python.keras.layers import Dense as of_python

    assert of_v1 is of_python is keras.layers.Dense and of_contrib is keras


def test_restored_functions_compute_what_they_did():
    from keras.applications.mobilenet import relu6
    from keras.metrics import fbeta_score, precision, recall
    from keras.preprocessing.image import apply_transform, transform_matrix_offset_center
    from keras.utils.conv_utils import conv_input_length, deconv_length
    from keras.utils.generic_utils import has_arg
    from keras.utils.layer_utils import count_params

    true, guess = K.constant([[1.0, 0.0, 1.0, 1.0]]), K.constant([[0.9, 0.8, 0.7, 0.1]])
    assert float(K.get_value(precision(true, guess))) == pytest.approx(2 / 3)
    assert float(K.get_value(recall(true, guess))) == pytest.approx(2 / 3) == pytest.approx(float(K.get_value(fbeta_score(true, guess))))
    assert K.get_value(relu6(K.constant([-1.0, 3.0, 9.0]))).tolist() == [0, 3, 6]
    assert deconv_length(4, 2, 3, "same") == 8 and deconv_length(4, 2, 3, "valid") == 9 and conv_input_length(3, 3, "valid", 2) == 7
    assert has_arg(deconv_length, "padding") and not has_arg(deconv_length, "x")
    assert count_params(keras.Sequential([keras.layers.Dense(3, input_dim=2)]).weights) == 9
    pytest.importorskip("scipy")
    image = np.arange(9.0).reshape(3, 3, 1)
    turned = apply_transform(image, transform_matrix_offset_center(np.array([[-1, 0, 0], [0, -1, 0], [0, 0, 1.0]]), 2, 2), 2)
    assert turned.shape == (3, 3, 1)


def test_tensorflows_switches_do_nothing_and_its_seeds_are_keras():
    if not importlib.util.find_spec("tensorflow"):
        pytest.skip("the stand-in is tested by the scripts")
    import tensorflow as tf

    tf.enable_eager_execution()
    for gpu in tf.config.experimental.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    assert tf.VERSION and K.tf.ConfigProto() is not None
    drawn = []
    for _ in range(2):
        tf.random.set_random_seed(5)
        drawn.append(K.get_value(K.random_normal((3,))).tolist())
    assert drawn[0] == drawn[1]


# images and queues

def test_images_and_their_generators_take_old_words(tmp_path):
    from keras.preprocessing.image import ImageDataGenerator, array_to_img, list_pictures, load_img

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        array_to_img(np.full((6, 6, 3), 90.0), scale=False).save(tmp_path / name / "1.png")
    path = str(tmp_path / "a" / "1.png")
    assert load_img(path, grayscale=True).mode == load_img(path, True).mode == "L" and load_img(path, target_size=(3.0, 4)).size == (4, 3)
    flow = ImageDataGenerator(dim_ordering="tf").flow_from_directory(str(tmp_path), target_size=(6, 6), batch_size=2)
    assert (flow.nb_sample, flow.nb_class) == (2, 2) and flow.next()[0].shape == (2, 6, 6, 3)
    assert sorted(list_pictures(str(tmp_path))) == sorted([path, str(tmp_path / "b" / "1.png")])


def test_rows_are_sliced_as_keras_1_did():
    from keras.engine.training import slice_X

    a, b = np.arange(5), np.arange(10).reshape(5, 2)
    assert slice_X(a, 1, 3).tolist() == [1, 2] and slice_X(b, [0, 4]).tolist() == [[0, 1], [8, 9]]
    assert [part.shape for part in slice_X([a, b], stop=2)] == [(2,), (2, 2)]


def test_queues_and_progress_bars_take_old_words():
    queue = keras.utils.GeneratorEnqueuer((n for n in range(3)), pickle_safe=False)
    queue.start(max_q_size=2, nb_worker=1)
    assert list(queue.get()) == [0, 1, 2]
    queue.stop()
    assert keras.callbacks.ProgbarLogger(count_mode="steps")
