"""Names that a script registered, where Keras 3 takes a string: ``get_custom_objects().update(swish=...)``, then ``activation='swish'``.

Keras 3 looks there for classes that it reads from files, and not for what a layer or ``compile`` is given.

Rules: a registered name comes before Keras's own, as in Keras 2; functions that make initial weights may leave out ``dtype``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras.src import activations, constraints, initializers, losses, metrics, regularizers  # where Keras itself looks names up

from stoker.compat.patching import before_init, wrap
from stoker.compat.spelling import translate

WORDS: dict[tuple[str, str], dict[str, str]] = {
    ("regularizers", "L1"): {"l": "l1"}, ("regularizers", "L2"): {"l": "l2"}, ("constraints", "MaxNorm"): {"m": "max_value"},
}
"""Arguments of regularizers and constraints that had other names."""


def complete() -> None:
    """Let strings find what the script registered."""
    for module in (activations, constraints, losses, metrics, regularizers):
        wrap(module, "get", _registered_first)
    wrap(initializers, "get", _initializer)
    for module in (activations, constraints, initializers, losses, metrics, regularizers):
        getattr(keras, module.__name__.rpartition(".")[2]).get = module.get
    for (module_name, kind), words in WORDS.items():
        before_init(getattr(getattr(keras, module_name), kind), _renamed(words))


def _renamed(words: dict[str, str]) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, ...]]:
    def change(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
        translate(options, words)
        return arguments

    return change


def _registered_first(original: Callable[..., Any]) -> Callable[..., Any]:
    def get(identifier: Any, *others: Any, **options: Any) -> Any:
        found = keras.saving.get_registered_object(identifier) if isinstance(identifier, str) else None
        return original(identifier, *others, **options) if found is None else found() if isinstance(found, type) else found

    return get


def _initializer(original: Callable[..., Any]) -> Callable[..., Any]:
    named = _registered_first(original)

    def get(identifier: Any) -> Any:
        made = named(identifier)
        return _without_dtype(made) if inspect.isfunction(made) else made

    return get


def _without_dtype(function: Any) -> Any:
    """A function of a shape, as one that may be given a dtype too; the ``name`` that Keras 1 gave is None."""
    taken = inspect.signature(function).parameters
    is_keras_1s = function.__module__ == "stoker.compat.initializations"
    if "dtype" in taken or (any(one.kind is one.VAR_KEYWORD for one in taken.values()) and not is_keras_1s):
        return function
    needed = {"name": None} if "name" in taken and taken["name"].default is inspect.Parameter.empty else {}

    def make(shape: Any, dtype: Any = None) -> Any:
        made = function(shape, **needed)
        return made.value if isinstance(made, keras.Variable) else made

    make.__name__ = function.__name__
    return make
