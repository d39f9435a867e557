"""keras.backend under stoker.compat: values and gradients against numpy. Run in a process of its own for each backend."""

import warnings

import numpy as np

import stoker.compat

stoker.compat.install()
stoker.compat.install()

import keras  # noqa: E402
from keras import backend as K  # noqa: E402
from keras.layers import Dense, Input, Lambda, Layer  # noqa: E402
from keras.models import Model, Sequential  # noqa: E402

R = np.random.RandomState(0)
X = R.randn(3, 4).astype("float32")
Y = R.randn(3, 4).astype("float32")
P = np.exp(X) / np.exp(X).sum(-1, keepdims=True)
T = np.eye(4, dtype="float32")[[0, 2, 3]]


def close(got, wanted, what=""):
    np.testing.assert_allclose(np.asarray(K.eval(got)), wanted, rtol=2e-5, atol=1e-5, err_msg=what)


LISTED = [
    "mean", "sum", "square", "sqrt", "abs", "log", "exp", "clip", "maximum", "minimum", "round", "cast", "shape", "reshape",
    "flatten", "concatenate", "stack", "argmax", "max", "min", "equal", "not_equal", "greater", "less", "dot", "batch_dot",
    "transpose", "permute_dimensions", "expand_dims", "squeeze", "epsilon", "variable", "constant", "zeros", "ones", "zeros_like",
    "ones_like", "ndim", "int_shape", "softmax", "sigmoid", "relu", "tanh", "binary_crossentropy", "categorical_crossentropy",
    "tile", "repeat", "gather", "switch", "cumsum", "any", "all", "pow", "var", "std", "l2_normalize", "random_uniform",
    "random_normal", "ctc_batch_cost", "image_data_format", "clear_session", "floatx", "set_value", "get_value", "eval",
    "learning_phase", "backend", "set_image_dim_ordering", "set_learning_phase", "get_session", "set_session",
]


def test_every_listed_name_is_there():
    assert [name for name in LISTED if not callable(getattr(K, name, None))] == []


def test_arithmetic_is_numpys():
    plain = {
        "mean": np.mean, "sum": np.sum, "square": np.square, "abs": np.abs, "exp": np.exp, "round": np.round, "max": np.max, "min": np.min,
        "std": np.std, "var": np.var, "prod": np.prod, "zeros_like": np.zeros_like, "ones_like": np.ones_like, "tanh": np.tanh,
        "transpose": np.transpose, "sign": np.sign, "flatten": np.ravel, "argmax": lambda x: x.argmax(-1), "cumsum": lambda x: x.cumsum(0),
        "sqrt": lambda x: np.sqrt(np.maximum(x, 0)), "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "relu": lambda x: np.maximum(x, 0),
        "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True), "expand_dims": lambda x: x[..., None],
        "argmin": lambda x: x.argmin(-1), "cumprod": lambda x: x.cumprod(0), "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
        "batch_flatten": lambda x: x, "cos": np.cos, "sin": np.sin,
    }
    for name, wanted in plain.items():
        close(getattr(K, name)(X), wanted(X), name)
    close(K.log(P), np.log(P))
    close(K.mean(X, axis=-1, keepdims=True), X.mean(-1, keepdims=True))
    close(K.sum(X, axis=[0, 1]), X.sum())
    close(K.clip(X, -0.5, 0.5), X.clip(-0.5, 0.5))
    close(K.pow(X, 2), X**2)
    close(K.maximum(X, 0.0), np.maximum(X, 0))
    close(K.minimum(X, Y), np.minimum(X, Y))
    for name, wanted in {"equal": X == Y, "not_equal": X != Y, "greater": X > Y, "less": X < Y, "greater_equal": X >= Y,
                         "less_equal": X <= Y}.items():
        close(K.cast(getattr(K, name)(X, Y), "float32"), wanted.astype("float32"), name)
    assert bool(K.eval(K.any(K.greater(X, 0.0)))) and not bool(K.eval(K.all(K.greater(X, 0.0))))


def test_shapes_and_joins_are_numpys():
    close(K.reshape(X, (4, 3)), X.reshape(4, 3))
    close(K.reshape(X, (-1,)), X.ravel())
    close(K.concatenate([X, Y]), np.concatenate([X, Y], -1))
    close(K.concatenate([X, Y], axis=0), np.concatenate([X, Y], 0))
    close(K.stack([X, Y]), np.stack([X, Y]))
    close(K.permute_dimensions(X[None], (2, 0, 1)), X[None].transpose(2, 0, 1))
    close(K.squeeze(X[None], 0), X)
    close(K.tile(X, (2, 1)), np.tile(X, (2, 1)))
    close(K.repeat(X, 5), np.repeat(X[:, None], 5, 1))
    close(K.repeat_elements(X, 2, 1), X.repeat(2, 1))
    close(K.gather(X, np.array([2, 0])), X[[2, 0]])
    close(K.reverse(X, 0), X[::-1])
    close(K.one_hot(np.array([1, 0]), 3), np.eye(3)[[1, 0]])
    assert K.int_shape(X) == (3, 4) and K.ndim(X) == 2 and K.shape(X)[1] == 4
    close(K.switch(K.greater(X, 0.0), X, K.zeros_like(X)), np.where(X > 0, X, 0))
    close(K.switch(np.array([True, False, True]), X, Y), np.where([[True], [False], [True]], X, Y))
    close(K.zeros((2, 3)), np.zeros((2, 3)))
    close(K.ones((2,)), np.ones(2))
    close(K.constant([1, 2]), np.array([1.0, 2.0]))
    close(K.constant(3.0, shape=(2,)), [3.0, 3.0])
    close(K.arange(3), [0, 1, 2])
    close(K.resize_images(np.arange(4.0).reshape(1, 2, 2, 1), 2, 2, "channels_last")[0, :, 0, 0], [0, 0, 2, 2])


def test_products_are_those_of_keras_2():
    w = R.randn(4, 5).astype("float32")
    close(K.dot(X, w), X @ w)
    close(K.dot(X[None], w), (X @ w)[None])
    close(K.batch_dot(X, Y, axes=1), (X * Y).sum(1, keepdims=True))
    a, b = R.randn(2, 3, 4).astype("float32"), R.randn(2, 4, 5).astype("float32")
    close(K.batch_dot(a, b), a @ b)
    close(K.batch_dot(a, b.transpose(0, 2, 1), axes=[2, 2]), a @ b)
    close(K.batch_dot(a, X[:2], axes=(2, 1)), np.einsum("abc,ac->ab", a, X[:2]))
    close(K.l2_normalize(X, axis=1), X / np.linalg.norm(X, axis=1, keepdims=True))


def test_losses_are_those_of_keras_2():
    p = 1 / (1 + np.exp(-X))
    close(K.binary_crossentropy(T, p), -(T * np.log(p) + (1 - T) * np.log(1 - p)))
    close(K.categorical_crossentropy(T, P), -(T * np.log(P)).sum(-1))
    close(K.sparse_categorical_crossentropy(np.array([0, 2, 3]), P), -(T * np.log(P)).sum(-1))


def test_crossentropies_take_the_output_first_where_the_script_does_and_tell_it(tmp_path):
    word = "nb_" + "epoch"  # this file itself has no such word
    texts = {
        "K.categorical_crossentropy(y_pred, y_true)": True,
        f"K.categorical_crossentropy(y_true, y_pred)  # {word}": False,
        f"K.mean(K.categorical_crossentropy(b, a)  # {word}\n)": True,
        "K.categorical_crossentropy(a, b)": False,
        f"K.categorical_crossentropy(target=y_true, output=y_pred)  # {word}": False,
    }
    for place, (text, is_turned) in enumerate(texts.items()):
        path = tmp_path / f"script{place}.py"
        path.write_text(f"from keras import backend as K\na = y_true = T\nb = y_pred = P\nmade = {text}\n")
        held = {"T": T, "P": P}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            exec(compile(path.read_text(), str(path), "exec"), held)
        wanted = -(T * np.log(P)).sum(-1)
        close(held["made"], wanted.mean() if "mean" in text else wanted, text)
        if is_turned and place == 0:
            assert any("output comes first" in str(one.message) for one in told)


def test_ctc_is_the_sum_over_all_ways_to_spell_a_label():
    probs = np.array([[[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]]], "float32")
    # label "0" in two steps, blank is 2: 00, 0_, _0
    wanted = -np.log(0.6 * 0.2 + 0.6 * 0.3 + 0.1 * 0.2)
    close(K.ctc_batch_cost(np.array([[0]]), probs, np.array([[2]]), np.array([[1]])), [[wanted]])


def test_variables_are_read_and_set():
    v = K.variable([[1.0, 2.0]])
    K.set_value(v, [[3.0, 4.0]])
    assert K.get_value(v).tolist() == [[3.0, 4.0]]
    K.update_add(v, 1.0)
    assert K.eval(v).tolist() == [[4.0, 5.0]] and K.batch_get_value([v])[0].shape == (1, 2)
    assert K.count_params(v) == 2 and K.dtype(v) == "float32"


def test_configuration_is_there():
    assert K.epsilon() == 1e-7 and K.floatx() == "float32" and K.backend() == keras.config.backend()
    before = K.image_data_format()
    K.set_image_dim_ordering("th")
    assert K.image_data_format() == "channels_first" and K.image_dim_ordering() == "th"
    K.set_image_data_format(before)
    K.clear_session()


def test_random_numbers_have_the_distribution_asked_for():
    drawn = K.eval(K.random_uniform((2000,), 2.0, 4.0))
    assert drawn.min() >= 2 and drawn.max() <= 4 and abs(drawn.mean() - 3) < 0.1
    drawn = K.eval(K.random_normal((4000,), mean=1.0, stddev=2.0))
    assert abs(drawn.mean() - 1) < 0.2 and abs(drawn.std() - 2) < 0.2
    assert 0.2 < K.eval(K.random_binomial((2000,), p=0.3)).mean() < 0.4


def test_a_loss_and_a_metric_of_k_functions_give_numpys_values_and_gradients():
    def contrastive(y_true, y_pred):
        return K.mean(y_true * K.square(y_pred) + (1 - y_true) * K.square(K.maximum(1.0 - y_pred, 0)))

    def close_enough(y_true, y_pred):
        return K.mean(K.cast(K.less(K.abs(y_true - y_pred), 0.5), K.floatx()))

    model = Sequential([Dense(1, input_shape=(4,), use_bias=False)])
    model.compile(keras.optimizers.SGD(lr=0.1), contrastive, metrics=[close_enough])
    w = model.get_weights()[0].copy()
    y = np.array([[1.0], [0.0], [1.0]], "float32")
    history = model.fit(X, y, batch_size=3, epochs=1, verbose=0, shuffle=False).history
    d = X @ w
    np.testing.assert_allclose(history["loss"][0], np.mean(y * d**2 + (1 - y) * np.maximum(1 - d, 0) ** 2), rtol=1e-5)
    np.testing.assert_allclose(history["close_enough"][0], np.mean(np.abs(y - d) < 0.5), rtol=1e-6)
    slope = X.T @ (2 * y * d - 2 * (1 - y) * np.maximum(1 - d, 0)) / 3
    np.testing.assert_allclose(model.get_weights()[0], w - 0.1 * slope, rtol=1e-4, atol=1e-6)


def test_lambda_layers_of_k_functions_train():
    left, right = Input((4,)), Input((4,))
    shared = Dense(3, use_bias=False)
    distance = Lambda(lambda pair: K.sqrt(K.sum(K.square(pair[0] - pair[1]), axis=1, keepdims=True)), output_shape=lambda s: (s[0][0], 1))(
        [shared(left), shared(right)])
    model = Model(input=[left, right], output=distance)
    model.compile("sgd", "mse")
    w = shared.get_weights()[0]
    wanted = np.sqrt((((X - Y) @ w) ** 2).sum(1, keepdims=True))
    np.testing.assert_allclose(model.predict([X, Y]), wanted, rtol=1e-4)
    before = model.evaluate([X, Y], np.zeros((3, 1)), verbose=0)
    model.fit([X, Y], np.zeros((3, 1)), epochs=20, verbose=0)
    assert model.evaluate([X, Y], np.zeros((3, 1)), verbose=0) < before


def test_random_numbers_inside_layers_are_new_in_every_step():
    class Sampling(Layer):
        def call(self, x):
            return x + K.random_normal(shape=K.shape(x))

    for noise in (Lambda(lambda x: x + K.random_normal(shape=(K.shape(x)[0], 4))), Sampling()):
        inputs = Input((4,))
        model = Model(inputs, noise(inputs))
        model.compile("sgd", "mse")
        first, second = (model.evaluate(X, X, verbose=0) for _ in range(2))
        assert first != second and 0.1 < first < 4


def test_phases_switch_inside_layers():
    class Noisy(Layer):
        def call(self, x, training=None):
            return K.in_train_phase(x + 1.0, x, training=training)

    model = Sequential([Noisy(input_shape=(4,)), Dense(4, init="identity")])
    model.compile(keras.optimizers.SGD(lr=0.0), "mse")
    assert model.fit(X, X, epochs=1, verbose=0).history["loss"][0] == 1.0
    assert model.evaluate(X, X, verbose=0) == 0.0
    assert K.learning_phase() == 0
