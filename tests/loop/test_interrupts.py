"""Ctrl-C and exceptions at any place: the model keeps its latest weights, nothing is left running, the caller hears of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stoker.backend.interrupt import InterruptGuard

SCRIPT = Path(__file__).with_name("interrupted.py")
PLACES = [("fit", 0), ("fit", 50), ("fit", 51), ("validation", 0), ("validation", 9), ("evaluate", 0), ("evaluate", 50),
          ("predict", 0), ("predict", 50)]


WITHOUT_WORKERS = [("fit", 51), ("evaluate", 51)]


@pytest.fixture(scope="module", params=["sigint", "exception"])
def found(request):
    """How it was done, and what was found by phase, batch and workers; all of them in one process that goes on after each."""
    cases = [(*place, 1) for place in PLACES] + [(*place, 0) for place in WITHOUT_WORKERS]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), request.param, *(":".join(map(str, case)) for case in cases)], capture_output=True, text=True,
        timeout=240, start_new_session=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return request.param, dict(zip(cases, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize(("phase", "batch"), PLACES)
def test_the_model_keeps_its_latest_weights(found, phase, batch):
    how, cases = found
    case = cases[phase, batch, 1]
    assert case["error"] == {"sigint": "KeyboardInterrupt", "exception": "Trouble"}[how]
    assert case["works"] and case["handler"] and case["threads"] == ["MainThread"]
    assert case["after"] == case["weight"] + 3
    if phase == "fit" and how == "exception":
        assert case["weight"] == 20 + batch
    if phase == "fit" and how == "sigint":
        assert 20 <= case["weight"] <= 20 + batch + 1
    if phase == "validation":
        assert case["weight"] == 30 and case["steps"] == 10 and case["epochs"] == []
    if phase in ("evaluate", "predict"):
        assert case["weight"] == 20


@pytest.mark.parametrize(("phase", "batch"), WITHOUT_WORKERS)
def test_without_workers_the_call_ends_at_that_very_batch(found, phase, batch):
    case = found[1][phase, batch, 0]
    assert case["works"] and case["weight"] == (20 + batch if phase == "fit" else 20)


def test_ctrl_c_waits_for_the_end_of_a_step_and_is_not_lost():
    with pytest.raises(KeyboardInterrupt), InterruptGuard() as guard:
        guard.busy = True
        signal.raise_signal(signal.SIGINT)
        assert guard.pending
        guard.busy = False
        guard.strike()
    assert not guard.pending


def test_a_second_ctrl_c_is_passed_on_at_once():
    with InterruptGuard() as guard:
        guard.busy = True
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_callers_own_handler_decides_what_ctrl_c_does():
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with InterruptGuard() as guard:
            guard.busy = True
            signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT] and signal.getsignal(signal.SIGINT) is not guard._on_signal
    finally:
        signal.signal(signal.SIGINT, before)


def test_every_place_of_a_callback_may_raise_and_weights_stay():
    import keras
    import models

    for event in ("on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_test_begin", "on_test_batch_end",
                  "on_test_end", "on_epoch_end"):
        def fail(self, *arguments):
            raise KeyboardInterrupt

        model = models.small_model()
        with pytest.raises(KeyboardInterrupt):
            stoker_fit(model, type("Fail", (keras.callbacks.Callback,), {event: fail})())
        assert np.isfinite(model.get_weights()[0]).all() and model.predict(models.batch()[0], verbose=0).shape == (4, 1)


def stoker_fit(model, callback):
    import models

    import stoker

    return stoker.fit(model, models.endless(), steps_per_epoch=3, verbose=0, callbacks=[callback], validation_data=models.Numbered(2))
