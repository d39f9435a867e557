"""A training is starved, says how many workers it wants, gets them, and waits far less.

That it does not wait at all then is held without a clock, in ``tests/feed/test_simulated.py``.
"""

from __future__ import annotations

import time

import keras
import numpy as np
import pytest

import stoker
from stoker.feed.advice import verdict
from tries import in_one_of_five

pytestmark = pytest.mark.once

STEP_S, MAKE_S = 0.01, 0.04


class Slow(stoker.Sequence):
    """Waits for each batch, as for a disk."""

    def __len__(self):
        return 60

    def __getitem__(self, index):
        time.sleep(MAKE_S)
        x = np.full((4, 3), index, np.float32)
        return x, x[:, :1]


class Pause(keras.callbacks.Callback):
    """Makes each step as long as that of a large model."""

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(STEP_S)


def train(**options):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return stoker.fit(model, Slow(), epochs=2, verbose=0, callbacks=[Pause()], **options)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
@in_one_of_five
def test_the_advised_workers_remove_the_wait_of_a_training(processes):
    starved = train(workers=1, processes=processes).feed[-1]
    found = verdict(starved)
    assert starved.wait_share > 0.4 and found.bound == "input" and found.advised_workers >= 2
    fed = train(workers=found.advised_workers, processes=processes).feed[-1]
    assert fed.wait_share < 0.4 * starved.wait_share


@pytest.mark.slow
@in_one_of_five
def test_auto_removes_the_wait_of_a_training_and_says_what_it_settled_on(capsys):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = stoker.fit(model, Slow(), epochs=4, verbose=2, callbacks=[Pause()], workers="auto")
    figures = history.feed[-1]
    assert figures.wait_share < 0.4 and figures.lane == "threads" and figures.workers >= 2
    assert f"workers='auto' settled on workers={figures.workers}" in capsys.readouterr().out
