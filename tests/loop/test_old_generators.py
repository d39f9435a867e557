"""The image generators of Keras 2, alone and zipped, as its documentation trained with them."""

from __future__ import annotations

import keras
import models  # noqa: F401
import numpy as np
import pytest

import stoker.keras  # noqa: F401

image = pytest.importorskip("keras.src.legacy.preprocessing.image")
IMAGES = np.random.default_rng(0).integers(0, 255, (12, 8, 8, 1)).astype("uint8")


def mask_model():
    """Each pixel's mask is half the pixel: the weight is 0.5 once it is trained."""
    layer = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((8, 8, 1)), layer])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    return model


def pairs(rows):
    """Images and their masks, augmented alike because both have one seed, as in the example of Keras 2's documentation."""
    ways = {"horizontal_flip": True, "rotation_range": 10}
    made = [image.ImageDataGenerator(rescale=scale / 255, **ways).flow(IMAGES[rows], batch_size=4, seed=1) for scale in (1.0, 0.5)]
    return zip(*made, strict=False)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_zip_of_two_image_generators_trains_and_validates(workers):
    model = mask_model()
    history = model.fit_generator(
        pairs(slice(0, 8)), steps_per_epoch=2, epochs=10, verbose=0, workers=workers, validation_data=pairs(slice(8, 12)),
        validation_steps=1)
    assert len(history.history["val_loss"]) == 10
    assert model.get_weights()[0].item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_generator_needs_no_number_of_steps(workers):
    flow = image.ImageDataGenerator(rescale=1 / 255).flow(IMAGES, IMAGES / 510, batch_size=5, seed=1)
    history = mask_model().fit_generator(flow, epochs=2, verbose=0, workers=workers, validation_data=flow)
    assert [(record.steps, record.samples) for record in history.records] == [(3, 12)] * 2
