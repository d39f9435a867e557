"""What callbacks of Keras 1 and 2 saw of a call: a ``model`` that they may set, ``validation_data``, and more in ``params``.

Rules: ``validation_data`` is a flat list of inputs, targets and weights where a call has arrays for validation, and None where it has a
generator, as in Keras 2.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from stoker.compat.names import with_old_names


def complete() -> None:
    """Let callbacks set their model, also those that never call the constructor of ``Callback``."""
    callback: Any = keras.callbacks.Callback
    there = callback.model
    callback._model = callback.params = callback.validation_data = None
    callback.model = property(there.fget, _set_model, doc=there.__doc__)


def _set_model(callback: Any, model: Any) -> None:
    callback._model = model


class OldParams(keras.callbacks.Callback):
    """The callback that comes first, and adds to ``params``, which all share.

    Args:
        samples: rows of an epoch; None where nobody knows.
        batch_size: rows of a batch; None where nobody knows.
    """

    def __init__(self, samples: int | None, batch_size: int | None) -> None:
        super().__init__()
        self._samples = samples
        self._batch_size = batch_size

    def set_params(self, params: Any) -> None:
        """Add Keras 1's and 2's names."""
        super().set_params(params)
        if isinstance(params, dict):
            params.setdefault("nb_epoch", params.get("epochs"))
            for name, value in (("samples", self._samples), ("nb_sample", self._samples), ("batch_size", self._batch_size)):
                if params.get(name) is None:
                    params[name] = value


def as_seen(callbacks: Any, validation: Any, samples: int | None = None, batch_size: int | None = None) -> list[Any]:
    """A call's callbacks, with those before them that add what they expect.

    Args:
        callbacks: what the script gave.
        validation: arrays for validation, or anything else.
        samples: rows of an epoch.
        batch_size: rows of a batch.
    """
    made = with_old_names(callbacks)
    held_out = flat_arrays(validation)
    for callback in made:
        is_ours = isinstance(getattr(callback, "validation_data", None), HeldOut)
        if isinstance(callback, keras.callbacks.Callback) and (held_out is not None or is_ours):
            callback.validation_data = held_out
    return [OldParams(samples, batch_size), *made]


class HeldOut(list):
    """The arrays for validation of a call, as its callbacks have them; not what a callback has set itself."""


def flat_arrays(validation: Any) -> HeldOut | None:
    """Inputs, targets and weights of validation in one list; None for what is no arrays."""
    if not isinstance(validation, list | tuple) or not 2 <= len(validation) <= 3:
        return None
    x, y = ([part] if hasattr(part, "shape") else keras.tree.flatten(part) for part in validation[:2])
    if not all(hasattr(part, "shape") for part in x + y):
        return None
    weights = validation[2] if len(validation) == 3 and validation[2] is not None else [np.ones(part.shape[0]) for part in y]
    return HeldOut([*x, *y, *keras.tree.flatten(weights)])
