"""``fit``, ``evaluate``, ``predict`` and the generator calls, with every spelling of Keras 1 and 2.

Everything that trains goes through stoker: arrays, generators and Sequences alike, so that ``workers`` and its like mean something.
What stoker does not take (tf.data, DataLoaders, arrays without targets) goes to Keras's own methods.

Rules: samples are turned into steps by the source's ``batch_size``, and are steps where it has none, as Keras 2 did; what a spelling
means is decided here, what a call does is not.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any

import keras
import numpy as np

from stoker import api
from stoker.batch import spec
from stoker.compat import zero_weights
from stoker.compat.models import in_old_order
from stoker.compat.patching import wrap
from stoker.compat.positions import through_tensorflow
from stoker.compat.predicted import as_numbers
from stoker.compat.seen import as_seen, flat_arrays
from stoker.compat.spelling import Rule, translate
from stoker.compat.tell import Teller
from stoker.compat.trainable import as_compiled

WORDS: dict[str, Rule] = {
    "nb_epoch": "epochs", "nb_worker": "workers", "pickle_safe": "use_multiprocessing", "max_q_size": "max_queue_size",
    "show_accuracy": None,
}
POSITIONAL = (
    "steps_per_epoch", "epochs", "verbose", "callbacks", "validation_data", "validation_steps", "class_weight", "max_queue_size",
    "workers", "use_multiprocessing", "shuffle", "initial_epoch",
)
"""Arguments of Keras 2.2's ``fit_generator`` after the generator."""


def complete(teller: Teller) -> None:
    """Put the old spellings before the methods of ``keras.Model``."""
    model = keras.Model
    model.fit_generator = _fit_generator(teller)
    model.evaluate_generator = _run_generator(teller, _evaluate_generator)
    model.predict_generator = _run_generator(teller, _predict_generator)
    wrap(model, "fit", lambda original: _fit(original, teller))
    wrap(model, "evaluate", lambda original: _evaluate(original, teller))
    wrap(model, "predict", _predict)
    for name in ("train_on_batch", "test_on_batch"):
        wrap(model, name, lambda original: _on_batch(original, teller))
    wrap(model, "predict_on_batch", lambda original: lambda self, x: as_numbers(original(self, x)))
    wrap(spec, "_by_name", _known_only)


def _known_only(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keras 2 took from a dict what the model has, and left the rest."""

    def by_name(part: dict[Any, Any], ports: Any, path: str, where: str) -> Any:
        known = {name for port in ports.ports for name in (port.name, port.key)}
        return original({name: value for name, value in part.items() if name in known}, ports, path, where)

    return by_name


def _fit_generator(teller: Teller) -> Callable[..., Any]:
    def fit_generator(self: Any, generator: Any = None, *arguments: Any, **options: Any) -> Any:
        source = options.pop("generator", None) if generator is None else generator
        translate(options, WORDS)
        options.update(zip(POSITIONAL, arguments, strict=False))
        if arguments:
            _doubt(arguments[0], source, teller)
        _settle_validation(options, teller)
        samples = _samples(options, teller, source)
        options["callbacks"] = as_seen(
            options.get("callbacks"), options.get("validation_data"), getattr(source, "samples", None), getattr(source, "batch_size", None))
        with as_compiled(self):
            return api.fit_generator(self, source, **{**options, **samples})

    return fit_generator


def _settle_validation(call: dict[str, Any], teller: Teller) -> None:
    """Arrays for validation are taken whole, as in Keras 2.2, whatever number of steps or of samples stands beside them."""
    given: Any = call.get("validation_data")
    if flat_arrays(given) is None:
        return
    call["validation_data"] = tuple(map(_dense_part, given))
    zero_weights.look(given[2] if len(given) > 2 else None, teller)
    call.pop("nb_val_samples", None)
    if not through_tensorflow():
        call.pop("validation_steps", None)


def _samples(options: dict[str, Any], teller: Teller, source: Any) -> dict[str, Any]:
    """Steps for samples."""
    made = {}
    for old, new, of in (("samples_per_epoch", "steps_per_epoch", source),
                         ("nb_val_samples", "validation_steps", options.get("validation_data"))):
        if old in options:
            made[new] = _steps(options.pop(old), of, old, teller)
    return made


def _doubt(steps: Any, source: Any, teller: Teller) -> None:
    """Keras 1 counted samples where Keras 2 counts batches; by position nobody can tell the two apart, but by their size."""
    samples = getattr(source, "n", None)
    if isinstance(samples, int) and isinstance(steps, int) and steps >= samples > 0 and hasattr(source, "__len__"):
        teller.tell(
            f"fit_generator(generator, {steps})",
            f"it is a number of batches, as in Keras 2, and the generator has {samples} samples in {len(source)} batches; if the script "
            f"counts samples, as in Keras 1, write steps_per_epoch={len(source)}.")


def _steps(samples: Any, source: Any, name: str, teller: Teller) -> Any:
    size = getattr(source, "batch_size", None)
    if size:
        return max(1, int(samples) // int(size))
    teller.tell(f"{name}=", "it is taken as a number of batches, since the source has no batch_size, as Keras 2 did; "
                "pass steps_per_epoch or validation_steps.")
    return samples


def _evaluate_generator(model: Any, *arguments: Any, return_dict: bool = False, **options: Any) -> Any:
    return _returned(model, api.evaluate_generator(model, *arguments, return_dict=True, **options), return_dict)


def _predict_generator(model: Any, *arguments: Any, **options: Any) -> Any:
    return as_numbers(api.predict_generator(model, *arguments, **options))


def _run_generator(teller: Teller, call: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, generator: Any = None, steps: Any = None, *arguments: Any, **options: Any) -> Any:
        source = options.pop("generator", None) if generator is None else generator
        translate(options, WORDS)
        if "val_samples" in options:
            steps = _steps(options.pop("val_samples"), source, "val_samples", teller)
        if arguments and isinstance(arguments[0], int):  # Keras up to 2.2.4 had no callbacks there, but max_queue_size
            arguments = (None, *arguments)
        return call(self, source, steps, *arguments, **options)

    run.__name__ = call.__name__.lstrip("_")
    return run


def _fit(original: Callable[..., Any], teller: Teller) -> Callable[..., Any]:
    def fit(self: Any, x: Any = None, y: Any = None, batch_size: Any = None, epochs: int = 1, verbose: Any = 1, callbacks: Any = None,
            validation_split: float = 0.0, validation_data: Any = None, shuffle: Any = True, class_weight: Any = None,
            sample_weight: Any = None, initial_epoch: int = 0, steps_per_epoch: Any = None, **options: Any) -> Any:
        translate(options, {**WORDS, "nb_epoch": "nb_epoch"})
        call = {
            "batch_size": batch_size, "epochs": options.pop("nb_epoch", epochs), "verbose": verbose,
            "callbacks": callbacks, "validation_data": validation_data, "shuffle": shuffle,
            "class_weight": class_weight, "initial_epoch": initial_epoch, "steps_per_epoch": steps_per_epoch, **options}
        x, y = _dense(x, y)
        arrays = _arrays(x, y, sample_weight)
        zero_weights.look(sample_weight, teller)
        _settle_validation(call, teller)
        validation_data = call["validation_data"]
        if not arrays and (_is_foreign(x) or _is_data(x)):
            for name in ("workers", "use_multiprocessing", "max_queue_size"):
                call.pop(name, None)
            call["callbacks"] = as_seen(callbacks, validation_data)
            with as_compiled(self):
                return original(self, x, y, sample_weight=sample_weight, validation_split=validation_split, **call)
        source: Any = x
        if arrays:
            source, held_out = _split(arrays, validation_split if validation_data is None else 0.0)
            call["validation_data"] = held_out if validation_data is None else _tuple(validation_data)
            call["callbacks"] = as_seen(callbacks, call["validation_data"], _rows(source), batch_size or 32)
        else:
            call["callbacks"] = as_seen(callbacks, validation_data)
        call["shuffle"] = bool(shuffle)
        with as_compiled(self):
            return api.fit(self, source, **_as_processes(call))

    return fit


def _evaluate(original: Callable[..., Any], teller: Teller) -> Callable[..., Any]:
    def evaluate(self: Any, x: Any = None, y: Any = None, batch_size: Any = None, verbose: Any = 1, sample_weight: Any = None,
                 steps: Any = None, callbacks: Any = None, return_dict: bool = False, **options: Any) -> Any:
        x, y = _dense(x, y)
        arrays = _arrays(x, y, sample_weight)
        zero_weights.look(sample_weight, teller)
        call = {"batch_size": batch_size, "verbose": verbose, "steps": steps, "callbacks": callbacks, "return_dict": return_dict}
        if not arrays and (_is_foreign(x) or _is_data(x)):
            return original(self, x, y, sample_weight=sample_weight, **call)
        call = _as_processes({**call, **options, "return_dict": True})
        return _returned(self, api.evaluate(self, arrays or x, **call), return_dict)

    return evaluate


def _returned(model: Any, logs: dict[str, Any], as_dict: bool) -> Any:
    """What ``evaluate`` returns: the loss, or a list in the order of ``metrics_names``, or a dict."""
    values = in_old_order(model, logs)
    return logs if as_dict else values[0] if len(values) == 1 else values


def _predict(original: Callable[..., Any]) -> Callable[..., Any]:
    def predict(self: Any, x: Any, batch_size: Any = None, verbose: Any = 0, steps: Any = None, callbacks: Any = None,
                **options: Any) -> Any:
        call = {"batch_size": batch_size, "verbose": verbose, "steps": steps, "callbacks": callbacks}
        x = _in_order(self, _dense(x, x)[0])
        if _is_foreign(x) or (_is_data(x) and not _is_source(x)):
            return as_numbers(original(self, x, **call))
        return as_numbers(api.predict(self, x, **_as_processes({**call, **options})))

    return predict


def _on_batch(original: Callable[..., Any], teller: Teller) -> Callable[..., Any]:
    def on_batch(self: Any, x: Any, *arguments: Any, reset_metrics: bool = True, **options: Any) -> Any:
        if reset_metrics:
            self.reset_metrics()
        zero_weights.look(arguments[1] if len(arguments) > 1 else options.get("sample_weight"), teller)
        with as_compiled(self):
            return original(self, _in_order(self, x), *arguments, **options)

    return on_batch


def _in_order(model: Any, x: Any) -> Any:
    """Inputs by name as a functional model's inputs in their order; all else as it is."""
    if not isinstance(x, dict) or isinstance(getattr(model, "_inputs_struct", None), dict | NoneType):
        return x
    names = [tensor.name for tensor in model.inputs]
    if any(name not in x for name in names):
        return x
    return [x[name] for name in names] if len(names) > 1 else x[names[0]]


def _as_processes(call: dict[str, Any]) -> dict[str, Any]:
    translate(call, {**WORDS, "use_multiprocessing": "processes", "pickle_safe": "processes"})
    return call


def _dense(x: Any, y: Any) -> tuple[Any, Any]:
    """Data as arrays where they are sparse matrices, and as lists where they are tuples; without targets both as they are."""
    return (x, y) if y is None else (_dense_part(x), _dense_part(y))


def _dense_part(part: Any) -> Any:
    if isinstance(part, list | tuple):
        return [_dense_part(one) if hasattr(one, "toarray") else one for one in part]
    return part.toarray() if hasattr(part, "toarray") else part


def _arrays(x: Any, y: Any, sample_weight: Any) -> tuple[Any, ...] | None:
    """Arrays as stoker takes them; None where these are none, or have no targets."""
    if y is None or not _is_data(x):
        return None
    parts = (x, y) if sample_weight is None else (x, y, sample_weight)
    return tuple(_columns(part) for part in parts)


def _columns(part: Any) -> Any:
    if isinstance(part, list) and part and not hasattr(part[0], "shape"):
        return np.asarray(part)
    return part


def _tuple(data: Any) -> Any:
    return tuple(data) if isinstance(data, list) else data


def _is_data(x: Any) -> bool:
    return x is None or isinstance(x, dict | list | np.ndarray) or (hasattr(x, "__array__") and hasattr(x, "shape"))


def _is_source(x: Any) -> bool:
    return not _is_data(x)


def _is_foreign(x: Any) -> bool:
    """Data sets of the frameworks, which Keras takes itself."""
    return type(x).__module__.partition(".")[0] in ("tensorflow", "torch", "grain") and not hasattr(x, "__array__")


def _rows(arrays: tuple[Any, ...]) -> int:
    return len(keras.tree.flatten(arrays[0])[0])


def _split(arrays: tuple[Any, ...], share: float) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
    """The last part of the rows is for validation, as Keras does it: before any shuffling."""
    if not share:
        return arrays, None
    cut = int(_rows(arrays) * (1.0 - share))
    return (tuple(keras.tree.map_structure(lambda leaf: leaf[:cut], part) for part in arrays),
            tuple(keras.tree.map_structure(lambda leaf: leaf[cut:], part) for part in arrays))
