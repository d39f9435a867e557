"""``keras.preprocessing`` as it was: ImageDataGenerator and its iterators, ``load_img`` and their like, TimeseriesGenerator.

The classes ship in Keras's legacy tree. Their iterators are indexed sources, so stoker feeds from them with threads and processes.

Rules: Keras's classes are used as they are; ``next()``, which old scripts call, is added.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import keras
from keras.src.legacy.preprocessing import image, sequence  # exported under no public name

FUNCTIONS = ("load_img", "img_to_array", "array_to_img", "save_img")


def complete() -> None:
    """Add what is missing to ``keras.preprocessing.image`` and ``keras.preprocessing.sequence``."""
    image.Iterator.next = lambda self: next(self)
    _fill(keras.preprocessing.image, _own(image) | {name: getattr(keras.utils, name) for name in FUNCTIONS})
    _fill(keras.preprocessing.sequence, _own(sequence) | {"pad_sequences": keras.utils.pad_sequences})


def _own(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")}


def _fill(module: ModuleType, names: dict[str, Any]) -> None:
    for name, value in names.items():
        if not hasattr(module, name):
            setattr(module, name, value)
