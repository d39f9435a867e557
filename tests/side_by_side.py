"""Runs pytest on several backends at once, each in a process of its own: much of their time is waiting."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
BACKENDS = "jax", "torch", "tensorflow"
LIMIT_S = 900


@contextmanager
def runs_of(backends, arguments, folder, **environment):
    """Exit status and output by backend, of those that are installed; what still runs in the end is killed."""
    command, started = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, arguments)], {}
    for backend in backends:
        if importlib.util.find_spec(backend):
            with (folder / backend).open("w") as out:
                started[backend] = subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                    env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **environment})
    try:
        yield {backend: (process.wait(LIMIT_S), (folder / backend).read_text()) for backend, process in started.items()}
    finally:
        for process in started.values():
            process.kill()
            process.wait()
