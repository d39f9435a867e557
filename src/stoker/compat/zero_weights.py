"""Tells of sample weights of 0, which count in the number of rows that the loss is divided by; in Keras 2 they did not.

Rules: what a script passes to a call is looked at, until it has been told; what a generator gives is not.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from stoker.compat.tell import Teller

TOPIC = "sample weights of 0"
ZEROS = ("the loss is the mean over all rows or steps, in Keras 2 it was the mean over those whose weight is not 0; where the number "
         "matters, divide the weights by their share that is not 0.")


def look(weights: Any, teller: Teller) -> None:
    """Tell it where some of a call's sample weights are 0.

    Args:
        weights: the weights, or a structure of such; None where the call has none.
        teller: tells it.
    """
    if weights is None or teller.has_told(TOPIC):
        return
    if any(np.any(np.asarray(part) == 0) for part in keras.tree.flatten(weights)):
        teller.tell(TOPIC, ZEROS)
