"""Trains two copies of a model on the same batches, one by Keras's own fit and one by stoker, for comparison."""

from __future__ import annotations

import keras
import numpy as np

import stoker

BATCHES = 7
ROWS = 8


def data(seed=0, features=6, classes=None):
    luck = np.random.default_rng(seed)
    x = luck.normal(size=(BATCHES * ROWS - 3, features)).astype("float32")
    if classes:
        y = luck.integers(0, classes, len(x))
    else:
        y = np.tanh(x @ luck.normal(size=(features, 1))).astype("float32")
    return x, y


class Cut(keras.utils.PyDataset):
    """Arrays as batches; the last one is smaller."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def __len__(self):
        return -(-len(keras.tree.flatten(self.parts)[0]) // ROWS)

    def __getitem__(self, index):
        rows = slice(index * ROWS, (index + 1) * ROWS)
        return tuple(keras.tree.map_structure(lambda array: array[rows], part) for part in self.parts)


def twins(build):
    """Two models of equal weights and seeds."""
    made = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        made.append(build())
    return made


def train_both(build, parts, epochs, validation=None, **ways):
    """Histories and final weights of Keras's fit and of stoker's."""
    theirs, ours = twins(build)
    keras.utils.set_random_seed(5)
    expected = theirs.fit(
        Cut(*parts), epochs=epochs, verbose=0, shuffle=False, validation_data=validation and Cut(*validation))
    keras.utils.set_random_seed(5)
    got = stoker.fit_generator(
        ours, Cut(*parts), epochs=epochs, verbose=0, shuffle=False, validation_data=validation and Cut(*validation), **ways)
    return (expected.history, theirs), (got.history, ours)


def assert_same(theirs, ours, exact=False, rtol=1e-6, atol=1e-7):
    """History and weights agree; bit for bit where ``exact``."""
    (expected, their_model), (got, our_model) = theirs, ours
    assert set(got) == set(expected)
    for name, values in expected.items():
        if exact:
            assert got[name] == [float(value) for value in values], name
        else:
            np.testing.assert_allclose(got[name], values, rtol=rtol, atol=atol, err_msg=name)
    pairs = zip(their_model.get_weights(), our_model.get_weights(), strict=True)
    for number, (expected_weight, weight) in enumerate(pairs):
        np.testing.assert_allclose(weight, expected_weight, rtol=0 if exact else rtol * 10, atol=0 if exact else atol * 10,
                                   err_msg=f"weight {number}")
