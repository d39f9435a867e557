"""Makes the modules and names of the table importable, and ``tensorflow.keras`` mean Keras on the backend at hand.

Rules: a module that Keras 3 has is completed, never replaced; a name of the table without a meaning can be imported and fails at its use;
a name that is in no table fails at the import, as ever.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import sys
import warnings
from collections.abc import Callable
from inspect import isfunction
from types import ModuleType
from typing import Any

import keras

from stoker.compat.gone import Gone, complete_lost
from stoker.compat.keras_names import GONE, LOST, MODULES, RENAMED, SHORT_MODULES
from stoker.compat.lost import Lost
from stoker.compat.restored import RESTORED

COPIES = (
    "tensorflow.compat.v1.keras", "tensorflow.contrib.keras", "tensorflow.contrib.keras.api.keras", "tensorflow.contrib.keras.python.keras",
    "tensorflow.python.keras._impl.keras",
)
"""Where TensorFlow 1 had Keras beside ``tensorflow.keras``."""

PRIVATE = ("keras.src", "keras._tf_keras")


def complete() -> None:
    """Make every module and name of the table."""
    _restore()
    for module, names in RENAMED.items():
        owner = importlib.import_module(module)
        for old, new in names.items():
            if not hasattr(owner, old) and hasattr(owner, new):
                setattr(owner, old, getattr(owner, new))
    for module, lost in LOST.items():
        place = sys.modules.get(module)
        for name, remedy in lost.items() if place is not None else ():
            if not hasattr(place, name):
                setattr(place, name, Lost(f"{module}.{name}", remedy))
    for name in sorted(MODULES):
        if name not in sys.modules:
            _register(name, _alias(name, MODULES[name]))
    for old, new in SHORT_MODULES.items():
        if old not in sys.modules:
            _register(old, importlib.import_module(new))
    _complete_gone()


def _restore() -> None:
    """Put small functions where their modules are looked up."""
    for module, names in RESTORED.items():
        owner = importlib.import_module(module)
        for name, value in names.items():
            if not hasattr(owner, name):
                setattr(owner, name, value)


def _complete_gone() -> None:
    sys.meta_path.append(Gone(GONE))
    with contextlib.suppress(ImportError, AttributeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        misc = importlib.import_module("scipy.misc")  # some versions of scipy have it, with nothing in it
        if not hasattr(misc, "imread"):
            complete_lost(misc, GONE["scipy.misc"])


def complete_tensorflow(is_installed: bool) -> None:
    """Let every public module of Keras be imported under ``tensorflow.keras`` too.

    Args:
        is_installed: TensorFlow itself is there; its own ``tensorflow.python.keras`` is then left alone until it has been imported.
    """
    own = () if is_installed and "tensorflow" not in sys.modules else ("tensorflow.python.keras",)
    for name in [name for name in sys.modules if name == "keras" or name.startswith("keras.")]:
        if name.startswith(PRIVATE):
            continue
        for prefix in ("tensorflow.keras", *COPIES, *own):
            sys.modules[prefix + name.removeprefix("keras")] = sys.modules[name]


class _Called(ModuleType):
    """A module that is a function as well, as ``keras.layers.merge`` was the one in Keras 1 and the other in Keras 2.

    Args:
        name: the name of the module.
        text: what it is for.
        function: what a call of it calls.
    """

    def __init__(self, name: str, text: str, function: Callable[..., Any]) -> None:
        super().__init__(name, text)
        vars(self)["_stoker_function"] = function

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return vars(self)["_stoker_function"](*arguments, **options)


def _alias(name: str, sources: tuple[str, ...]) -> ModuleType:
    """A module whose names are looked up in others."""
    owners = [keras if source == "keras" else importlib.import_module(source) for source in sources]
    lost = LOST.get(name, {})

    def find(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        for owner in owners:
            if hasattr(owner, attribute):
                return getattr(owner, attribute)
        if attribute in lost:
            return Lost(f"{name}.{attribute}", lost[attribute])
        raise AttributeError(f"module {name!r} has no attribute {attribute!r}")

    parent, _, last = name.rpartition(".")
    function = getattr(sys.modules.get(parent), last, None)
    text = f"Names that are now in {', '.join(sources)}."
    module = _Called(name, text, function) if isfunction(function) else ModuleType(name, text)
    module.__getattr__ = find  # type: ignore[method-assign]
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__path__ = []
    vars(module)["__all__"] = sorted({each for owner in owners for each in vars(owner) if not each.startswith("_")})
    return module


def _register(name: str, module: ModuleType) -> None:
    """Make a module importable, and an attribute of its parent, in the place of the function that it is as well."""
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent and (isinstance(module, _Called) or not hasattr(sys.modules[parent], last)):
        setattr(sys.modules[parent], last, module)
