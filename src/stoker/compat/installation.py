"""Puts everything in place, once.

Rules: the order is that of the dependencies: Keras, its names, then the modules that look names up; what an installation has told it keeps
in its teller; installing again does nothing.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from stoker.backend.choose import load_backend
from stoker.compat.tell import Teller

ORDER = (
    "numpy_names", "optimizers", "identifiers", "hard_sigmoids", "old_regularizers", "layers", "own_layers", "attributes", "weights",
    "graph_losses", "merge", "callbacks", "seen", "checkpoints", "loading", "compiling", "targets", "calls", "models", "preprocessing",
    "keras_utils", "tensorflow1", "torch_tensors",
)
"""Parts that stand for themselves, in the order in which they are put in place."""

LAST = ("loose", "kfunctions", "modules")
"""Parts that need one another, or all that stand before them."""


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
    importlib.import_module("stoker.keras")  # gives models the generator calls
    parts = {name: importlib.import_module(f"stoker.compat.{name}") for name in (*ORDER, *LAST)}
    for name in ORDER:
        complete = parts[name].complete
        complete(*([teller] if inspect.signature(complete).parameters else []))
    variables = parts["loose"].Loose()
    parts["loose"].complete(variables)
    parts["kfunctions"].complete(teller, variables)
    parts["modules"].complete()
    parts["modules"].complete_tensorflow(has_tensorflow)
