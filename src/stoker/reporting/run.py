"""What a call was: its arguments, the versions it ran with, the machine.

Rules: reads, never fails: what is not known is left out.
"""

from __future__ import annotations

import platform
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from stoker.history import RunRecord
from stoker.machine import usable_cores

LIBRARIES = ("stoker", "keras", "numpy")


def run_record(model: Any, source: str, backend: str, arguments: dict[str, Any]) -> RunRecord:
    """Describe a call that is about to begin.

    Args:
        model: the Keras model.
        source: what the batches come from.
        backend: the name of Keras's backend.
        arguments: of the call, as they were understood.
    """
    found = {library: _version(library) for library in (*LIBRARIES, backend)}
    versions = {"Python": platform.python_version(), **{library: known for library, known in found.items() if known}}
    cores = usable_cores()
    return RunRecord(
        time.strftime("%Y-%m-%d %H:%M:%S"), str(getattr(model, "name", type(model).__name__)), source, arguments, versions,
        f"{platform.system()} {platform.machine()}, {cores} usable cores", cores)


@cache
def _version(library: str) -> str:
    """The version of a library that is installed; empty where that is not known."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
