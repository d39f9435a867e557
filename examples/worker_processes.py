"""Worker processes: for sources that compute in Python. No ``if __name__ == "__main__":`` is needed."""

import time

import numpy as np

import stoker.keras  # isort: skip
import keras

keras.utils.set_random_seed(1)


class Parsed(stoker.Sequence):
    """Lines of numbers, parsed in pure Python, which holds the GIL."""

    def __init__(self):
        luck = np.random.default_rng(0)
        self.lines = [",".join(f"{value:.6f}" for value in luck.normal(size=400)) for _ in range(6000)]

    def __len__(self):
        return 60

    def __getitem__(self, index):
        lines = self.lines[index * 100:(index + 1) * 100]
        x = np.array([[float(word) for word in line.split(",")] for line in lines])
        return x, x.mean(axis=1, keepdims=True)


model = keras.Sequential([keras.Input((400,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(1)])
model.compile("sgd", "mse")
source = Parsed()
model.fit_generator(source, epochs=1, verbose=0)
for ways in ({"workers": 0}, {"workers": 2, "use_multiprocessing": True}):
    began = time.perf_counter()
    model.fit_generator(source, epochs=5, verbose=0, **ways)
    print(f"{ways}: {5 * len(source) / (time.perf_counter() - began):.0f} batches/s")
