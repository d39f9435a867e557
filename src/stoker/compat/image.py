"""``keras.preprocessing.image`` at its old place: ImageDataGenerator and its iterators, ``load_img`` and their like.

The classes ship in Keras's legacy tree. Their iterators are indexed sources, so stoker feeds from them with threads and processes.

Rules: Keras's classes are used as they are; ``next()``, which old scripts call, is added.
"""

from __future__ import annotations

from typing import Any

import keras
from keras.src.legacy.preprocessing import image as legacy  # exported under no public name

FUNCTIONS = ("load_img", "img_to_array", "array_to_img", "save_img")


def names() -> dict[str, Any]:
    """What the module holds."""
    legacy.Iterator.next = lambda self: next(self)
    held = {name: value for name, value in vars(legacy).items() if getattr(value, "__module__", None) == legacy.__name__}
    functions = {name: getattr(keras.utils, name) for name in FUNCTIONS}
    return {name: value for name, value in (held | functions).items() if not name.startswith("_")}


def complete() -> None:
    """Add them to ``keras.preprocessing.image``."""
    for name, value in names().items():
        if not hasattr(keras.preprocessing.image, name):
            setattr(keras.preprocessing.image, name, value)
