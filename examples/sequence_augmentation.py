"""A Sequence that changes every image a little each time it is shown; `stoker.rng()` makes that reproducible for any number of workers."""

import numpy as np

import stoker.keras  # isort: skip
import keras


class Bars(stoker.Sequence):
    """Pictures of a horizontal (class 0) or a vertical (class 1) bar, moved and made noisy as they are needed."""

    def __init__(self, images, labels, batch_size):
        self.images, self.labels, self.batch_size = images, labels, batch_size

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        rng = stoker.rng()
        images = np.stack([np.roll(image, rng.integers(-3, 4, size=2), axis=(0, 1)) for image in self.images[rows]])
        return images + rng.normal(0, 0.1, images.shape), self.labels[rows]


labels = np.arange(512) % 2
images = np.zeros((512, 12, 12, 1), "float32")
images[labels == 0, 6, 2:10] = 1
images[labels == 1, 2:10, 6] = 1

keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((12, 12, 1)), keras.layers.Conv2D(4, 5, activation="relu"), keras.layers.GlobalMaxPooling2D(),
    keras.layers.Dense(2, activation="softmax")])
model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
history = stoker.fit(model, Bars(images, labels, 32), epochs=6, workers=2, verbose=2, seed=1)
print(f"accuracy in the last epoch: {history.history['accuracy'][-1]:.3f}")
print(f"share of that epoch spent waiting for data: {history.feed[-1].wait_share:.0%}")
