"""What variables of a layer of the script's own are: weights or not, and when updates run. Run in a process of its own for each backend."""

import numpy as np
import pytest

import stoker.compat

stoker.compat.install()

import keras  # noqa: E402
from keras import backend as K  # noqa: E402
from keras.layers import Dense, Layer  # noqa: E402
from keras.models import Sequential  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::stoker.compat.CompatWarning")

R = np.random.RandomState(9)
X = R.rand(8, 4).astype("float32")


def trained(layer):
    model = Sequential([layer, Dense(1)])
    model.compile("sgd", "mse")
    return model


# updates

class Counts(Layer):
    """Counts its calls by each of the functions that set a variable."""

    def build(self, input_shape):
        self.counts = [self.add_weight(name=f"count{place}", shape=(), initializer="zeros", trainable=False) for place in range(4)]

    def call(self, x):
        first, second, third, fourth = self.counts
        self.add_update([K.update(first, first + 1.0), K.update_add(second, 1.0), K.update_sub(third, 1.0),
                         K.moving_average_update(fourth, 1.0, 0.5)], x)
        return x


def test_updates_within_a_layer_run_in_calls_that_train_alone():
    layer = Counts(input_shape=(4,))
    model = trained(layer)
    model.predict(X)
    model.evaluate(X, X[:, :1], verbose=0)
    model.test_on_batch(X, X[:, :1])
    assert [float(K.get_value(count)) for count in layer.counts] == [0, 0, 0, 0]
    model.fit(X, X[:, :1], batch_size=8, epochs=2, verbose=0, validation_data=(X, X[:, :1]))
    assert [float(K.get_value(count)) for count in layer.counts] == [2, 2, -2, 0.75]
    K.update_add(layer.counts[0], 1.0)
    assert float(K.get_value(layer.counts[0])) == 3


# weights

class Shifted(Layer):
    """Holds a variable that is in none of its lists, and one that is."""

    def __init__(self, hold, **options):
        super().__init__(**options)
        self.hold = hold

    def build(self, input_shape):
        self.shift = K.variable(np.ones(4))
        self.noise = K.random_uniform_variable((4,), 0.0, 1.0)
        self.W = K.variable(np.full(4, 2.0))
        self.hold(self)
        super().build(input_shape)

    def call(self, x):
        return x * self.W + self.shift + 0.0 * self.noise


def assign(layer):
    layer.trainable_weights = [layer.W]


def append(layer):
    layer.trainable_weights.append(layer.W)


def extend(layer):
    layer._trainable_weights.extend([layer.W])


def add(layer):
    layer.trainable_weights += [layer.W]


@pytest.mark.parametrize("hold", [assign, append, extend, add])
def test_a_variable_is_a_weight_of_a_layer_where_its_lists_name_it(hold):
    layer = Shifted(hold, input_shape=(4,))
    model = trained(layer)
    model.fit(X, X[:, :1], verbose=0)
    assert [tuple(weight.shape) for weight in layer.trainable_weights] == [(4,)] and len(layer.get_weights()) == 1
    np.testing.assert_array_equal(K.get_value(layer.shift), np.ones(4))
    assert not np.allclose(K.get_value(layer.W), 2)
    model.layers[-1].set_weights([np.eye(4, 1), np.zeros(1)])
    K.set_value(layer.shift, np.full(4, 5.0))
    np.testing.assert_allclose(model.predict(X)[:, 0], X[:, 0] * K.get_value(layer.W)[0] + 5, rtol=1e-5)


def test_a_variable_of_a_layer_that_is_no_weight_may_be_updated_in_its_call():
    class Remembers(Layer):
        def build(self, input_shape):
            self.seen = K.variable(np.zeros(4))

        def call(self, x):
            self.add_update(K.update(self.seen, K.mean(x, axis=0)), x)
            return x

    layer = Remembers(input_shape=(4,))
    model = trained(layer)
    model.fit(X, X[:, :1], batch_size=8, verbose=0)
    np.testing.assert_allclose(K.get_value(layer.seen), X.mean(0), rtol=1e-5)
    assert layer.get_weights() == []


def test_a_variable_of_a_layer_of_tensorflows_keras_is_a_weight(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("""
from tensorflow.keras import backend as K, layers

class Scale(layers.Layer):
    def build(self, input_shape):
        self.W = K.variable([2.0] * 4)

    def call(self, x):
        return x * self.W
""")
    held = {"__name__": "script"}
    exec(compile(path.read_text(), str(path), "exec"), held)
    layer = held["Scale"](input_shape=(4,))
    assert trained(layer).predict(X).shape == (8, 1) and len(layer.trainable_weights) == 1
    assert isinstance(layer.W, keras.Variable)
