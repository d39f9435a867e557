"""Which function the name ``hard_sigmoid`` means: Keras 1's and 2's, of slope 0.2, or Keras 3's, of slope 1/6.

Rules: a script, and a file of Keras 1 or 2, means the old one; a config that names the module of its class is Keras 3's and means the new
one; in configs that are written here each of the two has a name that tells it from the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras.src import activations, saving  # where Keras itself looks names up
from keras.src.saving import saving_lib, serialization_lib

from stoker.compat.kmath import hard_sigmoid
from stoker.compat.patching import wrap

NAME = "hard_sigmoid"
OLD = f"stoker>{NAME}"
"""The name of the old function in configs."""

NEW = {"module": "keras.activations", "class_name": "function", "config": NAME, "registered_name": NAME}
"""The new function in configs, as Keras 3 reads it too."""

OF_OLD = {"module": "stoker.compat.kmath", "class_name": "function", "config": OLD, "registered_name": OLD}
"""The old function in configs."""


def complete() -> None:
    """Let the name mean the old function, but where Keras 3 wrote it."""
    keras.saving.register_keras_serializable("stoker", NAME)(hard_sigmoid)
    keras.activations.hard_sigmoid = activations.ALL_OBJECTS_DICT[NAME] = hard_sigmoid
    for name, make in (("get", _old), ("deserialize", _by_name), ("serialize", _told_apart)):
        wrap(activations, name, make)
        setattr(keras.activations, name, getattr(activations, name))
    wrap(serialization_lib, "deserialize_keras_object", _of_keras_3)
    for module in (saving, saving_lib, keras.saving, keras.utils):
        module.deserialize_keras_object = serialization_lib.deserialize_keras_object


def meaning(config: dict[str, Any], function: dict[str, str]) -> dict[str, Any]:
    """A layer's config in which the name means one of the two.

    Args:
        config: what the layer is made of.
        function: ``NEW`` or ``OF_OLD``.
    """
    return {key: dict(function) if str(key).endswith("activation") and isinstance(value, str) and value == NAME else value
            for key, value in config.items()}


def _old(original: Callable[..., Any]) -> Callable[..., Any]:
    """Reads the old function's name in configs also where the script has cleared the names that are registered."""

    def find(identifier: Any, *others: Any, **options: Any) -> Any:
        is_old = isinstance(identifier, dict) and identifier.get("config") == OLD
        return hard_sigmoid if is_old else original(identifier, *others, **options)

    return find


def _by_name(original: Callable[..., Any]) -> Callable[..., Any]:
    read = _old(original)

    def deserialize(config: Any, custom_objects: Any = None) -> Any:
        is_bare = isinstance(config, str) and config == NAME and NAME not in (custom_objects or {})
        return activations.get(config) if is_bare else read(config, custom_objects=custom_objects)

    return deserialize


def _told_apart(original: Callable[..., Any]) -> Callable[..., Any]:
    def serialize(activation: Any) -> Any:
        made = original(activation)
        return dict(NEW) if isinstance(made, str) and made == NAME else made

    return serialize


def _of_keras_3(original: Callable[..., Any]) -> Callable[..., Any]:
    def deserialize_keras_object(config: Any, *others: Any, **options: Any) -> Any:
        if isinstance(config, dict) and "module" in config and isinstance(config.get("config"), dict):
            config = {**config, "config": meaning(config["config"], NEW)}
        return original(config, *others, **options)

    return deserialize_keras_object
