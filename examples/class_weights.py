"""`class_weight` makes up for a class that is rare: more of its members are found."""

import numpy as np

import stoker.keras  # isort: skip
import keras

rng = np.random.default_rng(0)


def batches(share_of_rare=0.05):
    while True:
        labels = (rng.random(64) < share_of_rare).astype("int32")
        yield rng.normal(labels[:, None], 0.7, size=(64, 2)), labels


for class_weight in (None, {0: 1.0, 1: 19.0}):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=[keras.metrics.Recall(name="recall")])
    stoker.fit_generator(model, batches(), steps_per_epoch=300, epochs=2, class_weight=class_weight, verbose=0)
    found = stoker.evaluate(model, batches(), steps=100, return_dict=True)["recall"]
    print(f"class_weight={class_weight}: finds {found:.0%} of the rare class")
