"""Keras callbacks work as they do in Keras: this one stops the run and puts the best weights back."""

import numpy as np

import stoker.keras  # isort: skip
import keras

rng = np.random.default_rng(0)
keras.utils.set_random_seed(0)
x = rng.normal(size=(60, 30))
y = x[:, :1] + rng.normal(0, 1, (60, 1))
train, held_out = (x[:40], y[:40]), (x[40:], y[40:])

model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(1)])
model.compile(keras.optimizers.Adam(0.01), "mse")
stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True)
history = stoker.fit(model, train, batch_size=8, epochs=100, validation_data=held_out, callbacks=[stop], verbose=2)
best = min(history.history["val_loss"])
print(f"stopped after epoch {len(history.epoch)} of 100, where the best val_loss was {best:.4f}")
print(f"and the best weights are back: {stoker.evaluate(model, held_out):.4f}")
