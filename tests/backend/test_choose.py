"""The backend is one that is installed, chosen before Keras is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from stoker.backend.choose import settle_choice
from stoker.errors import BackendError

pytestmark = pytest.mark.once


def settled(environ, installed, home=None):
    environ = {**environ, "KERAS_HOME": str(home or "/nowhere")}
    settle_choice(environ, lambda package: package in installed)
    return environ.get("KERAS_BACKEND")


def test_a_backend_that_is_named_and_installed_stays():
    assert settled({"KERAS_BACKEND": "torch"}, {"jax", "torch"}) == "torch"
    assert settled({}, {"jax", "tensorflow"}) is None


def test_one_that_is_not_installed_gives_way_to_one_that_is():
    assert settled({"KERAS_BACKEND": "tensorflow"}, {"torch"}) == "torch"
    assert settled({}, {"jax"}) == "jax"
    assert settled({"KERAS_BACKEND": "theano"}, {"torch"}) == "torch"


def test_keras_json_is_heeded(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "torch"}))
    assert settled({}, {"jax", "torch"}, tmp_path) is None
    assert settled({}, {"jax"}, tmp_path) == "jax"
    (tmp_path / "keras.json").write_text("not json")
    assert settled({}, {"jax"}, tmp_path) == "jax"


def test_without_any_the_error_names_the_command_that_installs_one():
    with pytest.raises(BackendError, match="pip install"):
        settled({}, set())


def test_a_backend_that_stoker_does_not_drive_is_left_to_keras():
    assert settled({"KERAS_BACKEND": "openvino"}, {"jax"}) == "openvino"


@pytest.mark.slow
def test_stoker_keras_runs_on_what_was_chosen_and_gives_models_their_methods():
    name = os.environ.get("KERAS_BACKEND", "jax")
    code = ("import sys, stoker; assert 'keras' not in sys.modules; import stoker.keras, keras; "
            "print(keras.backend.backend(), all(hasattr(keras.Model, f'{n}_generator') for n in ('fit', 'evaluate', 'predict')))")
    environment = {**os.environ, "KERAS_BACKEND": name, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment, check=True)
    assert done.stdout.split() == [name, "True"]
