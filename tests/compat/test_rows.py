"""Every row of what old scripts need, on every backend: the rows_*.py files, each backend in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BACKENDS = "jax", "torch", "tensorflow"
ROWS = sorted(HERE.glob("rows_*.py"))


@pytest.fixture(scope="module")
def runs():
    """The backends side by side."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, ROWS)]
    started = {
        backend: subprocess.Popen(
            command, cwd=HERE.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"})
        for backend in BACKENDS if importlib.util.find_spec(backend)}
    yield {backend: (*process.communicate(timeout=900), process.returncode) for backend, process in started.items()}
    for process in started.values():
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_row_means_what_it_meant(backend, runs):
    pytest.importorskip(backend)
    text, _, status = runs[backend]
    assert status == 0, text[-8000:]
    assert " passed" in text
