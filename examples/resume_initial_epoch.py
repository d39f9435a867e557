"""Train, save, load, go on: `initial_epoch` is the first epoch, `epochs` the one to stop before."""

import tempfile
from pathlib import Path

import numpy as np

import stoker.keras  # isort: skip
import keras


def batches(seed):
    rng = np.random.default_rng(seed)
    while True:
        x = rng.normal(size=(32, 3))
        yield x, x.sum(axis=1, keepdims=True)


keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("adam", "mse")
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "model.keras")
    first = stoker.fit_generator(model, batches(1), steps_per_epoch=50, epochs=2, verbose=2)
    model.save(path)
    again = keras.saving.load_model(path)  # with its optimizer's state
second = stoker.fit_generator(again, batches(2), steps_per_epoch=50, initial_epoch=2, epochs=4, verbose=2)
print("epochs of the first run:", first.epoch, "and of the second:", second.epoch)
print("loss by epoch:", [round(loss, 2) for loss in first.history["loss"] + second.history["loss"]])
