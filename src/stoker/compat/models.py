"""Methods of models that Keras 3 dropped: ``predict_classes``, ``predict_proba``, flat ``metrics_names``, ``to_yaml``.

Rules: names of metrics before the first batch are those that the logs will have, as far as ``compile`` tells them.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from stoker.compat.lost import fail


def complete() -> None:
    """Add the methods."""
    model = keras.Model
    model.predict_proba = predict_proba
    model.predict_classes = predict_classes
    model.to_yaml = to_yaml
    model.reset_states = reset_states
    model.metrics_names = property(metrics_names)
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
    """``loss`` and the names of the metrics, flat, in the order in which ``evaluate`` returns them."""
    names: list[str] = []
    for metric in self.metrics:
        within = getattr(metric, "metrics", None)
        names += [inner.name for inner in within] if isinstance(within, list) else [metric.name]
    declared = vars(self).get("_stoker_metrics")
    if len(names) > 1 or not declared:
        return [name for name in names if name != "compile_metrics"] or ["loss"]
    outputs = list(getattr(self, "output_names", ()))
    if len(outputs) < 2:
        flat = declared if isinstance(declared, list) else list(np.ravel(list(declared.values())))
        return ["loss", *keras.tree.flatten(flat)]
    parts = declared if isinstance(declared, list) else [declared.get(output) or [] for output in outputs]
    losses = [f"{output}_loss" for output in outputs]
    return ["loss", *losses, *(f"{output}_{one}" for output, own in zip(outputs, parts, strict=False)
                               for one in (own if isinstance(own, list) else [own]))]
