"""Finds a Keras backend that is installed, before Keras is imported.

``KERAS_BACKEND`` or keras.json may name one that is not there while another is; then that other one is used. If none is, the error
names the command that installs one.

Rules: decides nothing once Keras is imported; looks for packages without importing them.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path

from stoker.backend.protocol import Backend
from stoker.errors import BackendError

PACKAGES = {"jax": "jax", "torch": "torch", "tensorflow": "tensorflow"}
"""Keras's name of each backend that stoker drives, and the package it needs; in the order of preference."""

OF_KERAS_2 = ("theano", "cntk")
"""Backends that Keras had once, which an old keras.json may still name."""

INSTALL = 'pip install "stoker[jax]"'


def load_backend() -> Backend:
    """The backend that Keras runs on, chosen now if Keras has not been imported yet.

    Raises:
        BackendError: none is installed, or Keras runs on one that stoker does not drive.
    """
    if "keras" not in sys.modules:
        settle_choice(os.environ, _is_installed)
    keras = importlib.import_module("keras")
    name = keras.backend.backend()
    if name not in PACKAGES:
        raise BackendError(
            "Keras runs on a backend that stoker does not drive", got=name, expected=", ".join(PACKAGES),
            remedy="Set KERAS_BACKEND before Keras is imported.")
    made: Backend = importlib.import_module(f"stoker.backend.keras_{name}").make_backend()
    return made


def settle_choice(environ: MutableMapping[str, str], is_installed: Callable[[str], bool]) -> None:
    """Set ``KERAS_BACKEND`` to an installed backend unless the one that is configured can be used.

    Args:
        environ: the environment, which may be changed.
        is_installed: tells whether a package can be imported.

    Raises:
        BackendError: no backend is installed.
    """
    wanted = environ.get("KERAS_BACKEND") or _from_config(environ)
    if wanted and wanted not in OF_KERAS_2 and (wanted not in PACKAGES or is_installed(PACKAGES[wanted])):
        return
    for name, package in PACKAGES.items():
        if is_installed(package):
            environ["KERAS_BACKEND"] = name
            return
    raise BackendError(
        "no Keras backend is installed", got="none", expected=" or ".join(PACKAGES), remedy=f"Run: {INSTALL}")


def _from_config(environ: MutableMapping[str, str]) -> str:
    """The backend that keras.json names; TensorFlow, Keras's default, where there is no such file."""
    home = Path(environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        config = json.loads((home / "keras.json").read_text())
    except (OSError, ValueError):
        return "tensorflow"
    return str(config.get("backend", "tensorflow"))


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
