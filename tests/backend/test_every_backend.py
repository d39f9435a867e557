"""Runs the tests of the loop and the backends on every other backend that is installed, each in a process of its own."""

from __future__ import annotations

import importlib.util
import os

import pytest

from side_by_side import BACKENDS, ROOT, runs_of

PLACES = ("backend", "loop", "numbers")
OWN = os.environ.get("KERAS_BACKEND", "jax")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    others = [backend for backend in BACKENDS if backend != OWN]
    places = [ROOT / "tests" / place for place in PLACES]
    with runs_of(others, ["-x", *places], tmp_path_factory.mktemp("backends"), STOKER_INNER_TESTS="1") as found:
        yield found


@pytest.mark.slow
@pytest.mark.alone
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
