"""Models and sources for the tests of the loop."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import stoker


def small_model(compiled=True, metrics=("mae",), optimizer="sgd"):
    """Two inputs, one output; fixed weights."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    if compiled:
        model.compile(optimizer, "mse", metrics=list(metrics))
    return model


def unbuilt_model():
    """A Sequential model that learns its input from the first batch."""
    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def subclassed_model():
    """A subclass of ``keras.Model`` with a ``call`` of its own."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1, kernel_initializer="ones")

        def call(self, inputs):
            return self.dense(inputs)

    model = Own()
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def batch(number=0, size=4):
    """A batch whose inputs all hold its number."""
    return np.full((size, 2), number, "float32"), np.full((size, 1), number, "float32")


def endless():
    """Batches without end."""
    number = 0
    while True:
        yield batch(number % 3)
        number += 1


class Numbered(stoker.Sequence):
    """Batches whose inputs hold their index, small enough not to blow up the weights.

    ``ended`` counts calls of ``on_epoch_end``.
    """

    def __init__(self, length, fail_at=None, error=None):
        self.length = length
        self.fail_at = fail_at
        self.error = error
        self.ended = 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index == self.fail_at:
            raise self.error
        x, y = batch(0)
        return x + index / 1000, y

    def on_epoch_end(self):
        self.ended += 1



def endless_of(x, y):
    """The same batch without end."""
    while True:
        yield x, y
