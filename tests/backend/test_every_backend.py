"""Runs the tests of the loop and the backends on every other backend that is installed, each in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
PLACES = ("backend", "loop", "numbers")
LIMIT_S = 900


@pytest.mark.slow
@pytest.mark.skipif("STOKER_INNER_TESTS" in os.environ, reason="this is the inner run")
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_the_loop_keeps_its_promises_on_every_backend(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    if os.environ.get("KERAS_BACKEND", "jax") == backend:
        pytest.skip("that is the backend of this very run")
    environment = {**os.environ, "KERAS_BACKEND": backend, "STOKER_INNER_TESTS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    places = [str(TESTS / place) for place in PLACES if (TESTS / place).is_dir()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *places], env=environment, capture_output=True,
        text=True, timeout=LIMIT_S, cwd=TESTS.parent, check=False)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert " passed" in done.stdout
