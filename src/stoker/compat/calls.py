"""``fit``, ``evaluate``, ``predict`` and the generator calls, with every spelling of Keras 1 and 2.

Everything that trains goes through stoker: arrays, generators and Sequences alike, so that ``workers`` and its like mean something.
What stoker does not take (tf.data, DataLoaders, arrays without targets) goes to Keras's own methods.

Rules: samples are turned into steps by the source's ``batch_size``, and are steps where it has none, as Keras 2 did; what a spelling
means is decided here, what a call does is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from stoker import api
from stoker.compat.names import with_old_names
from stoker.compat.patching import wrap
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
    model.evaluate_generator = _run_generator(teller, api.evaluate_generator)
    model.predict_generator = _run_generator(teller, api.predict_generator)
    wrap(model, "fit", _fit)
    wrap(model, "evaluate", _evaluate)
    wrap(model, "predict", _predict)
    for name in ("train_on_batch", "test_on_batch"):
        wrap(model, name, _on_batch)


def _fit_generator(teller: Teller) -> Callable[..., Any]:
    def fit_generator(self: Any, generator: Any = None, *arguments: Any, **options: Any) -> Any:
        source = options.pop("generator", None) if generator is None else generator
        translate(options, WORDS)
        options.update(zip(POSITIONAL, arguments, strict=False))
        if arguments:
            _doubt(arguments[0], source, teller)
        options["callbacks"] = with_old_names(options.get("callbacks"))
        samples = _samples(options, teller, source)
        with as_compiled(self):
            return api.fit_generator(self, source, **{**options, **samples})

    return fit_generator


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


def _run_generator(teller: Teller, call: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, generator: Any = None, steps: Any = None, *arguments: Any, **options: Any) -> Any:
        source = options.pop("generator", None) if generator is None else generator
        translate(options, WORDS)
        if "val_samples" in options:
            steps = _steps(options.pop("val_samples"), source, "val_samples", teller)
        return call(self, source, steps, *arguments, **options)

    run.__name__ = call.__name__
    return run


def _fit(original: Callable[..., Any]) -> Callable[..., Any]:
    def fit(self: Any, x: Any = None, y: Any = None, batch_size: Any = None, epochs: int = 1, verbose: Any = 1, callbacks: Any = None,
            validation_split: float = 0.0, validation_data: Any = None, shuffle: Any = True, class_weight: Any = None,
            sample_weight: Any = None, initial_epoch: int = 0, steps_per_epoch: Any = None, **options: Any) -> Any:
        translate(options, {**WORDS, "nb_epoch": "nb_epoch"})
        call = {
            "batch_size": batch_size, "epochs": options.pop("nb_epoch", epochs), "verbose": verbose,
            "callbacks": with_old_names(callbacks), "validation_data": validation_data, "shuffle": shuffle,
            "class_weight": class_weight, "initial_epoch": initial_epoch, "steps_per_epoch": steps_per_epoch, **options}
        arrays = _arrays(x, y, sample_weight)
        if not arrays and (_is_foreign(x) or _is_data(x)):
            for name in ("workers", "use_multiprocessing", "max_queue_size"):
                call.pop(name, None)
            with as_compiled(self):
                return original(self, x, y, sample_weight=sample_weight, validation_split=validation_split, **call)
        source: Any = x
        if arrays:
            source, held_out = _split(arrays, validation_split)
            call["validation_data"] = held_out if validation_data is None else _tuple(validation_data)
        call["shuffle"] = bool(shuffle)
        with as_compiled(self):
            return api.fit(self, source, **_as_processes(call))

    return fit


def _evaluate(original: Callable[..., Any]) -> Callable[..., Any]:
    def evaluate(self: Any, x: Any = None, y: Any = None, batch_size: Any = None, verbose: Any = 1, sample_weight: Any = None,
                 steps: Any = None, callbacks: Any = None, return_dict: bool = False, **options: Any) -> Any:
        arrays = _arrays(x, y, sample_weight)
        call = {"batch_size": batch_size, "verbose": verbose, "steps": steps, "callbacks": callbacks, "return_dict": return_dict}
        if not arrays and (_is_foreign(x) or _is_data(x)):
            return original(self, x, y, sample_weight=sample_weight, **call)
        return api.evaluate(self, arrays or x, **_as_processes({**call, **options}))

    return evaluate


def _predict(original: Callable[..., Any]) -> Callable[..., Any]:
    def predict(self: Any, x: Any, batch_size: Any = None, verbose: Any = 0, steps: Any = None, callbacks: Any = None,
                **options: Any) -> Any:
        call = {"batch_size": batch_size, "verbose": verbose, "steps": steps, "callbacks": callbacks}
        if _is_foreign(x) or (_is_data(x) and not _is_source(x)):
            return original(self, x, **call)
        return api.predict(self, x, **_as_processes({**call, **options}))

    return predict


def _on_batch(original: Callable[..., Any]) -> Callable[..., Any]:
    def on_batch(self: Any, *arguments: Any, reset_metrics: bool = True, **options: Any) -> Any:
        if reset_metrics:
            self.reset_metrics()
        with as_compiled(self):
            return original(self, *arguments, **options)

    return on_batch


def _as_processes(call: dict[str, Any]) -> dict[str, Any]:
    translate(call, {**WORDS, "use_multiprocessing": "processes", "pickle_safe": "processes"})
    return call


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


def _split(arrays: tuple[Any, ...], share: float) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
    """The last part of the rows is for validation, as Keras does it: before any shuffling."""
    if not share:
        return arrays, None
    first = keras.tree.flatten(arrays[0])[0]
    cut = int(len(first) * (1.0 - share))
    return (tuple(keras.tree.map_structure(lambda leaf: leaf[:cut], part) for part in arrays),
            tuple(keras.tree.map_structure(lambda leaf: leaf[cut:], part) for part in arrays))
