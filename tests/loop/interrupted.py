"""Run by the tests in a process group of its own: SIGINT or an exception at chosen places of chosen calls, one after the other.

    python interrupted.py <sigint|exception> <phase:batch:workers> ...

where a phase is fit, validation, evaluate or predict. Prints one JSON object a line: what reached the caller, what the weights count,
whether the model still works, and the threads left.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import stoker.keras  # noqa: F401

HOW = sys.argv[1]


class Trouble(Exception):
    """Raised by the source."""


class Source:
    """Batches of one row; at a chosen index something happens."""

    def __init__(self, length, trouble_at=None):
        self.length = length
        self.trouble_at = trouble_at

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index == self.trouble_at:
            if HOW == "exception":
                raise Trouble("here")
            os.killpg(os.getpgrp(), signal.SIGINT)
        return np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")


def case(phase, batch_number, workers):
    """Train cleanly, then run into trouble, then look at what is left."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(1.0), lambda y_true, y_pred: -y_pred)
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    model.fit_generator(Source(10), epochs=2, verbose=0)
    calls = {
        "fit": lambda: model.fit_generator(
            Source(400, batch_number), epochs=2, verbose=0, workers=workers, shuffle=False, callbacks=[count] * (batch_number % 2)),
        "validation": lambda: model.fit_generator(
            Source(10), epochs=2, verbose=0, workers=workers, callbacks=[count], validation_data=Source(400, batch_number)),
        "evaluate": lambda: model.evaluate_generator(Source(400, batch_number), workers=workers),
        "predict": lambda: model.predict_generator(Source(400, batch_number), workers=workers),
    }
    error, epochs = None, None
    try:
        calls[phase]()
    except BaseException as raised:
        error, epochs = type(raised).__name__, model.history.epoch
    weight = float(model.get_weights()[0][0, 0])
    works = model.predict_generator(Source(2)).tolist() == [[weight], [weight]]
    works = works and float(model.predict(np.ones((1, 1)), verbose=0)[0, 0]) == weight
    model.fit_generator(Source(3), verbose=0)
    return json.dumps({
        "error": error, "weight": weight, "steps": len(steps), "works": works, "epochs": epochs,
        "after": float(model.get_weights()[0][0, 0]), "threads": [thread.name for thread in threading.enumerate()],
        "handler": signal.getsignal(signal.SIGINT) is signal.default_int_handler})


for argument in sys.argv[2:]:
    name, number, count = argument.split(":")
    print(case(name, int(number), int(count)))
