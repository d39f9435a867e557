"""What ``import stoker`` gives, and what it costs."""

from __future__ import annotations

import pkgutil
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


def test_a_public_name_that_is_a_modules_too_is_never_the_module():
    modules = {module.name for module in pkgutil.iter_modules(stoker.__path__)}
    assert modules & set(stoker.__all__) == {"rng"}, "others must be imported at once, as this one is"
    assert python("import stoker.rng; print(callable(stoker.rng))") == "True"


def test_what_is_not_there_is_an_error_that_says_so():
    with pytest.raises(AttributeError, match="module 'stoker' has no attribute 'fit_generators'"):
        stoker.fit_generators  # noqa: B018
    assert set(stoker.__all__) <= set(dir(stoker))


def test_a_worker_process_imports_only_the_side_of_workers():
    """The first batch waits for that."""
    found = python(
        "import sys, stoker.feed.child, stoker.feed.server; "
        "print([name for name in ('stoker.api', 'stoker.feed.feed', 'stoker.loop', 'stoker.reporting') if name in sys.modules])")
    assert found == "[]"


def test_importing_stoker_imports_no_framework():
    heavy = "keras", "jax", "torch", "tensorflow", "rich", "cloudpickle"
    heavy = python(
        "import sys, stoker; [getattr(stoker, name) for name in stoker.__all__]; "
        f"print([name for name in {heavy} if name in sys.modules])")
    assert heavy == "[]"


def test_importing_stoker_is_quick():
    """CPU time, against that of importing numpy in the same process: machines differ, and so does one machine from hour to hour."""
    measure = (
        "from time import process_time as now; a = now(); import numpy; b = now(); import stoker; "
        "[getattr(stoker, name) for name in stoker.__all__]; print((now() - b) / (b - a))")
    assert min(float(python(measure)) for _ in range(TRIES)) < IMPORT_LIMIT


@pytest.mark.slow
def test_importing_stoker_patches_nothing():
    assert python("import stoker, keras; print(hasattr(keras.Model, 'fit_generator'))") == "False"
    assert python("import stoker.keras, keras; print(hasattr(keras.Model, 'fit_generator'))") == "True"
