"""Names of metrics as Keras 1 and 2 logged them: ``acc`` beside ``accuracy``, and functions of the script's own by their own name.

Rules: no name is taken away; an alias stands beside the name that Keras 3 gives, in the logs of epochs and, where a callback listens to
batches, of batches.
"""

from __future__ import annotations

from collections.abc import Iterable
from inspect import isfunction
from typing import Any

import keras

from stoker.compat.positions import through_tensorflow
from stoker.compat.restored import fmeasure, precision, recall

PAIRS = (
    ("accuracy", "acc"), ("mean_squared_error", "mse"), ("mean_absolute_error", "mae"), ("mean_absolute_percentage_error", "mape"),
    ("mean_squared_logarithmic_error", "msle"),
)
"""Names that stood for each other: Keras 1 and 2.2 logged a metric by one, later versions as ``compile`` spelled it."""

KEPT = ("binary", "categorical", "top_k", "sparse", "mean")
"""What stands before ``accuracy`` in metrics of Keras's own that had no short name."""


OLD: dict[str, Any] = {
    **dict.fromkeys(("cosine", "cosine_proximity"), keras.losses.cosine_similarity), "logcosh": keras.losses.log_cosh,
    **dict.fromkeys(("kld", "kullback_leibler_divergence"), keras.losses.kl_divergence),
    "precision": precision, "recall": recall, "fmeasure": fmeasure,
}
"""Names of metrics that Keras 3 does not know, or knows for others: those of Keras 1 are means over batches."""


def alias(name: str) -> str | None:
    """The other name of a metric that had two; None for any other metric."""
    for one, other in (*PAIRS, *((short, long) for long, short in PAIRS)):
        if name == one or name.endswith(f"_{one}"):
            before = name.removesuffix(one)
            return None if before.rstrip("_").endswith(KEPT) else before + other
    return None


def add_aliases(logs: Any) -> None:
    """Put the other names into logs."""
    for name in list(logs or ()):
        other = alias(name)
        if other is not None and other not in logs:
            logs[other] = logs[name]
    if logs and "learning_rate" in logs:
        logs.setdefault("lr", logs["learning_rate"])


class OldNames(keras.callbacks.Callback):
    """The callback that comes first and adds old names to the logs that the others see."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add old names."""
        add_aliases(logs)


class OldBatchNames(OldNames):
    """The same for batches; reading logs at every batch costs time, so it is used only where somebody listens."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Add old names."""
        add_aliases(logs)


def with_old_names(callbacks: Any) -> list[Any]:
    """A call's callbacks, with the one that adds old names before them."""
    mine = list(_flat(callbacks))
    listens = any(_overrides(callback, hook) for callback in mine for hook in ("on_batch_end", "on_train_batch_end"))
    return [OldBatchNames() if listens else OldNames(), *mine]


def _flat(callbacks: Any) -> Iterable[Any]:
    if callbacks is None:
        return
    inner = getattr(callbacks, "callbacks", callbacks)
    for callback in inner if isinstance(inner, list | tuple) else [inner]:
        if isinstance(callback, list | tuple):
            yield from _flat(callback)
        else:
            yield callback


def _overrides(callback: Any, hook: str) -> bool:
    if isinstance(callback, keras.callbacks.LambdaCallback) and hook in vars(callback):
        return True
    mine = getattr(type(callback), hook, None)
    if type(callback).__module__.startswith(("keras.", "stoker.")):
        return False
    return mine is not None and mine is not getattr(keras.callbacks.Callback, hook)


def old_metrics(metrics: Any, outputs: int) -> Any:
    """``metrics`` of ``compile`` as Keras 3 takes them.

    Args:
        metrics: None, a list, or a dict by output.
        outputs: how many outputs the model has; 0 where that is not known.
    """
    if metrics is None or isinstance(metrics, str) or callable(metrics):
        metrics = [] if metrics is None else [metrics]
    if isinstance(metrics, dict):
        return {output: old_metrics(own, 1) if isinstance(own, list | tuple) else _named(own) for output, own in metrics.items()}
    made = [[_named(one) for one in part] if isinstance(part, list | tuple) else _named(part) for part in metrics]
    if outputs > 1 and made and not any(isinstance(part, list) for part in made):
        return [list(made) for _ in range(outputs)]  # Keras 2 gave a flat list to every output
    return made


def _named(metric: Any) -> Any:
    """A function of the script's own, marked so that Keras takes its very name and not a snake-cased one; an old name's function."""
    if isinstance(metric, str) and metric in OLD and not (through_tensorflow() or keras.saving.get_registered_object(metric)):
        return keras.metrics.MeanMetricWrapper(OLD[metric], name=metric)
    if isfunction(metric) and not metric.__module__.startswith("keras."):
        vars(metric).setdefault("name", metric.__name__)
    return metric


def label(metric: Any) -> str:
    """The name of a metric as ``compile`` was given it."""
    return metric if isinstance(metric, str) else str(getattr(metric, "name", None) or getattr(metric, "__name__", metric))


def binary_accuracies(metrics: Any, losses: Any, outputs: list[str]) -> Any:
    """Metrics with ``accuracy`` of outputs whose loss is binary crossentropy taken value by value, as Keras 2 did.

    Keras 3 takes the largest value of an output with two values or more for its class, whatever the loss.

    Args:
        metrics: as ``old_metrics`` gives them.
        losses: the losses of ``compile``.
        outputs: the names of the model's outputs; empty where they are not known.
    """
    if isinstance(metrics, dict):
        return {name: _as_binary(own, _is_binary(losses.get(name) if isinstance(losses, dict) else losses))
                for name, own in metrics.items()}
    if not isinstance(metrics, list):
        return metrics
    if len(outputs) < 2:
        only = next(iter(losses.values()), None) if isinstance(losses, dict) else losses
        return _as_binary(metrics, _is_binary(only[0] if isinstance(only, list | tuple) and only else only))
    own_losses = ([losses.get(name) for name in outputs] if isinstance(losses, dict)
                  else losses if isinstance(losses, list | tuple) else [losses] * len(outputs))
    return [_as_binary(own, _is_binary(loss)) for own, loss in zip(metrics, own_losses, strict=False)]


def _is_binary(loss: Any) -> bool:
    return "binary_crossentropy" in (loss, getattr(loss, "__name__", None), getattr(loss, "name", None))


def _as_binary(metrics: Any, is_binary: bool) -> Any:
    if not is_binary:
        return metrics
    if isinstance(metrics, list | tuple):
        return [_as_binary(one, True) for one in metrics]
    return keras.metrics.BinaryAccuracy(name=metrics) if metrics in ("accuracy", "acc") else metrics
