"""A linear model trained by SGD, by hand: what Keras and stoker must come to."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

RATE = 0.1


def keras_model(features=2, names=None, loss="mse", metrics=("mae",)):
    """Dense(1) with fixed weights, compiled with SGD; with ``names`` its inputs are named and summed, its output is ``output``."""
    if names:
        inputs = [keras.Input((features,), name=name) for name in names]
        made = keras.layers.Dense(1, name="output")(keras.layers.Add()(inputs))
        model = keras.Model(inputs, made)
    else:
        model = keras.Sequential([keras.Input((features,)), keras.layers.Dense(1, name="output")])
    model.set_weights(start(features))
    model.compile(keras.optimizers.SGD(RATE), loss, metrics=list(metrics))
    return model


def start(features=2):
    """Kernel and bias at the start."""
    return [np.linspace(0.5, -0.5, features, dtype="float32").reshape(features, 1), np.array([0.1], "float32")]


class ByHand:
    """The same model in numpy, float64.

    Epoch loss: mean over batches of sum(w * squared error) / rows, weighted by rows; mae: mean over rows, without weights.
    """

    def __init__(self, features=2):
        self.kernel, self.bias = (part.astype("float64") for part in start(features))
        self.history = {"loss": [], "mae": [], "val_loss": [], "val_mae": []}

    def errors(self, x, y):
        return x.astype("float64") @ self.kernel + self.bias - y.reshape(-1, 1)

    def batch(self, x, y, w=None):
        """One SGD step; returns (sum of weighted squares, sum of absolute errors, rows) before it."""
        sums = self.measure(x, y, w)
        weights = np.ones(len(x)) if w is None else np.asarray(w, "float64")
        slope = 2 * weights[:, None] * self.errors(x, y) / len(x)
        gradient = x.astype("float64").T @ slope
        self.kernel = self.kernel - RATE * gradient
        self.bias = self.bias - RATE * slope.sum(0)
        return sums

    def measure(self, x, y, w=None):
        errors = self.errors(x, y)
        weights = np.ones(len(x)) if w is None else np.asarray(w, "float64")
        return float((weights[:, None] * errors**2).sum()), float(np.abs(errors).sum()), len(x)

    def epoch(self, batches, validation=None):
        self._note("", [self.batch(*batch) for batch in batches])
        if validation is not None:
            self._note("val_", [self.measure(*batch) for batch in validation])

    def _note(self, prefix, sums):
        squares, absolutes, rows = np.sum(sums, axis=0)
        self.history[f"{prefix}loss"].append(squares / rows)
        self.history[f"{prefix}mae"].append(absolutes / rows)


def batches(sizes=(4, 4, 4), features=2, seed=3):
    """Fixed random batches ``(x, y)``."""
    draw = np.random.default_rng(seed)
    made = []
    for size in sizes:
        x = draw.normal(size=(size, features)).astype("float32")
        made.append((x, (x.sum(1, keepdims=True) + 0.3).astype("float32")))
    return made


def assert_same(history, by_hand, keys=("loss", "mae")):
    """History equals the hand computation to 1e-5."""
    assert set(history.history) == set(keys)
    for key in keys:
        np.testing.assert_allclose(history.history[key], by_hand.history[key], rtol=1e-5, atol=1e-6, err_msg=key)
