"""Methods of models that Keras 3 dropped: ``predict_classes``, ``predict_proba``, flat ``metrics_names``, ``to_yaml``.

Rules: names of metrics before the first batch are those that the logs will have, as far as ``compile`` tells them.
"""

from __future__ import annotations

from typing import Any

import keras

from stoker.backend.keras_common import in_order, metric_order
from stoker.compat.lost import fail


def complete() -> None:
    """Add the methods."""
    model = keras.Model
    model.predict_proba = predict_proba
    model.predict_classes = predict_classes
    model.to_yaml = to_yaml
    model.reset_states = reset_states
    model.metrics_names = property(metrics_names)
    model._flatten_metrics_in_order = _flatten_metrics_in_order
    for name in ("model_from_yaml",):
        setattr(keras.models, name, _no_yaml)


def predict_proba(self: Any, x: Any, batch_size: int = 32, verbose: Any = 0) -> Any:
    """What ``predict`` gives."""
    return self.predict(x, batch_size=batch_size, verbose=verbose)


def predict_classes(self: Any, x: Any, batch_size: int = 32, verbose: Any = 0) -> Any:
    """The class of each row: the largest output, or for one output whether it is over a half."""
    proba = self.predict(x, batch_size=batch_size, verbose=verbose)
    return proba.argmax(axis=-1) if proba.shape[-1] > 1 else (proba > 0.5).astype("int32")


def reset_states(self: Any) -> None:
    """Forget the states of stateful recurrent layers."""
    for layer in self._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional) and layer.stateful:
            layer.reset_state()


def to_yaml(self: Any, **options: Any) -> str:
    """Raise: Keras 3 does not write YAML."""
    fail("Model.to_yaml", "Use model.to_json(), or model.save('model.keras').")


def _no_yaml(*arguments: Any, **options: Any) -> Any:
    fail("keras.models.model_from_yaml", "Use keras.models.model_from_json with a model saved by to_json().")


def metrics_names(self: Any) -> list[str]:
    """``loss``, the losses of outputs, and the names of the metrics, flat: in the order in which ``evaluate`` returns their values."""
    measured = getattr(self, "_compile_metrics", None)
    loss = getattr(self, "_compile_loss", None)
    if all(part is None or part.built for part in (measured, loss)):
        names, first = list(self.get_metrics_result()), metric_order(self)
        return sorted(names, key=lambda name: first.index(name) if name in first else len(first)) or ["loss"]  # others as declared
    return _declared_names(self)


def _declared_names(model: Any) -> list[str]:
    """The names as far as ``compile`` tells them."""
    declared, outputs = vars(model).get("_stoker_metrics"), list(getattr(model, "output_names", None) or ())
    if len(outputs) < 2:
        flat = list(declared.values()) if isinstance(declared, dict) else declared or []
        return ["loss", *keras.tree.flatten(flat)]
    loss = model.loss
    parts = loss if isinstance(loss, list) else [loss.get(output) if isinstance(loss, dict) else loss for output in outputs]
    losses = [f"{output}_loss" for output, own in zip(outputs, parts, strict=False) if own is not None]
    metrics = [declared.get(output) for output in outputs] if isinstance(declared, dict) else declared or []
    return ["loss", *(losses if len(losses) > 1 else ()), *(
        f"{output}_{one}" for output, own in zip(outputs, metrics, strict=False)
        for one in (own if isinstance(own, list) else [own]) if one is not None)]


def in_old_order(model: Any, logs: dict[str, Any]) -> list[Any]:
    """Values of logs in the order of ``metrics_names``, others after."""
    return list(in_order(logs, metrics_names(model)).values())


def _flatten_metrics_in_order(self: Any, logs: dict[str, Any]) -> Any:
    """What ``train_on_batch`` and ``test_on_batch`` return: the value alone where there is one."""
    values = in_old_order(self, logs)
    return values[0] if len(values) == 1 else values
