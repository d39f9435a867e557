"""What Keras scripts used of TensorFlow 1: sessions, GPU options, seeds.

Rules: sessions and options do nothing and say so once; seeds are set; ``tf.keras`` is Keras on the backend at hand; where TensorFlow is
installed everything else is its own, where it is not, everything else is an error at its use.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from keras.src.utils import module_utils  # has no public name

from stoker.compat.check_table import CANNOT_OF_TENSORFLOW, SILENT
from stoker.compat.lost import Lost
from stoker.compat.tell import Teller

SWITCHES = ("disable_v2_behavior", "disable_eager_execution", "disable_v2_tensorshape", "disable_resource_variables")
"""What would take from Keras 3 what it stands on: these do nothing also where TensorFlow has them."""

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool", "string")


class Anything:
    """Takes every attribute, call and ``with``, and does nothing."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = Anything(f"{self._name}.{name}")
        object.__setattr__(self, name, made)
        return made

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *reason: Any) -> None:
        return None


def names(teller: Teller) -> dict[str, Any]:
    """What is put into the ``tensorflow`` module where it is missing."""
    def silent(name: str) -> Any:
        def make(*arguments: Any, **options: Any) -> Any:
            teller.tell(f"tf.{name}", "Keras 3 has no sessions and takes no GPU options; this does nothing. Remove the line.")
            return Anything(name)

        return make

    def set_random_seed(seed: int) -> None:
        import keras

        keras.utils.set_random_seed(seed)

    made: dict[str, Any] = {name: silent(name) for name in SILENT}
    made |= {"set_random_seed": set_random_seed, "logging": Anything("logging"), "ERROR": 40, "VERSION": "1.15.0"}
    lost = {name: Lost(f"tensorflow.{name}", remedy) for name, remedy in CANNOT_OF_TENSORFLOW.items()}
    return lost | made


def parts(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is put into modules within ``tensorflow`` where it is missing.

    Args:
        found: what ``names`` gives.
    """
    seed, nothing = found["set_random_seed"], found["Session"]

    def devices(*arguments: Any) -> list[Any]:
        return []

    config = {"list_physical_devices": devices, "list_logical_devices": devices, "set_visible_devices": nothing,
              "get_visible_devices": devices}
    return {
        "random": {"set_seed": seed, "set_random_seed": seed}, "test": {"is_gpu_available": lambda *a, **o: False,
                                                                        "gpu_device_name": str, "is_built_with_cuda": lambda: False},
        "config": config | {"run_functions_eagerly": nothing, "experimental_run_functions_eagerly": nothing},
        "config.experimental": config | {"set_memory_growth": nothing, "set_virtual_device_configuration": nothing,
                                         "VirtualDeviceConfiguration": nothing},
        "config.threading": {"set_intra_op_parallelism_threads": nothing, "set_inter_op_parallelism_threads": nothing},
        "config.optimizer": {"set_jit": nothing}, "python.client.device_lib": {"list_local_devices": devices},
    }


def complete(teller: Teller) -> None:
    """Make ``import tensorflow`` give a module in which old scripts find what they need."""
    import keras

    found = names(teller)
    if importlib.util.find_spec("tensorflow") is None:
        _let_keras_know()
        _stand_in(found, keras)
    elif "tensorflow" in sys.modules:
        fill(sys.modules["tensorflow"], found)
    else:
        sys.meta_path.insert(0, _WhenImported(found))
    keras.backend.tf = OfBackend(found)


class OfBackend:
    """``K.tf``: what scripts take of it without any TensorFlow, and TensorFlow itself for all else."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        there = sys.modules.get("tensorflow")
        if there is None and name in self._found and not isinstance(self._found[name], Lost):
            return self._found[name]
        return getattr(there or importlib.import_module("tensorflow"), name)


def _let_keras_know() -> None:
    """Keras asks once whether TensorFlow can be imported: before the stand-in is there."""
    for value in vars(module_utils).values():
        if isinstance(value, module_utils.LazyModule) and value.name.startswith("tensorflow"):
            value.available  # noqa: B018


def fill(module: ModuleType, found: dict[str, Any]) -> None:
    """Put what is missing into TensorFlow, and Keras in the place of its own."""
    import keras

    for name, value in found.items():
        if not hasattr(module, name):
            setattr(module, name, value)
    module.keras = keras  # type: ignore[attr-defined]
    for place, wanted in parts(found).items():
        owner: Any = module
        for part in place.split("."):
            owner = getattr(owner, part, None)
        for name, value in wanted.items():
            if owner is not None and not hasattr(owner, name):
                setattr(owner, name, value)
    v1 = getattr(getattr(module, "compat", None), "v1", None)
    if v1 is None:
        return
    sys.modules.setdefault("tensorflow.compat", module.compat)
    sys.modules["tensorflow.compat.v1"] = v1  # else an import of this name would make a second module
    for name, value in {**{name: found[name] for name in SWITCHES}, "keras": keras}.items():
        setattr(v1, name, value)
        vars(v1)[name] = value  # TensorFlow wraps its modules, and the wrapper keeps names of its own


class _WhenImported(importlib.abc.MetaPathFinder):
    """Fills TensorFlow once it has been imported."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found
        self._is_busy = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if name != "tensorflow" or self._is_busy:
            return None
        self._is_busy = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._is_busy = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Filling(spec.loader, self._found)
        return spec


class _Filling(importlib.abc.Loader):
    """Loads with another loader, then fills."""

    def __init__(self, inner: Any, found: dict[str, Any]) -> None:
        self._inner = inner
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        kept = {name: there for name, there in sys.modules.items() if name.startswith("tensorflow.keras")}
        for name in kept:
            del sys.modules[name]  # TensorFlow looks at these names while it is imported, and must find its own
        self._inner.exec_module(module)
        sys.modules.update(kept)
        fill(module, self._found)
        for name in kept:  # TensorFlow's own Keras 2 would not go together with Keras 3's models
            sys.modules[name.replace("tensorflow.keras", "tensorflow.python.keras", 1)] = kept[name]


def _stand_in(found: dict[str, Any], keras: Any) -> None:
    """Modules in the place of TensorFlow where that is not installed."""
    found = found | {name: name for name in DTYPES} | {"keras": keras}
    within: dict[str, dict[str, Any]] = {
        "": found | {"__version__": "1.15.0"}, "compat": {}, "compat.v1": found, "python": {}, "python.client": {}, **parts(found)}
    for name in sorted(within):
        full = f"tensorflow.{name}".rstrip(".")
        sys.modules[full] = _module(full, within[name] | {"__path__": []})
        parent, _, last = full.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, sys.modules[full])


def _module(name: str, found: dict[str, Any]) -> ModuleType:
    def lost(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return Lost(f"{name}.{attribute}", "TensorFlow is not installed: use keras.ops, or install it.")

    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(found)
    module.__getattr__ = lost  # type: ignore[method-assign]
    return module
