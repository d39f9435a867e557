"""Loads models from HDF5 files and JSON of Keras 1, 2 and 3: the graph, the weights, what ``compile`` was given, the optimizer's state.

Keras 3's own reader takes short names such as ``mse`` for classes, builds the optimizer before it knows the variables (training then
fails), and finds neither the operations that a mask leaves in a graph nor the shapes that Keras 2 wrote.

Rules: what a file says is changed only where Keras 3 reads it otherwise than it was meant; code that a file holds is run, as in Keras 2,
and told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src import ops as operations  # classes of operations in a graph have no public name
from keras.src.legacy.saving import legacy_h5_format, saving_utils
from keras.src.saving import serialization_lib
from keras.src.saving.keras_saveable import KerasSaveable
from keras.src.utils import python_utils

from stoker.compat.hard_sigmoids import NEW, OF_OLD, meaning
from stoker.compat.patching import wrap
from stoker.compat.tell import Teller

SPECIAL = ("accuracy", "acc", "crossentropy", "ce")
"""Metrics whose meaning depends on the model: ``compile`` takes them as they are."""

MARK = "stoker>operation>"

WITHIN = frozenset({"layer", "backward_layer", "cell"})
"""What in a layer's config is a layer: of TimeDistributed, Bidirectional and RNN."""

UNUSED = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
"""What TensorFlow's Keras 2 wrote of separable convolutions, which have a depthwise and a pointwise kernel in the place of that one."""


TENSORFLOWS = ("jit_compile", "is_legacy_optimizer")
"""What TensorFlow's Keras 2 wrote of optimizers, and Keras 3 does not take."""


def complete(teller: Teller) -> None:
    """Let ``model_from_json`` read what Keras 2 wrote, and functions in files see what they saw in Keras 2."""

    def from_json(original: Any) -> Any:
        def model_from_json(json_string: str, custom_objects: Any = None) -> Any:
            config = json.loads(json_string)
            if "module" in config and "__lambda__" not in json_string:
                return original(json_string, custom_objects=custom_objects)
            with serialization_lib.SafeModeScope(tell_code(json_string, teller)):
                return (original(json_string, custom_objects=custom_objects) if "module" in config
                        else model_from(config, custom_objects or {}))

        return model_from_json

    wrap(keras.models, "model_from_json", from_json)
    wrap(python_utils, "func_load", _with_globals)


def load_h5(path: Path, custom_objects: Any, compile: bool, teller: Teller) -> Any:
    """A model from a file in the layout of Keras 2.

    Args:
        path: the file.
        custom_objects: the script's own classes and functions, by name.
        compile: compile the model as it was.
        teller: tells of code in the file.
    """
    import h5py

    known = {**keras.saving.get_custom_objects(), **(custom_objects or {})}
    with h5py.File(path, "r") as file:
        text = _text(file.attrs.get("model_config"))
        if text is None:
            raise ValueError(f"{path} holds weights and no model: build the model and call load_weights({str(path)!r})")
        with serialization_lib.SafeModeScope(tell_code(text, teller)), keras.saving.custom_object_scope(known):
            model = model_from(json.loads(text), known, is_new=_version(file) not in ("1", "2"))
        legacy_h5_format.load_weights_from_hdf5_group(file["model_weights"], model)
        training = _text(file.attrs.get("training_config"))
        if compile and training is not None:
            with keras.saving.custom_object_scope(known):
                model.compile(**_compile_arguments(json.loads(training), known))
            _restore_optimizer(file, model, teller)
    return model


def model_from(config: dict[str, Any], custom_objects: Mapping[str, Any], is_new: bool = False) -> Any:
    """A model from the config that Keras 1 and 2 wrote, and Keras 3 into HDF5 files.

    Args:
        config: the config.
        custom_objects: the script's own classes and functions, by name.
        is_new: Keras 3 wrote it.
    """
    from keras.src.legacy.saving import saving_options

    with saving_options.keras_option_scope(use_legacy_config=True):
        return saving_utils.model_from_config(_modern(config, is_new), custom_objects={**_operations(), **custom_objects})


def _text(value: Any) -> str | None:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _version(file: Any) -> str:
    """The first number of the version of Keras that wrote a file."""
    return str(_text(file.attrs.get("keras_version")) or "1")[0]


def tell_code(text: str, teller: Teller) -> bool:
    """Whether a config holds no code; told where it does."""
    holds_code = "__lambda__" in text or '"function_type": "lambda"' in text
    if holds_code:
        teller.tell("load_model of a Lambda layer", "the file holds code, which is run, as Keras 2 did; load only files that you trust.")
    return not holds_code


def _modern(config: Any, is_new: bool) -> Any:
    """A config of a model, with that of every layer, as Keras 3 reads it."""
    inner = config.get("config")
    if isinstance(inner, list):  # Sequential models before Keras 2.2
        inner = {"name": "sequential", "layers": inner}
    if not isinstance(inner, dict) or "layers" not in inner:
        return _modern_layer(config, is_new)
    made = [_modern({**layer}, is_new) for layer in inner["layers"]]
    if config["class_name"] == "Sequential":
        made = _with_input(inner["layers"][0], made)
    return {**config, "config": {**inner, "layers": made}}


def _with_input(first: dict[str, Any], layers: list[Any]) -> list[Any]:
    """A Sequential model's layers after an input layer that has the shape which Keras 2 wrote into the first."""
    shape = first["config"].get("batch_input_shape") if isinstance(first["config"], dict) else None
    if shape is None or first["class_name"] == "InputLayer":
        return layers
    dtype = first["config"].get("dtype") or "float32"
    entry = {"class_name": "InputLayer", "config": {
        "batch_shape": shape, "dtype": dtype if isinstance(dtype, str) else "float32", "name": f"{first['config']['name']}_input"}}
    return [entry, *layers]


def _modern_layer(config: dict[str, Any], is_new: bool) -> dict[str, Any]:
    own = meaning(config["config"], NEW) if is_new else dict(config["config"])
    kind = config["class_name"]
    shape = own.pop("batch_input_shape", None)
    if kind == "InputLayer":
        own = {"batch_shape": shape or own.get("batch_shape"), "dtype": own.get("dtype") or "float32", "name": own["name"]}
    for part in WITHIN & own.keys():
        if isinstance(own[part], dict) and "class_name" in own[part]:
            own[part] = _inner(_modern({**own[part]}, is_new))
    if kind in ("SeparableConv1D", "SeparableConv2D"):
        own = {word: value for word, value in own.items() if word not in UNUSED}
    is_operation = "trainable" not in own and kind != "InputLayer" and kind in _kinds()
    return {**config, "class_name": f"{MARK}{kind}" if is_operation else kind, "config": own}


def _inner(config: dict[str, Any]) -> dict[str, Any]:
    """A layer within another with the module of its class, without which Keras 3 does not find it there."""
    kind = "Model" if config["class_name"] == "Functional" else config["class_name"]
    module = next((module for module in (keras.layers, keras) if hasattr(module, kind)), None)
    if "module" in config or module is None:
        return config
    return {**config, "class_name": kind, "module": module.__name__, "config": meaning(config["config"], OF_OLD)}


def _operations() -> dict[str, Any]:
    """Operations that stand in a graph as layers do, under names that no layer has."""
    return {f"{MARK}{name}": kind for name, kind in _kinds().items()}


@cache
def _kinds() -> dict[str, Any]:
    modules = (operations.numpy, operations.core, operations.math, operations.nn, operations.linalg, operations.image)
    return {name: kind for module in modules for name, kind in vars(module).items()
            if isinstance(kind, type) and issubclass(kind, KerasSaveable)}


def _with_globals(original: Any) -> Any:
    def func_load(code: Any, defaults: Any = None, closure: Any = None, globs: Any = None) -> Any:
        seen = {"K": keras.backend, "keras": keras, "np": np, "tf": keras.backend.tf, **keras.saving.get_custom_objects()}
        return original(code, defaults, closure, globs or {"__builtins__": __builtins__, **seen})

    return func_load


def _compile_arguments(training: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    metrics, weighted = training.get("metrics"), training.get("weighted_metrics")
    return {
        "optimizer": keras.optimizers.deserialize(_optimizer(training["optimizer_config"])),
        "loss": _each(training.get("loss"), lambda one: _object(one, known, keras.losses)),
        "metrics": _each(metrics, lambda one: _object(one, known, keras.metrics)) if metrics else None,
        "weighted_metrics": _each(weighted, lambda one: _object(one, known, keras.metrics)) if weighted else None,
        "loss_weights": training.get("loss_weights"),
    }


def _optimizer(config: dict[str, Any]) -> dict[str, Any]:
    """The config of an optimizer without what TensorFlow's Keras 2 alone wrote."""
    own = {word: value for word, value in config["config"].items() if word not in TENSORFLOWS}
    return {**config, "class_name": config["class_name"].removeprefix("Custom>"), "config": own}


def _each(config: Any, make: Any) -> Any:
    """A nested list or dict of configs, with what ``make`` builds of each."""
    if isinstance(config, dict) and "class_name" not in config:
        return {name: _each(one, make) for name, one in config.items()}
    return [_each(one, make) for one in config] if isinstance(config, list | tuple) else make(config)


def _object(config: Any, known: Mapping[str, Any], module: Any) -> Any:
    """A loss or a metric: the script's own before Keras's; names that ``compile`` knows stay names."""
    if isinstance(config, dict):
        return _built(config, known, module)
    if not isinstance(config, str):
        return config
    if config in SPECIAL:
        return config
    if config in known:
        return known[config]
    try:
        module.get(config)
    except ValueError:
        return vars(module).get(config, config)  # scripts put functions of their own into keras.losses
    return config


def _built(config: dict[str, Any], known: Mapping[str, Any], module: Any) -> Any:
    """A loss or a metric that a file describes as an object; TensorFlow's Keras 2 did so of functions too."""
    own = config.get("config")
    if not isinstance(own, dict):
        return module.deserialize(config)
    if config["class_name"] == "MeanMetricWrapper":
        name, function = own.get("name"), own["fn"]["config"] if isinstance(own["fn"], dict) else own["fn"]
        plain = function.removeprefix("stoker>")  # where the script has cleared the names that are registered
        found = known.get(function) or getattr(keras.metrics, plain, None) or getattr(keras.losses, plain, None)
        return name if name in SPECIAL else keras.metrics.MeanMetricWrapper(found, name=name) if callable(found) else function
    return module.deserialize({**config, "config": {word: value for word, value in own.items() if (word, value) != ("reduction", "auto")}})


def _restore_optimizer(file: Any, model: Any, teller: Teller) -> None:
    if "optimizer_weights" not in file or not model.built:
        return
    model.optimizer.build(model.trainable_variables)
    saved = [np.asarray(value) for value in legacy_h5_format.load_optimizer_weights_from_hdf5_group(file)]
    values = _old_state(saved, model) if _version(file) in ("1", "2") else saved
    variables = model.optimizer.variables
    if [tuple(value.shape) for value in values] != [tuple(variable.shape) for variable in variables]:
        teller.tell("load_model", "the state of the optimizer in the file is not that of Keras 3's; training goes on with a fresh one.")
        return
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _old_state(saved: list[Any], model: Any) -> list[Any]:
    """Keras 2's order, the steps and then each kind of state for all variables, as Keras 3's: both kinds for each variable in turn."""
    shapes = [tuple(variable.shape) for variable in model.trainable_variables]
    steps = [value for value in saved if value.ndim == 0][:1] or [np.zeros((), "int32")]
    rest = [value for value in saved if value.ndim]
    kinds = [rest[at:at + len(shapes)] for at in range(0, len(rest), len(shapes))]
    kinds = [kind for kind in kinds if [value.shape for value in kind] == shapes]
    state = [value for each in zip(*kinds, strict=True) for value in each]
    return [steps[0], keras.ops.convert_to_numpy(model.optimizer.variables[1]), *state]
