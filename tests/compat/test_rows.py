"""Every row of what old scripts need, on two backends: the rows_*.py files, each backend in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROWS = sorted(HERE.glob("rows_*.py"))


@pytest.fixture(scope="module")
def runs():
    """Both backends side by side."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, ROWS)]
    started = {
        backend: subprocess.Popen(
            command, cwd=HERE.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "KERAS_BACKEND": backend})
        for backend in ("jax", "torch")}
    yield {backend: (*process.communicate(timeout=300), process.returncode) for backend, process in started.items()}
    for process in started.values():
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_row_means_what_it_meant(backend, runs):
    pytest.importorskip(backend)
    text, _, status = runs[backend]
    assert status == 0, text[-8000:]
    assert " passed" in text
