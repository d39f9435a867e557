"""Layers with old arguments, sizes and attributes. Run in a process of its own for each backend."""

import sys

import numpy as np
import pytest

import stoker.compat

stoker.compat.install()

import keras  # noqa: E402
from keras import backend as K  # noqa: E402
from keras.layers import (  # noqa: E402
    GRU,
    LSTM,
    Activation,
    Conv2D,
    Convolution2D,
    Deconvolution2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Layer,
    MaxPooling2D,
    PReLU,
    Reshape,
    ThresholdedReLU,
)
from keras.models import Model, Sequential, load_model  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::stoker.compat.CompatWarning")
R = np.random.RandomState(6)
X = R.rand(8, 4).astype("float32")


# sizes

def test_numpy_numbers_and_whole_floats_are_sizes():
    model = Sequential([
        Conv2D(np.int64(4), (np.int64(3), 3.0), strides=np.int32(1), input_shape=(np.int64(8), 8, 1)),
        MaxPooling2D(pool_size=(2.0, np.int64(2))), Dense(np.prod((2, 3))), Dropout(np.float64(0.5)), Dense(8 / 2),
        Reshape((np.int64(9), np.int64(4)))])
    assert model.output_shape == (None, 9, 4) and type(model.layers[2].units) is type(model.layers[4].units) is int
    model.to_json()


def test_an_embedding_that_comes_first_is_built_at_once(tmp_path):
    def words():
        return Sequential([Embedding(9, 3, input_length=4), Flatten(), Dense(1, init="one", bias=False)])

    table = np.arange(27.0).reshape(9, 3)
    model = words()
    assert model.output_shape == (None, 1) and model.count_params() == 27 + 12
    model.layers[0].set_weights([table])
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    np.testing.assert_allclose(model.predict(np.array([[1, 2, 0, 8]])), [[table[[1, 2, 0, 8]].sum()]])
    model.fit(np.zeros((4, 4)), np.zeros(4), verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], table)
    model.save_weights(str(tmp_path / "w.h5"))
    other = words()
    other.load_weights(str(tmp_path / "w.h5"))
    np.testing.assert_array_equal(other.get_weights()[0], table)
    assert Sequential([Embedding(9, 3), LSTM(2)]).output_shape == (None, 2)


# kernels by position

def test_whole_numbers_after_the_filters_are_the_kernel_and_told_once():
    image = Input((8, 8, 3))
    with pytest.warns(stoker.compat.CompatWarning, match=r"Conv2D\(n, 3, 2\)") as told:
        layer = Conv2D(4, 3, 2)
        Conv2D(4, 3, 2)
    assert layer.kernel_size == (3, 2) and layer.strides == (1, 1) and sum("Conv2D(n, 3, 2)" in str(each.message) for each in told) == 1
    for layer in (Convolution2D(4, 3, 2), Convolution2D(4, 3, nb_col=2), Convolution2D(4, np.int64(3), 2, "he_normal", "relu")):
        assert layer.kernel_size == (3, 2) and isinstance(layer, Conv2D) and isinstance(layer, Convolution2D)
    assert layer.activation is keras.activations.relu and type(layer.kernel_initializer).__name__ == "HeNormal"
    assert Deconvolution2D(3, 2, 2, (None, 16, 16, 3), subsample=(2, 2))(image).shape == (None, 16, 16, 3)
    assert Conv2D(4, (3, 2), (2, 2)).strides == (2, 2)

    class Own(Convolution2D):
        pass

    assert Own(4, (3, 3), name="own")(image).shape == (None, 6, 6, 4)


def test_scripts_that_take_keras_from_tensorflow_mean_strides(tmp_path):
    for text, kernel, strides in (("from tensorflow.keras.layers import Conv2D", (3, 3), (2, 2)),
                                  ("from keras.layers import Conv2D", (3, 2), (1, 1))):
        path = tmp_path / f"script{len(text)}.py"
        path.write_text(f"{text}\nlayer = Conv2D(4, 3, 2)\n")
        held = {}
        exec(compile(path.read_text(), str(path), "exec"), held)
        assert (held["layer"].kernel_size, held["layer"].strides) == (kernel, strides)


def test_cells_of_a_notebook_mean_the_keras_that_any_of_them_imports(monkeypatch):
    cells = ["", "from keras.layers import Conv2D"]
    monkeypatch.setattr(sys.modules["__main__"], "In", cells, raising=False)
    for strides in ((1, 1), (2, 2)):
        held = {"Conv2D": Conv2D}
        exec(compile("layer = Conv2D(4, 3, 2)", "/no/such/folder/cell.py", "exec"), held)
        assert held["layer"].strides == strides
        cells[1] = "from tensorflow.keras.layers import Conv2D"


def test_initializers_by_position_and_other_old_words():
    layer = Dense(3, "uniform", "tanh")
    assert type(layer.kernel_initializer).__name__ == "RandomUniform" and layer.activation is keras.activations.tanh
    assert Dense(3, "relu").activation is keras.activations.relu
    assert type(PReLU(init="zero").alpha_initializer).__name__ == "Zeros" and Reshape(dims=(2, 2)).target_shape == (2, 2)
    assert float(keras.regularizers.l2(l=0.1).l2) == pytest.approx(0.1) and keras.constraints.maxnorm(m=2).max_value == 2
    assert float(keras.regularizers.l1(l=0.1).l1) == pytest.approx(0.1)
    assert not GRU(3).reset_after  # the default of Keras 2.2


def test_values_under_a_threshold_are_zero(tmp_path):
    model = Sequential([ThresholdedReLU(theta=0.5, input_shape=(4,))])
    np.testing.assert_allclose(model.predict(X), np.where(X > 0.5, X, 0))
    model.save(str(tmp_path / "m.h5"))
    np.testing.assert_allclose(load_model(str(tmp_path / "m.h5")).predict(X), np.where(X > 0.5, X, 0))


# attributes

def test_shapes_are_where_they_were():
    model = Sequential([Dense(3, input_dim=4, name="d"), Dense(2)])
    first = model.layers[0]
    assert first.input_shape == (None, 4) and first.output_shape == (None, 3) and model.input.shape == (None, 4)
    assert model.inputs[0]._keras_shape == (None, 4) and first.output.get_shape().as_list() == [None, 3]
    assert first.output.get_shape()[1].value == 3 and K.constant(X).get_shape().as_list() == [8, 4]
    assert first.get_output_at(0).shape == (None, 3) and first.get_input_shape_at(0) == (None, 4)
    assert Model(model.input, first.output).predict(X).shape == (8, 3)
    assert Model(inputs=model.input, output=first.output).output_shape == (None, 3)


def test_shapes_are_known_inside_layers():
    def halves(x):
        width = x.get_shape().as_list()[1]
        return x[:, :width // 2] * 2.0

    model = Sequential([keras.layers.Lambda(halves, input_shape=(4,))])
    np.testing.assert_allclose(model.predict(X), 2 * X[:, :2], rtol=1e-6)


def test_keras_1s_layers_name_their_weights_by_a_list():
    class Scale(Layer):
        def build(self, input_shape):
            self.W = K.variable(np.full(4, 2.0))
            self.shift = K.variable(np.ones(4))
            self.trainable_weights = [self.W]
            self.non_trainable_weights = [self.shift]

        def call(self, x, mask=None):
            return x * self.W + self.shift

        def get_output_shape_for(self, input_shape):
            return input_shape

    model = Sequential([Scale(input_shape=(4,))])
    model.compile("sgd", "mse")
    np.testing.assert_allclose(model.predict(X), 2 * X + 1, rtol=1e-6)
    model.fit(X, X, verbose=0)
    assert [w.shape for w in model.get_weights()] == [(4,), (4,)] and not np.allclose(K.get_value(model.layers[0].W), 2)
    np.testing.assert_array_equal(K.get_value(model.layers[0].shift), np.ones(4))


def test_a_layer_may_add_a_loss_of_its_inputs_and_an_update():
    class Watch(Layer):
        def build(self, input_shape):
            self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            self.add_loss(K.mean(K.square(x)), inputs=x)
            self.add_update([K.update_add(self.calls, 1.0)], x)
            return x

    model = Sequential([Watch(input_shape=(4,)), Dense(1, init="zero")])
    model.compile(keras.optimizers.SGD(lr=0.0), "mse")
    assert model.train_on_batch(X, np.zeros((8, 1))) == pytest.approx((X**2).mean(), rel=1e-5)


def test_registered_names_are_found():
    from keras.utils.generic_utils import get_custom_objects

    get_custom_objects().update({"threefold": lambda x: 3.0 * x, "swish": Activation(lambda x: x * 5.0)})
    try:
        model = Sequential([Dense(4, init="identity", activation="threefold", input_dim=4), Activation("swish")])
        np.testing.assert_allclose(model.predict(X), 15 * X, rtol=1e-5)
    finally:
        get_custom_objects().clear()


def test_own_initializers_need_not_take_a_dtype():
    model = Sequential([Dense(2, init=lambda shape, name=None: K.variable(np.full(shape, 0.5)), input_dim=4, bias=False)])
    np.testing.assert_array_equal(model.get_weights()[0], np.full((4, 2), 0.5))


def test_initializations_of_keras_1_return_variables():
    from keras import initializations
    from keras.initializations import glorot_uniform, identity, normal

    drawn = K.get_value(normal((200, 50), scale=0.01, name="w"))
    assert 0.009 < drawn.std() < 0.011 and abs(K.get_value(initializations.get("uniform")((500,)))).max() <= 0.05
    assert 0.06 < abs(K.get_value(glorot_uniform((400, 600)))).max() < 0.0775 and np.array_equal(
        K.get_value(identity((2, 2), scale=3)), 3 * np.eye(2))
    assert initializations.get(normal) is normal and initializations.RandomUniform is keras.initializers.RandomUniform
    model = Sequential([Dense(30, init=lambda shape, name: normal(shape, scale=0.5, name=name), input_dim=40), Dense(2, init=normal)])
    assert 0.4 < model.get_weights()[0].std() < 0.6 and 0.03 < model.get_weights()[2].std() < 0.07


def test_layers_of_keras_1_make_their_weights_by_initializations():
    from keras import initializations

    class Attention(Layer):
        def __init__(self, init, **options):
            self.init = init
            super().__init__(**options)

        def build(self, input_shape):
            self.W = self.init((input_shape[-1],), name=f"{self.name}_W")
            self.trainable_weights = [self.W]
            super().build(input_shape)

        def call(self, x, mask=None):
            return x * self.W

    model = Sequential([Attention(initializations.get("one"), input_shape=(4,)), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], verbose=0)
    assert len(model.get_weights()) == 3 and not np.allclose(model.get_weights()[0], 1)
    with pytest.raises(TypeError, match=r"rows_layers\.py.*K\.variable"):
        Sequential([Attention(lambda shape, name: keras.initializers.get("one")(shape), input_shape=(4,))])


def test_functions_of_graphs_and_state_of_optimizers_are_there():
    model = Sequential([Dense(2, input_dim=4)])
    model.compile("adam", "mse")
    model._make_predict_function()
    model._make_train_function()
    model.fit(X, np.ones((8, 2)), verbose=0)
    state = model.optimizer.get_weights()
    assert len(state) == len(model.optimizer.variables) and all(isinstance(value, np.ndarray) for value in state)
    model.optimizer.set_weights(state)


def test_layers_that_are_popped_are_out_of_the_list_and_told():
    model = Model(*(lambda a: (a, Dense(2, name="b")(Dense(3, name="a")(a))))(Input((4,))))
    with pytest.warns(stoker.compat.CompatWarning, match=r"model\.layers\[-2\]"):
        model.layers.pop()
    assert model.layers[-1].name == "a" and Model(model.input, Dense(5)(model.layers[-1].output)).output_shape == (None, 5)


def test_pairs_of_a_variable_and_a_value_are_assigned_in_calls_that_train():
    class Count(Layer):
        def build(self, input_shape):
            self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            self.add_update([(self.calls, self.calls + 1.0)], x)
            self.add_update((self.calls, self.calls + 10.0))
            return x

    model = Sequential([Count(input_shape=(4,)), Dense(1)])
    model.compile("sgd", "mse")
    seen = []
    train, check = (lambda: model.train_on_batch(X, X[:, :1])), (lambda: model.evaluate(X, X[:, :1], verbose=0))
    for call in (lambda: model.predict(X), check, train, train):
        call()
        seen.append(float(K.get_value(model.layers[0].calls)))
    assert seen == [0, 0, 11, 22]
    with pytest.warns(stoker.compat.CompatWarning, match=r"add_update outside.*call it in call\(\)"):
        model.layers[0].add_update([(model.layers[0].calls, 5.0)])


# functions that are classes or modules now

def test_factors_that_l1_l2_is_not_given_are_what_they_were():
    from keras import regularizers
    from keras.regularizers import L1L2, l1_l2, l1l2

    with pytest.warns(stoker.compat.CompatWarning, match=r"0\.01.*write l1_l2\("):
        made = l1_l2()
    factors = {made: (0.01, 0.01), l1_l2(l1=0.001): (0.001, 0.01), l1l2(0.0, 0.5): (0.0, 0.5), regularizers.get("l1_l2"): (0.01, 0.01),
               Dense(1, W_regularizer="l1l2").kernel_regularizer: (0.01, 0.01), L1L2(l2=0.1): (0.0, 0.1),
               l1_l2(l1=0.1, l2=None): (0.1, 0.0)}
    for one, wanted in factors.items():
        assert isinstance(one, L1L2) and (float(one.l1), float(one.l2)) == pytest.approx(wanted)


def test_merge_is_a_function_and_a_module():
    import keras.layers.merge as module
    from keras.layers import concatenate, merge
    from keras.layers.merge import add
    from keras.layers.merge import merge as inner

    a, b = Input((3, 4)), Input((5, 4))
    assert merge is module is keras.layers.merge is inner and merge.concatenate is concatenate and add is keras.layers.add
    assert merge([a, a], mode="concat").shape == keras.layers.merge.concatenate([a, a]).shape == (None, 3, 8)
    x, y = R.rand(2, 3, 4).astype("float32"), R.rand(2, 5, 4).astype("float32")
    for mode, scale in (("dot", 1), ("cos", np.linalg.norm(x, axis=2)[:, :, None] * np.linalg.norm(y, axis=2)[:, None])):
        model = Model([a, b], merge([a, b], mode=mode))  # over the last axis of each
        np.testing.assert_allclose(model.predict([x, y]), np.einsum("nij,nkj->nik", x, y) / scale, rtol=1e-4)
    flat = Input((4,))
    assert merge([flat, flat], mode="dot").shape == (None, 1)
