"""What a call was: its arguments, the versions it ran with, the machine.

Rules: reads, never fails: what is not known is left out.
"""

from __future__ import annotations

import platform
import time
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
    versions = {"Python": platform.python_version()}
    for library in (*LIBRARIES, backend):
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    machine = f"{platform.system()} {platform.machine()}, {usable_cores()} usable cores"
    return RunRecord(
        time.strftime("%Y-%m-%d %H:%M:%S"), str(getattr(model, "name", type(model).__name__)), source, arguments, versions, machine)
