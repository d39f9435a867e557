"""Puts everything in place, once.

Rules: the order is that of the dependencies: Keras, its names, then the modules that look names up; what an installation has told it keeps
in its teller; installing again does nothing.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from stoker.backend.choose import load_backend
from stoker.compat.tell import Teller


class Installation(importlib.abc.MetaPathFinder):
    """The sign that old names are in place; it sits among Python's finders and finds nothing itself."""

    def __init__(self) -> None:
        self.teller = Teller()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Nothing."""
        return None


def install() -> None:
    """Give Keras 3 the names, arguments and meanings that scripts for Keras 1 and 2 expect; call it before they import Keras.

    It can be called from a script or a notebook, as its first line, and more than once.

    Raises:
        BackendError: no Keras backend is installed.
    """
    if any(isinstance(finder, Installation) for finder in sys.meta_path):
        return
    made = Installation()
    load_backend()
    has_tensorflow = importlib.util.find_spec("tensorflow") is not None
    _complete(made.teller, has_tensorflow)
    sys.meta_path.append(made)


def _complete(teller: Teller, has_tensorflow: bool) -> None:
    import keras

    import stoker.keras  # noqa: F401  gives models the generator calls
    from stoker.compat import (
        attributes,
        callbacks,
        calls,
        checkpoints,
        compiling,
        graph_losses,
        identifiers,
        keras_utils,
        kfunctions,
        layers,
        loading,
        loose,
        merge,
        models,
        modules,
        numpy_names,
        optimizers,
        own_layers,
        preprocessing,
        seen,
        tensorflow1,
        torch_tensors,
    )

    numpy_names.complete()
    optimizers.complete(teller)
    identifiers.complete()
    layers.complete(teller)
    own_layers.complete()
    attributes.complete(teller)
    graph_losses.complete()
    merge.complete()
    callbacks.complete(teller)
    seen.complete()
    checkpoints.complete(teller)
    loading.complete(teller)
    compiling.complete(teller)
    calls.complete(teller)
    models.complete()
    preprocessing.complete()
    for name, value in keras_utils.functions(teller).items():
        setattr(keras.utils, name, value)
    tensorflow1.complete(teller)
    variables = loose.Loose()
    loose.complete(variables)
    torch_tensors.complete()
    kfunctions.complete(teller, variables)
    modules.complete()
    modules.complete_tensorflow(has_tensorflow)
