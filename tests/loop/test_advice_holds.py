"""A training is starved, says how many workers it wants, gets them, and does not wait any more."""

from __future__ import annotations

import time

import keras
import numpy as np
import pytest

import stoker
from stoker.feed.advice import verdict

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
def test_the_advised_workers_remove_the_wait_of_a_training(processes):
    starved = train(workers=1, processes=processes).feed[-1]
    found = verdict(starved)
    assert starved.wait_share > 0.5 and found.bound == "input"
    fed = train(workers=found.advised_workers, processes=processes).feed[-1]
    assert fed.wait_share < 0.1 and verdict(fed).bound != "input"


@pytest.mark.slow
def test_auto_removes_the_wait_of_a_training_and_says_what_it_settled_on(capsys):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = stoker.fit(model, Slow(), epochs=4, verbose=2, callbacks=[Pause()], workers="auto")
    figures = history.feed[-1]
    assert figures.wait_share < 0.1 and figures.lane == "threads" and 4 <= figures.workers <= 10
    assert f"workers='auto' settled on workers={figures.workers}" in capsys.readouterr().out
