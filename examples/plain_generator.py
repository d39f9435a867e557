"""A plain Python generator: endless, so `steps_per_epoch` says how long an epoch is."""

import numpy as np

import stoker.keras  # isort: skip (gives keras.Model its fit_generator, and comes first: it looks which backend is there)
import keras


def batches(seed):
    rng = np.random.default_rng(seed)
    while True:
        x = rng.normal(size=(32, 4)).astype("float32")
        yield x, x @ [[1.0], [2.0], [3.0], [4.0]]


keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile(keras.optimizers.SGD(0.05), "mse")
model.fit_generator(batches(1), steps_per_epoch=100, epochs=3, verbose=2, validation_data=batches(2), validation_steps=10)
print("learned weights:", model.get_weights()[0].ravel().round(3))
