"""Completes ``keras.backend`` with the functions it had in Keras 1 and 2.

Rules: names that Keras 3 has keep Keras 3's; names without a meaning raise when they are used.
"""

from __future__ import annotations

from typing import Any

import keras

from stoker.compat import kimages, kmath, krandom, kstate
from stoker.compat.loose import Loose
from stoker.compat.lost import Lost
from stoker.compat.tell import Teller

LOST = {
    "function": "Build a keras.Model with the inputs and outputs wanted, and call predict() on it.",
    "gradients": "Use jax.grad, torch.autograd.grad or tf.GradientTape of the backend.",
    "rnn": "Use keras.layers.RNN with a cell.",
    "scan": "Use keras.ops.scan.", "control_flow_ops": "Use keras.ops.cond.",
    "ctc_label_dense_to_sparse": "keras.ops.ctc_loss takes dense labels.",
    "local_conv1d": "Use keras.ops.", "local_conv2d": "Use keras.ops.",
}


def complete(teller: Teller, loose: Loose) -> None:
    """Add what is missing to ``keras.backend``."""
    names: dict[str, Any] = {name: Lost(f"keras.backend.{name}", remedy) for name, remedy in LOST.items()}
    names |= kmath.functions(teller) | kimages.functions() | kstate.functions(teller, loose)
    names |= krandom.functions(names["variable"])
    for name, value in names.items():
        if name not in vars(keras.backend):
            setattr(keras.backend, name, value)
    keras.backend.name_scope = keras.name_scope
    krandom.carry_seeds()
