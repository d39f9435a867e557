"""What ``import stoker`` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import stoker

IMPORT_LIMIT = 2.0
"""Times numpy's import."""
TRIES = 7


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_everything_public_is_listed_and_there():
    assert sorted(stoker.__all__) == list(stoker.__all__)
    for name in stoker.__all__:
        assert getattr(stoker, name).__doc__, f"stoker.{name} says what it is for"


def test_importing_stoker_imports_no_framework():
    heavy = "keras", "jax", "torch", "tensorflow", "rich", "cloudpickle"
    heavy = python(f"import sys, stoker; print([name for name in {heavy} if name in sys.modules])")
    assert heavy == "[]"


def test_importing_stoker_is_quick():
    """CPU time, against that of importing numpy in the same process: machines differ, and so does one machine from hour to hour."""
    measure = "from time import process_time as now; a = now(); import numpy; b = now(); import stoker; print((now() - b) / (b - a))"
    assert min(float(python(measure)) for _ in range(TRIES)) < IMPORT_LIMIT


@pytest.mark.slow
def test_importing_stoker_patches_nothing():
    assert python("import stoker, keras; print(hasattr(keras.Model, 'fit_generator'))") == "False"
    assert python("import stoker.keras, keras; print(hasattr(keras.Model, 'fit_generator'))") == "True"
