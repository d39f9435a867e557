"""``keras.preprocessing`` as it was: ImageDataGenerator and its iterators, ``load_img`` and their like, TimeseriesGenerator.

The classes ship in Keras's legacy tree. Their iterators are indexed sources, so stoker feeds from them with threads and processes.

Rules: Keras's classes are used as they are; ``next()``, which old scripts call, is added.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from types import ModuleType
from typing import Any

import keras
from keras.src.legacy.preprocessing import image, sequence  # exported under no public name

from stoker.compat.kimages import FORMATS
from stoker.compat.patching import before_init, wrap
from stoker.compat.positions import whole
from stoker.compat.spelling import translate

FUNCTIONS = ("load_img", "img_to_array", "array_to_img", "save_img")


def complete() -> None:
    """Add what is missing to ``keras.preprocessing.image`` and ``keras.preprocessing.sequence``."""
    image.Iterator.next = lambda self: next(self)
    for old, new in (("nb_sample", "samples"), ("nb_class", "num_classes"), ("N", "n")):
        setattr(image.Iterator, old, property(attrgetter(new)))
    before_init(image.ImageDataGenerator, _old_words)
    wrap(keras.utils, "load_img", _grayscale)
    keras.preprocessing.image.load_img = keras.utils.load_img
    _fill(keras.preprocessing.image, _own(image) | {name: getattr(keras.utils, name) for name in FUNCTIONS})
    _fill(keras.preprocessing.sequence, _own(sequence) | {"pad_sequences": keras.utils.pad_sequences})


def _old_words(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
    translate(options, {"dim_ordering": ("data_format", lambda value: FORMATS.get(value, value))})
    return arguments


def _grayscale(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keras 2 took ``load_img(path, grayscale, color_mode, target_size, interpolation)``."""

    def load_img(path: Any, grayscale: Any = False, color_mode: str = "rgb", target_size: Any = None, *others: Any, **options: Any) -> Any:
        if isinstance(grayscale, str):  # Keras 3's color_mode by position
            grayscale, color_mode = False, grayscale
        return original(path, "grayscale" if grayscale else color_mode, _whole(target_size), *others, **options)

    return load_img


def _whole(size: Any) -> Any:
    return size if size is None else tuple(whole(size))


def _own(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")}


def _fill(module: ModuleType, names: dict[str, Any]) -> None:
    for name, value in names.items():
        if not hasattr(module, name):
            setattr(module, name, value)
