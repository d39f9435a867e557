"""The calls: ``fit``, ``evaluate``, ``predict``, and ``fit_generator``, ``evaluate_generator``, ``predict_generator``.

The old calls have Keras 2's arguments and say the same as the modern ones. Here arguments are checked and turned into a plan; the
loop carries it out.

Rules: every check is made before any work: before a batch is pulled, a worker started or a callback told; nothing is kept between calls.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

from stoker.arguments import flag, whole_number
from stoker.backend.choose import load_backend
from stoker.errors import OptionError, OptionTypeError, SourceError
from stoker.feed.feed import Feed
from stoker.feed.options import check_options, draw_seed
from stoker.loop import fit as loop
from stoker.loop.plan import FitPlan, RunPlan, Validation, epochs_wanted
from stoker.reporting.choose import make_reporter
from stoker.reporting.plots import plot_history
from stoker.reporting.run import run_record
from stoker.source.arrays import ArraySource
from stoker.source.indexed import is_py_dataset
from stoker.source.open import open_source
from stoker.source.protocol import Source
from stoker.stacks import dump_on_signal

DEFAULT_BATCH_SIZE = 32


def fit(
    model: Any, source: Any, *, batch_size: int | None = None, steps_per_epoch: Any = None, epochs: int = 1, verbose: Any = 1,
    callbacks: Any = None, validation_data: Any = None, validation_steps: Any = None, validation_batch_size: int | None = None,
    validation_freq: Any = 1, class_weight: Any = None, shuffle: bool = True, initial_epoch: int = 0,
    workers: int | str | None = None, processes: bool | None = None, max_queue_size: int | None = None,
    seed: int | None = None, timeout_s: float | None = None,
) -> Any:
    """Train a Keras model from any source of batches, or from arrays.

    Args:
        model: a compiled ``keras.Model``.
        source: a Sequence, an iterator, a generator function, an iterable of batches, or arrays ``(x, y)`` or
            ``(x, y, sample_weights)``.
        batch_size: rows in a batch of arrays; 32 by default.
        steps_per_epoch: batches in an epoch, a fraction rounded up; by default a whole pass. Needed for iterators.
        epochs: the epoch to stop before, counted from 0; with ``initial_epoch=0``, the number of epochs.
        verbose: 0 silent; 1 or ``"auto"`` a progress bar in a terminal, or in a notebook that has ipywidgets; elsewhere a line per
            epoch; 2 a line per epoch.
        callbacks: Keras callbacks.
        validation_data: arrays ``(x, y)`` or ``(x, y, sample_weights)``, or any source.
        validation_steps: batches of each validation, a fraction rounded up; by default a whole pass. Needed for iterators.
        validation_batch_size: rows in a batch of validation arrays; by default as in training.
        validation_freq: validate after every n-th epoch, or after those listed, counted from 1.
        class_weight: dict class -> weight, or for several outputs a dict output name -> such a dict. A class that occurs and has no
            weight is a ``BatchError``.
        shuffle: permute the order of an indexed source, or the rows of arrays, in each pass.
        initial_epoch: the number of the first epoch, counted from 0. With a ``seed``, order and augmentation are those of that epoch; an
            iterator goes on where it is.
        workers: 0 makes batches on this thread when they are needed; ``"auto"`` begins with one thread (one process with
            ``processes=True``) and finds out how many are needed, never more than ``max_queue_size`` or 64, and whether they should be
            processes; by default as a ``keras.utils.PyDataset`` says, else 1, and 0 for arrays.
        processes: workers are processes, not threads; by default as a ``PyDataset`` says (``use_multiprocessing``), else False.
        max_queue_size: batches made ahead, at most; by default as a ``PyDataset`` says, else 10. When stoker runs several short steps in
            one call, or ahead of callbacks, it may prepare up to 128 batches regardless of this value.
        seed: makes order and augmentation reproducible; None draws one from Python's ``random``.
        timeout_s: after so many seconds of silence a worker counts as hung.

    Returns:
        ``keras.callbacks.History``, also ``model.history``; its ``feed`` lists what the feed did in each epoch, ``records`` what came of
        each, ``timeline`` has the last epoch batch by batch, ``run`` what the call was asked to do, and its ``plot()`` draws the curves
        with matplotlib.

    Raises:
        ValueError, TypeError: an argument, the source or a batch is wrong; the text names it.
    """
    first = whole_number("initial_epoch", initial_epoch)
    last = whole_number("epochs", epochs)
    steps = _steps("steps_per_epoch", steps_per_epoch)
    backend = load_backend()
    backend.require_compiled(model, "fit")
    batch_size = DEFAULT_BATCH_SIZE if batch_size is None else whole_number("batch_size", batch_size, 1)
    opened, is_arrays = _open(source, batch_size, shuffle, seed)
    feed = Feed(
        opened, **_crew(opened, is_arrays, workers, processes, max_queue_size), shuffle=False if is_arrays else shuffle, seed=seed,
        timeout_s=timeout_s)
    _refuse_endless(feed, steps, "steps_per_epoch")
    if validation_batch_size is None and is_arrays:
        validation_batch_size = batch_size
    validation = _validation(validation_data, validation_steps, validation_batch_size, validation_freq)
    verbosity = _verbosity(verbose)
    run = run_record(model, feed.source.label, backend.name, {
        "epochs": last, "initial_epoch": first, "steps_per_epoch": steps, "batch_size": batch_size if is_arrays else None,
        "validation_steps": validation and validation.steps, **dataclasses.asdict(feed.options)})
    plan = FitPlan(
        backend=backend, model=model, feed=feed, steps=steps, initial_epoch=first, epochs=last, callbacks=callbacks,
        class_weight=class_weight, validation=validation, reporter=make_reporter(verbosity), verbose=verbosity,
        is_arrays=is_arrays, run=run, plot=plot_history)
    with dump_on_signal():
        return loop.fit(plan)


def evaluate(
    model: Any, source: Any, *, batch_size: int | None = None, steps: Any = None, verbose: Any = 0, callbacks: Any = None,
    return_dict: bool = False, workers: int | str | None = None, processes: bool | None = None, max_queue_size: int | None = None,
    timeout_s: float | None = None,
) -> Any:
    """Loss and metrics over a source of batches, or over arrays.

    Args:
        model: a compiled ``keras.Model``.
        source: as in ``fit``.
        batch_size: rows in a batch of arrays; 32 by default.
        steps: batches, a fraction rounded up; by default a whole pass. Needed for iterators.
        verbose: as in ``fit``.
        callbacks: Keras callbacks.
        return_dict: return loss and metrics by name.
        workers: as in ``fit``.
        processes: as in ``fit``.
        max_queue_size: as in ``fit``.
        timeout_s: as in ``fit``.

    Returns:
        The loss, or a list of the loss and the metrics, or a dict.
    """
    backend = load_backend()
    backend.require_compiled(model, "evaluate")
    plan = _run_plan(backend, model, source, (batch_size, steps, callbacks, verbose),
                     (workers, processes, max_queue_size), timeout_s)
    with dump_on_signal():
        logs = loop.evaluate(plan)
    values = list(logs.values())
    return logs if return_dict else values[0] if len(values) == 1 else values


def predict(
    model: Any, source: Any, *, batch_size: int | None = None, steps: Any = None, verbose: Any = 0, callbacks: Any = None,
    workers: int | str | None = None, processes: bool | None = None, max_queue_size: int | None = None, timeout_s: float | None = None,
) -> Any:
    """Outputs for every batch of a source, or for arrays, in order.

    Args:
        model: a ``keras.Model``.
        source: as in ``fit``; batches are inputs, ``(inputs,)`` or tuples whose targets are ignored. Arrays are ``x``, or a list or
            dict of arrays for several inputs.
        batch_size: rows in a batch of arrays; 32 by default.
        steps: batches, a fraction rounded up; by default a whole pass. Needed for iterators.
        verbose: as in ``fit``.
        callbacks: Keras callbacks.
        workers: as in ``fit``.
        processes: as in ``fit``.
        max_queue_size: as in ``fit``.
        timeout_s: as in ``fit``.

    Returns:
        Array of shape ``(rows, ...)``, or the model's structure of such.
    """
    backend = load_backend()
    backend.require_model(model, "predict")
    if _is_array(source) or isinstance(source, dict) or (isinstance(source, list) and source and all(map(_is_array, source))):
        source = (source,)
    plan = _run_plan(backend, model, source, (batch_size, steps, callbacks, verbose),
                     (workers, processes, max_queue_size), timeout_s)
    with dump_on_signal():
        return loop.predict(plan)


def fit_generator(
    model: Any, generator: Any, steps_per_epoch: Any = None, epochs: int = 1, verbose: Any = 1, callbacks: Any = None,
    validation_data: Any = None, validation_steps: Any = None, class_weight: Any = None, max_queue_size: int | None = None,
    workers: int | str | None = None, use_multiprocessing: bool | None = None, shuffle: bool = True, initial_epoch: int = 0, *,
    validation_freq: Any = 1, seed: int | None = None, timeout_s: float | None = None,
) -> Any:
    """Train a Keras model from a generator or a Sequence, as Keras 2's method of this name did; see ``fit``."""
    return fit(
        model, generator, steps_per_epoch=steps_per_epoch, epochs=epochs, verbose=verbose, callbacks=callbacks,
        validation_data=validation_data, validation_steps=validation_steps, class_weight=class_weight,
        max_queue_size=max_queue_size, workers=workers, processes=_flag(use_multiprocessing), shuffle=shuffle,
        initial_epoch=initial_epoch, validation_freq=validation_freq, seed=seed, timeout_s=timeout_s)


def evaluate_generator(
    model: Any, generator: Any, steps: Any = None, callbacks: Any = None, max_queue_size: int | None = None,
    workers: int | str | None = None, use_multiprocessing: bool | None = None, verbose: Any = 0, *, return_dict: bool = False,
    timeout_s: float | None = None,
) -> Any:
    """Loss and metrics over a generator or a Sequence, as Keras 2's method of this name gave them; see ``evaluate``."""
    return evaluate(
        model, generator, steps=steps, callbacks=callbacks, max_queue_size=max_queue_size, workers=workers,
        processes=_flag(use_multiprocessing), verbose=verbose, return_dict=return_dict, timeout_s=timeout_s)


def predict_generator(
    model: Any, generator: Any, steps: Any = None, callbacks: Any = None, max_queue_size: int | None = None,
    workers: int | str | None = None, use_multiprocessing: bool | None = None, verbose: Any = 0, *, timeout_s: float | None = None,
) -> Any:
    """Outputs for every batch of a generator or a Sequence, as Keras 2's method of this name gave them; see ``predict``."""
    return predict(
        model, generator, steps=steps, callbacks=callbacks, max_queue_size=max_queue_size, workers=workers,
        processes=_flag(use_multiprocessing), verbose=verbose, timeout_s=timeout_s)


def _run_plan(
    backend: Any, model: Any, source: Any, call: tuple[Any, Any, Any, Any], crew: tuple[Any, Any, Any], timeout_s: float | None
) -> RunPlan:
    """The plan of evaluate or predict; ``call`` holds batch_size, steps, callbacks and verbose, ``crew`` what was said of workers."""
    batch_size, steps, callbacks, verbose = call
    count = _steps("steps", steps)
    rows = DEFAULT_BATCH_SIZE if batch_size is None else whole_number("batch_size", batch_size, 1)
    opened, is_arrays = _open(source, rows, False, 0)
    feed = Feed(opened, **_crew(opened, is_arrays, *crew), seed=0, timeout_s=timeout_s)
    _refuse_endless(feed, count, "steps")
    verbosity = _verbosity(verbose)
    return RunPlan(
        backend=backend, model=model, feed=feed, steps=count, callbacks=callbacks, reporter=make_reporter(verbosity), verbose=verbosity,
        is_arrays=is_arrays)


def _open(source: Any, batch_size: int, shuffle: bool, seed: int | None) -> tuple[Any, bool]:
    """The source opened, and whether it is arrays."""
    if isinstance(source, tuple) and 1 <= len(source) <= 3 and all(map(_may_be_part, source)):
        options = check_options(shuffle=shuffle, seed=draw_seed() if seed is None else seed)
        return ArraySource(source, batch_size, shuffle=options.shuffle, seed=options.seed), True
    return open_source(source), False


def _is_array(value: Any) -> bool:
    return getattr(value, "ndim", 0) > 0 and hasattr(value, "__array__")


def _may_be_part(part: Any) -> bool:
    """Whether something can be the inputs, targets or weights of a whole data set."""
    if isinstance(part, dict):
        return all(map(_may_be_part, part.values()))
    return part is None or _is_array(part) or isinstance(part, list | tuple)


def _crew(source: Source, is_arrays: bool, *given: Any) -> dict[str, Any]:
    """What a feed is told of workers, processes and its queue: what the call gives, else what the source says."""
    names = ("workers", "processes", "max_queue_size")
    said = (0, False, 10) if is_arrays else _said_by(source.original)  # cutting rows out of arrays is not worth a thread
    crew = {name: default if own is None else own for name, own, default in zip(names, given, said, strict=True)}
    if is_arrays and isinstance(crew["workers"], str):
        check_options(workers=crew["workers"], seed=0)
        crew["workers"] = 0
    return crew


def _said_by(original: Any) -> tuple[Any, Any, Any]:
    """What a ``keras.utils.PyDataset`` was made with, else the defaults, which are the same."""
    if not is_py_dataset(original):
        return 1, False, 10
    with warnings.catch_warnings():  # Keras warns where a class does not call ``super().__init__()``, which it need not here
        warnings.simplefilter("ignore")
        return original.workers, original.use_multiprocessing, original.max_queue_size


def _flag(use_multiprocessing: Any) -> bool | None:
    return None if use_multiprocessing is None else flag("use_multiprocessing", use_multiprocessing)


def _steps(name: str, value: Any) -> int | None:
    return None if value is None else whole_number(name, value, 1, round_up=True)


def _refuse_endless(feed: Feed, steps: int | None, name: str) -> None:
    if steps is None and feed.kind == "stream":
        raise SourceError(
            f"an iterator does not say how many batches it has: {name} is needed", got=f"{name}=None",
            expected="a number of batches", where=feed.source.label,
            remedy=f"Pass {name}, or pass the generator function itself if it ends after each pass.")


def _validation(data: Any, steps: Any, batch_size: Any, freq: Any) -> Validation | None:
    """The plan of validation, every part of it checked."""
    count = _steps("validation_steps", steps)
    wants = epochs_wanted(_frequency(freq))
    rows = None if batch_size is None else whole_number("validation_batch_size", batch_size, 1)
    if data is None:
        return None
    if isinstance(data, tuple) or (isinstance(data, list) and any(_is_array(part) for part in data)):
        parts = _validation_arrays(tuple(data)).parts
        return Validation(lambda size: ArraySource(parts, rows or size), count, wants, is_arrays=True)
    feed = Feed(open_source(data), workers=0, seed=0)
    _refuse_endless(feed, count, "validation_steps")
    return Validation(lambda size: open_source(data), count, wants)


def _validation_arrays(parts: tuple[Any, ...]) -> ArraySource:
    if len(parts) not in (2, 3) or not all(map(_may_be_part, parts)):
        raise SourceError(
            "validation_data has the wrong form", got=f"a tuple of {len(parts)}", expected="(x, y) or (x, y, sample_weights)",
            remedy="Pass arrays (x, y), or a source of batches.")
    return ArraySource(parts, DEFAULT_BATCH_SIZE)


def _frequency(freq: Any) -> Any:
    if isinstance(freq, list | tuple | set | frozenset) and freq:
        return [whole_number("validation_freq", epoch, 1) for epoch in freq]
    return whole_number("validation_freq", freq, 1)


def _verbosity(verbose: Any) -> int:
    if verbose == "auto" or verbose is True:
        return 1
    if verbose in (0, 1, 2) or verbose is None:
        return int(verbose or 0)
    kind = OptionTypeError if isinstance(verbose, str) else OptionError
    raise kind("verbose is none of its values", got=repr(verbose), expected="0, 1 or 2", remedy="Pass verbose=0, 1 or 2.")
