"""Runs the tests of the loop and the backends on every other backend that is installed, each in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
BACKENDS = ("jax", "torch", "tensorflow")
PLACES = ("backend", "loop", "numbers")
LIMIT_S = 900


OWN = os.environ.get("KERAS_BACKEND", "jax")


def start(backend, out):
    environment = {**os.environ, "KERAS_BACKEND": backend, "STOKER_INNER_TESTS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    places = [str(TESTS / place) for place in PLACES]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *places], env=environment, stdin=subprocess.DEVNULL,
        stdout=out, stderr=subprocess.STDOUT, cwd=TESTS.parent)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The exit status and the output of each other backend; they run side by side, because much of their time is waiting."""
    folder, started = tmp_path_factory.mktemp("backends"), {}
    for backend in BACKENDS:
        if backend != OWN and importlib.util.find_spec(backend):
            with (folder / backend).open("w") as out:
                started[backend] = start(backend, out)
    try:
        yield {backend: (process.wait(LIMIT_S), (folder / backend).read_text()) for backend, process in started.items()}
    finally:
        for process in started.values():
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.skipif("STOKER_INNER_TESTS" in os.environ, reason="this is the inner run")
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_loop_keeps_its_promises_on_every_backend(backend, request):
    if backend == OWN:
        pytest.skip("that is the backend of this very run")
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    status, text = request.getfixturevalue("runs")[backend]
    assert status == 0, text[-8000:]
    assert " passed" in text
