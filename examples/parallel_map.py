"""A generator with heavy work for each item: one owner pulls the items, all workers do the work, results come in order."""

import numpy as np

import stoker.keras  # isort: skip
import keras

keras.utils.set_random_seed(1)


def names():
    """What identifies an item is cheap to make: here, a number; elsewhere, the path of a file."""
    number = 0
    while True:
        yield number
        number += 1


def load(number):
    """The heavy part, run by any worker."""
    luck = np.random.default_rng(number)
    x = luck.normal(size=(32, 6))
    for _ in range(20):
        x = np.sort(x, axis=0)[::-1] * 0.5 + x * 0.5
    return x, x.sum(axis=1, keepdims=True)


model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
history = model.fit_generator(
    stoker.parallel_map(names(), load), steps_per_epoch=100, epochs=3, workers=2, use_multiprocessing=True, verbose=2)
print(f"loss: {history.history['loss'][0]:.4f} -> {history.history['loss'][-1]:.4f}")
