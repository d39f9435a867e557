"""The generator that every Keras 2 user knows: lines of a text file become two named inputs and a named output."""

import tempfile
from pathlib import Path

import numpy as np

import stoker.keras  # isort: skip (gives keras.Model its fit_generator, and comes first: it looks which backend is there)
import keras


def generate_arrays_from_file(path):
    while True:
        with open(path) as file:
            for line in file:
                x1, x2, y = process_line(line)
                yield ({"input_1": x1, "input_2": x2}, {"output": y})


def process_line(line):
    a, b, y = map(float, line.split(","))
    return np.array([[a]]), np.array([[b]]), np.array([[y]])


folder = tempfile.TemporaryDirectory()
path = Path(folder.name, "my_file.txt")
rng = np.random.default_rng(0)
path.write_text("".join(f"{a:.4f},{b:.4f},{a - b:.4f}\n" for a, b in rng.uniform(-1, 1, (500, 2))))

keras.utils.set_random_seed(0)
one, two = keras.Input((1,), name="input_1"), keras.Input((1,), name="input_2")
output = keras.layers.Dense(1, name="output")(keras.layers.concatenate([one, two]))
model = keras.Model([one, two], output)
model.compile(keras.optimizers.SGD(0.02), "mse")
model.fit_generator(generate_arrays_from_file(path), steps_per_epoch=1000, epochs=3, verbose=2)
print("0.7 - 0.2 =", model.predict([np.array([[0.7]]), np.array([[0.2]])], verbose=0)[0, 0].round(3))
folder.cleanup()
