"""Says what could not be kept: once for each topic, with the script's own file and line.

Rules: the place is the nearest frame outside stoker, Keras and what is under it; what is said is a warning, so that a script or a test
may filter it; what has been said is kept by the teller, of which an installation has one.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from stoker.errors import StokerWarning, is_of_stoker

INNER = ("keras", "torch", "tensorflow")
"""Packages whose frames stand between a script and stoker: Keras's layers are PyTorch's modules, or TensorFlow's."""


class CompatWarning(StokerWarning):
    """Something an old script asks for means something else now, or nothing."""


def script_place() -> tuple[str, int]:
    """File and line of the nearest frame that belongs neither to stoker, Keras or what is under it nor to Python's import system."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_back is not None and _is_inner(frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _is_inner(filename: str) -> bool:
    files = (getattr(sys.modules.get(name), "__file__", None) for name in INNER)
    return is_of_stoker(filename) or filename.startswith(("<frozen ", *(str(Path(file).parent) for file in files if isinstance(file, str))))


class Teller:
    """Tells each topic once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def has_told(self, topic: str) -> bool:
        """Whether a topic has been told."""
        return topic in self._told

    def tell(self, topic: str, text: str) -> None:
        """Warn of a topic unless that has been done.

        Args:
            topic: what it is about, such as ``multi_gpu_model``.
            text: what is so now, and what to write instead.
        """
        if self.has_told(topic):
            return
        self._told.add(topic)
        filename, line = script_place()
        warnings.warn_explicit(f"{topic}: {text}", CompatWarning, filename, line)
