"""A third array in a batch weighs its samples: here it takes wrong labels out of the loss."""

import numpy as np

import stoker.keras  # isort: skip
import keras

rng = np.random.default_rng(0)


def batches(trust):
    """The target is 3 x; every fourth one is wrong, and `trust` is the weight that those get."""
    while True:
        x = rng.normal(size=(64, 1))
        wrong = rng.random(64) < 0.25
        y = np.where(wrong, -10.0, 3 * x[:, 0])
        yield x, y, np.where(wrong, trust, 1.0)


for trust in (1.0, 0.0):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    stoker.fit_generator(model, batches(trust), steps_per_epoch=200, epochs=2, verbose=0)
    slope, offset = (weight.item() for weight in model.get_weights())
    print(f"weight of wrong labels {trust:.0f}: y = {slope:.2f} x + {offset:.2f}   (true: y = 3 x)")
