"""Saves and loads weights and models under any name: ``.h5``, ``.hdf5``, or none at all.

What is written to a name that Keras 3 does not know has the layout that Keras 2 wrote, so that ``by_name=True`` works and old tools read
it; what is read is known by its content, not by its name.

Rules: the file has the very name that was asked for; a file is written beside it first and then put in its place.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras.src.legacy.saving import legacy_h5_format  # the layout of Keras 2 has no public name

from stoker.compat.loading import load_h5, tell_code
from stoker.compat.patching import wrap
from stoker.compat.tell import Teller

KNOWN = (".weights.h5", ".weights.json")


def complete(teller: Teller) -> None:
    """Let ``save``, ``save_weights``, ``load_weights`` and ``load_model`` take any name."""
    wrap(keras.Model, "save_weights", _save_weights)
    wrap(keras.Model, "load_weights", _load_weights)
    wrap(keras.Model, "save", _save)
    for module in (keras.models, keras.saving):
        wrap(module, "load_model", _load_model(teller))
        wrap(module, "save_model", _save)


def _save_weights(original: Callable[..., Any]) -> Callable[..., Any]:
    def save_weights(self: Any, filepath: Any, overwrite: bool = True, *others: Any, **options: Any) -> None:
        options.pop("save_format", None)
        path = Path(filepath)
        if path.name.endswith(KNOWN) or others or options:
            original(self, path, overwrite, *others, **options)
            return
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists and overwrite=False")
        import h5py

        part = path.with_name(f".{path.name}.part")
        with h5py.File(part, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, self)
        os.replace(part, path)

    return save_weights


def _load_weights(original: Callable[..., Any]) -> Callable[..., Any]:
    def load_weights(self: Any, filepath: Any, by_name: bool = False, skip_mismatch: bool = False, **options: Any) -> Any:
        path = Path(filepath)
        if by_name:
            options["by_name"] = True
        with _Readable(path, _weights_suffix(path)) as readable:
            return original(self, str(readable), skip_mismatch=skip_mismatch, **options)

    return load_weights


def _save(original: Callable[..., Any]) -> Callable[..., Any]:
    def save(model: Any, filepath: Any, overwrite: bool = True, include_optimizer: bool = True, **options: Any) -> None:
        path = Path(filepath)
        options.pop("save_format", None)
        if not include_optimizer:
            options["include_optimizer"] = False
        if path.suffix in (".keras", ".h5", ".hdf5"):
            original(model, path, overwrite, **options)
            return
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists and overwrite=False")
        part = path.with_name(f".{path.name}.part.h5")
        original(model, part, True, **options)
        os.replace(part, path)

    return save


def _load_model(teller: Teller) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def load_model(filepath: Any, custom_objects: Any = None, compile: bool = True, **options: Any) -> Any:
            path = Path(filepath)
            if path.is_file() and not _is_zip(path):
                return load_h5(path, custom_objects, compile, teller)
            if not path.exists():
                raise OSError(f"Unable to open file {str(path)!r}: there is no such file")
            if _is_zip(path):
                with zipfile.ZipFile(path) as archive:
                    options.setdefault("safe_mode", tell_code(archive.read("config.json").decode("utf-8"), teller))
            with _Readable(path, ".keras") as readable:
                return original(str(readable), custom_objects=custom_objects, compile=compile, **options)

        return load_model

    return make


def _is_zip(path: Path) -> bool:
    return path.is_file() and zipfile.is_zipfile(path)


def _weights_suffix(path: Path) -> str:
    """The ending under which Keras 3 reads a file of this content."""
    if _is_zip(path):
        return ".keras"
    if not path.is_file():
        return path.suffix
    import h5py

    with h5py.File(path, "r") as file:
        return ".h5" if "layer_names" in file.attrs or "model_weights" in file else ".weights.h5"


class _Readable:
    """A path to a file that ends as Keras wants it: the file itself, or a link to it for the time of a ``with`` block."""

    def __init__(self, path: Path, suffix: str) -> None:
        self._path = path
        self._suffix = suffix
        self._folder: str | None = None

    def __enter__(self) -> Path:
        name = self._path.name
        fits = name.endswith(self._suffix) and (self._suffix != ".h5" or not name.endswith(".weights.h5"))
        if fits or not self._path.is_file():
            return self._path
        self._folder = tempfile.mkdtemp(prefix="stoker-")
        link = Path(self._folder) / f"weights{self._suffix}".replace("weights.weights", "weights")
        try:
            link.symlink_to(self._path.resolve())
        except OSError:
            shutil.copyfile(self._path, link)
        return link if self._suffix != ".h5" else _named(link)

    def __exit__(self, *reason: Any) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _named(link: Path) -> Path:
    """Keras takes ``.weights.h5`` for its own layout: a name that does not end so."""
    return link.rename(link.with_name("saved.h5"))
