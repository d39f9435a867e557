"""keras.backend by its old names of arguments, and its rarer functions, against numpy. Run in a process of its own for each backend."""

import numpy as np
import pytest

import stoker.compat

stoker.compat.install()

from keras import backend as K  # noqa: E402
from keras.layers import Dense, Input, Lambda  # noqa: E402
from keras.models import Model, Sequential  # noqa: E402

R = np.random.RandomState(3)
X = R.randn(3, 4).astype("float32")
Y = R.randn(3, 4).astype("float32")
P = np.exp(X) / np.exp(X).sum(-1, keepdims=True)
IMAGE = R.randn(2, 5, 6, 3).astype("float32")


def close(got, wanted):
    np.testing.assert_allclose(np.asarray(K.eval(got)), wanted, rtol=1e-4, atol=1e-5)


def t(array):
    return K.constant(array)


CALLS = {
    "permute_dimensions": (lambda: K.permute_dimensions(x=t(X), pattern=(1, 0)), X.T),
    "reshape": (lambda: K.reshape(t(X), shape=(-1, 2)), X.reshape(-1, 2)),
    "tile": (lambda: K.tile(x=t(X), n=[1, 2]), np.tile(X, [1, 2])),
    "clip": (lambda: K.clip(x=t(X), min_value=-0.5, max_value=0.5), X.clip(-0.5, 0.5)),
    "pow": (lambda: K.pow(x=t(X), a=2), X**2),
    "maximum": (lambda: K.maximum(x=t(X), y=t(Y)), np.maximum(X, Y)),
    "equal": (lambda: K.cast(K.equal(x=t(X), y=t(X)), dtype="float32"), np.ones((3, 4))),
    "dot": (lambda: K.dot(x=t(X), y=t(Y.T)), X @ Y.T),
    "repeat_elements": (lambda: K.repeat_elements(x=t(X), rep=2, axis=1), X.repeat(2, 1)),
    "one_hot": (lambda: K.one_hot(indices=K.cast(t([1, 0]), "int32"), num_classes=3), np.eye(3)[[1, 0]]),
    "reverse": (lambda: K.reverse(x=t(X), axes=0), X[::-1]),
    "expand_dims": (lambda: K.expand_dims(t(X), dim=0), X[None]),
    "map_fn": (lambda: K.map_fn(fn=lambda row: row * 2, elems=t(X), dtype="float32"), X * 2),
    "sum": (lambda: K.sum(x=t(X), axis=1, keepdims=True), X.sum(1, keepdims=True)),
    "mean": (lambda: K.mean(x=t(X), keepdims=True), X.mean(keepdims=True)),
    "categorical_crossentropy": (lambda: K.categorical_crossentropy(target=t(P), output=t(P)), -(P * np.log(P)).sum(-1)),
    "slice": (lambda: K.slice(t(X), [0, 1], [-1, 2]), X[:, 1:3]),
    "identity": (lambda: K.identity(t(X)), X),
    "foldl": (lambda: K.foldl(lambda a, row: a * 0.5 + row, t(X)), (X[0] * 0.5 + X[1]) * 0.5 + X[2]),
    "foldr": (lambda: K.foldr(lambda a, row: a * 0.5 + row, t(X)), (X[2] * 0.5 + X[1]) * 0.5 + X[0]),
    "batch_normalization": (lambda: K.batch_normalization(t(X), 0.5, 4.0, 1.0, 3.0, epsilon=0.0), (X - 0.5) / 2 * 3 + 1),
    "normalize_batch_in_training": (
        lambda: K.normalize_batch_in_training(t(X), 2.0, 1.0, [0], epsilon=0.0)[0], (X - X.mean(0)) / X.std(0) * 2 + 1),
    "zeros_like": (lambda: K.zeros_like(K.variable(X)), np.zeros((3, 4))),
    "resize_volumes": (
        lambda: K.resize_volumes(t(IMAGE[..., None]), 2, 1, 2, "channels_last"), IMAGE[..., None].repeat(2, 1).repeat(2, 3)),
    "spatial_3d_padding": (
        lambda: K.spatial_3d_padding(t(IMAGE[..., None])), np.pad(IMAGE[..., None], ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))),
}


@pytest.mark.parametrize("name", CALLS)
def test_arguments_have_their_old_names_and_functions_their_old_meaning(name):
    call, wanted = CALLS[name]
    close(call(), wanted)


def test_dot_goes_over_the_last_axis_and_the_last_but_one():
    a, b = R.randn(2, 3, 4), R.randn(5, 4, 6)
    close(K.dot(t(a), t(b)), np.tensordot(a, b, axes=([2], [1])))
    close(K.dot(t(a), t(b[0])), a @ b[0])


def test_products_of_four_axes_are_those_of_keras_2_2_and_told():
    a, b = R.randn(2, 3, 4, 5), R.randn(2, 3, 5, 6)
    x, y = t(a), t(b)
    with pytest.warns(stoker.compat.CompatWarning, match="batch_dot of four axes"):
        made = K.batch_dot(x, y)
    close(made, a @ b)
    close(K.batch_dot(t(a), t(b.swapaxes(2, 3)), axes=[3, 3]), a @ b)
    close(K.batch_dot(t(a.swapaxes(2, 3)), t(b), axes=2), a @ b)
    close(K.batch_dot(t(a), t(b[:, 0, :, 0]), axes=[3, 1]), np.einsum("nabk,nk->nab", a, b[:, 0, :, 0]))


def windows(image, rows, columns):
    """The windows of an image that lie within it: ``(batch, rows out, columns out, rows, columns, channels)``."""
    seen = np.lib.stride_tricks.sliding_window_view(image, (rows, columns), axis=(1, 2))
    return np.moveaxis(seen, 3, 5)


def test_convolutions_are_sums_over_windows():
    kernel, deep, wide = R.randn(2, 3, 3, 4), R.randn(2, 3, 3, 2), R.randn(6, 4)
    seen = windows(IMAGE, 2, 3)
    close(K.conv2d(t(IMAGE), t(kernel)), np.einsum("nijabc,abcd->nijd", seen, kernel))
    close(K.conv2d(t(IMAGE), t(kernel), border_mode="valid", dim_ordering="tf"), np.einsum("nijabc,abcd->nijd", seen, kernel))
    apart = np.einsum("nijabc,abcm->nijcm", seen, deep)
    close(K.depthwise_conv2d(t(IMAGE), t(deep)), apart.reshape(*apart.shape[:3], 6))
    close(K.separable_conv2d(t(IMAGE), t(deep), t(wide.reshape(1, 1, 6, 4))), apart.reshape(*apart.shape[:3], 6) @ wide)
    steps, line = IMAGE[:, :, 0], R.randn(2, 3, 4)
    moved = np.pad(steps, ((0, 0), (1, 0), (0, 0)))
    close(K.conv1d(t(steps), t(line)), sum(steps[:, k:4 + k] @ line[k] for k in range(2)))
    close(K.conv1d(t(steps), t(line), padding="causal"), sum(moved[:, k:5 + k] @ line[k] for k in range(2)))
    volume = R.randn(1, 3, 3, 3, 1)
    close(K.conv3d(t(volume), t(np.ones((3, 3, 3, 1, 1)))), volume.sum().reshape(1, 1, 1, 1, 1))
    close(K.pool3d(t(volume), (3, 3, 3)), volume.max().reshape(1, 1, 1, 1, 1))


def test_a_transposed_convolution_has_the_shape_that_was_asked_for_or_fails():
    kernel = R.randn(2, 2, 4, 3)
    wanted = np.einsum("nijc,abdc->niajbd", IMAGE, kernel).reshape(2, 10, 12, 4)
    close(K.conv2d_transpose(t(IMAGE), t(kernel), (2, 10, 12, 4), strides=(2, 2)), wanted)
    with pytest.raises(ValueError, match="output_padding"):
        K.conv2d_transpose(t(IMAGE), t(kernel), (2, 11, 12, 4), strides=(2, 2))


def test_zeros_and_ones_are_variables():
    zeros, ones = K.zeros((2,)), K.ones((2, 1))
    K.set_value(zeros, [1, 2])
    K.update(ones, t([[3.0], [4.0]]))
    K.moving_average_update(zeros, t([3.0, 3.0]), 0.5)
    assert K.get_value(zeros).tolist() == [2, 2.5] and K.get_value(ones).tolist() == [[3], [4]]
    assert K.get_variable_shape(zeros) == (2,) and not K.is_placeholder(zeros) and K.is_placeholder(Input((1,)))


def test_a_placeholder_is_an_input():
    x = K.placeholder((None, 4))
    assert K.is_placeholder(x) and K.is_placeholder(K.placeholder(ndim=2)) and not K.is_placeholder(K.placeholder())
    np.testing.assert_allclose(Model(x, K.square(x)).predict(X), X**2, rtol=1e-6)


def test_zeros_and_ones_may_be_made_inside_layers():
    inputs = Input((4,))
    model = Model(inputs, Lambda(lambda x: x * K.ones((4,)) + K.zeros_like(x) + K.zeros((1, 4)))(inputs))
    np.testing.assert_allclose(model.predict(X), X, rtol=1e-6)


def test_zeros_ones_and_variables_may_be_made_inside_losses_and_metrics():
    def tversky(y_true, y_pred):
        ones = K.ones(K.shape(y_true))
        right = K.sum(y_true * y_pred)
        return (K.variable(1.0) + right) / (K.ones((1,)) + right + 0.3 * K.sum(y_pred * (ones - y_true)) + K.sum(K.zeros((3, 4))))

    model = Sequential([Dense(4, activation="sigmoid", input_dim=4)])
    model.compile("sgd", tversky, metrics=[tversky])
    p, y = model.predict(X), (Y > 0).astype("float32")
    right = (y * p).sum()
    wanted = (1 + right) / (1 + right + 0.3 * (p * (1 - y)).sum())
    np.testing.assert_allclose(model.evaluate(X, y, verbose=0), [wanted, wanted], rtol=1e-4)
    np.testing.assert_allclose(model.train_on_batch(X, y), [wanted, wanted], rtol=1e-4)


def test_slices_may_be_taken_inside_layers():
    inputs = Input((4,))
    model = Model(inputs, Lambda(lambda x: K.slice(x, [0, 1], [-1, 2]))(inputs))
    np.testing.assert_allclose(model.predict(X), X[:, 1:3], rtol=1e-6)


def test_ctc_decoding_takes_the_last_class_for_the_blank():
    p = np.full((1, 4, 3), 0.05, "float32")
    p[0, [0, 1, 2, 3], [1, 1, 2, 0]] = 0.9
    labels, _ = K.ctc_decode(t(p), input_length=np.array([4]), greedy=True)
    assert [label for label in np.asarray(K.get_value(labels[0]))[0].tolist() if label >= 0] == [1, 0]
